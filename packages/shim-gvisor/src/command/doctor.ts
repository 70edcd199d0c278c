import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DoctorCheck } from "@trimaran/linux";
import { findBinary, inspectBinary, type RunscBinary } from "../runsc/binary.ts";
import { Platforms } from "../runsc/platform.ts";

const GROUP = "gVisor";
const INSTALL = "apt-get install runsc, or https://gvisor.dev/docs/user_guide/install";

/** runsc, and which of its platforms really start a sandbox here. One that works is enough. */
export async function doctor(searchPath: string): Promise<DoctorCheck[]> {
  let runsc: RunscBinary;
  try {
    runsc = await inspectBinary(findBinary("runsc", searchPath));
  } catch (error) {
    return [{ group: GROUP, name: "runsc", status: "problem", found: messageOf(error), fix: INSTALL }];
  }
  const scratch = mkdtempSync(join(tmpdir(), "trimaran-doctor-")); // what an earlier start has found out is not asked
  try {
    const platforms = new Platforms(searchPath);
    const probe = (name: string) => checkPlatform(platforms, runsc, name, scratch);
    const [systrap, ptrace, kvm] = await Promise.all(["systrap", "ptrace", "kvm"].map(probe));
    if (systrap === undefined || ptrace === undefined || kvm === undefined) throw new Error("unreachable");
    const works = systrap.status === "ok" || ptrace.status === "ok";
    const found = works ? "a sandbox starts" : "no sandbox starts";
    const usable = { group: GROUP, name: "sandbox", found };
    return [
      { group: GROUP, name: "runsc", status: "ok", found: `${runsc.version}, ${runsc.path}` },
      ...[systrap, ptrace, kvm],
      works ? { ...usable, status: "ok" } : { ...usable, status: "problem", fix: `see the platforms; ${INSTALL}` },
    ];
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function checkPlatform(
  platforms: Platforms,
  runsc: RunscBinary,
  name: string,
  scratch: string,
): Promise<DoctorCheck> {
  const what = { group: GROUP, name: `platform ${name}` };
  if (name === "kvm" && !existsSync("/dev/kvm"))
    return { ...what, status: "note", found: "no /dev/kvm", fix: "not needed; a host with virtualization has it" };
  try {
    await platforms.choose(runsc, name, scratch);
    return { ...what, status: "ok", found: "starts a sandbox" };
  } catch (error) {
    return { ...what, status: "note", found: messageOf(error), fix: "not needed, if another one works" };
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
