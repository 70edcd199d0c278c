import {
  checkCgroups,
  checkKernel,
  checkLimits,
  type DoctorCheck,
  lazyNative,
  type Native,
  toCheck,
} from "@trimaran/linux";
import { findCriu } from "../criu/binary.ts";

/** What containers of this runtime, and those of the others, need of the host. */
export function doctor(searchPath: string, uid: number): DoctorCheck[] {
  const native = lazyNative();
  return [
    toCheck({ group: "user", name: "root", found: `uid ${uid}` }, uid === 0, { status: "problem", fix: "run as root" }),
    ...checkKernel(native),
    ...checkCgroups(),
    ...checkLimits(),
    checkLibseccomp(native),
    checkCriu(searchPath),
  ];
}

function checkLibseccomp(native: Native): DoctorCheck {
  const what = { group: "programs", name: "libseccomp" };
  try {
    native.library("libseccomp.so.2");
    return { ...what, status: "ok", found: "libseccomp.so.2" };
  } catch {
    return {
      ...what,
      status: "problem",
      found: "not there: no container with a seccomp profile starts",
      fix: "apt-get install libseccomp2",
    };
  }
}

function checkCriu(searchPath: string): DoctorCheck {
  const criu = findCriu(searchPath, "");
  return toCheck({ group: "programs", name: "criu", found: criu ?? "not there: no checkpoints" }, criu !== undefined, {
    status: "note",
    fix: "apt-get install criu",
  });
}
