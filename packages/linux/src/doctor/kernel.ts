import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { errnoName } from "../syscall/errno.ts";
import type { Native, SyscallArgument } from "../syscall/native.ts";
import type { SyscallName } from "../syscall/numbers.ts";
import { type DoctorCheck, toCheck } from "./check.ts";

const ENOSYS = -38;
const EPERM = -1;
const GROUP = "kernel";
const FSOPEN_CLOEXEC = 1;
const GET_ACTION_AVAILABLE = 2;
const ACTION_ERRNO = Buffer.from([0, 0, 0x05, 0]); // SECCOMP_RET_ERRNO, little endian

/** Calls that launch programs make, each with arguments that the kernel refuses after it has looked the call up. */
const CALLS: readonly (readonly [SyscallName, string, readonly SyscallArgument[]])[] = [
  ["openat2", "5.6", [-1, null, null, 0]],
  ["clone3", "5.3", [null, 0]],
  ["pidfd_open", "5.3", [0, 0]],
  ["pidfd_send_signal", "5.1", [-1, 0, null, 0]],
  ["close_range", "5.9", [2, 1, 0]],
  ["faccessat2", "5.8", [-1, null, 0, 0]],
  ["open_tree", "5.2", [-1, null, 0]],
  ["move_mount", "5.2", [-1, null, -1, null, 0]],
  ["fsopen", "5.2", [null, 0]],
  ["fsmount", "5.2", [-1, 0, 0]],
  ["mount_setattr", "5.12", [-1, null, 0, null, 0]],
];

/** Namespaces: every container needs those of the first line. */
const NAMESPACES = [
  ["mnt", "problem"],
  ["pid", "problem"],
  ["net", "problem"],
  ["ipc", "problem"],
  ["uts", "problem"],
  ["user", "note"],
  ["cgroup", "note"],
  ["time", "note"],
] as const;

/** What the running kernel has of what containers are made of: asked, not looked up by version. */
export function checkKernel(native: Native): DoctorCheck[] {
  return [
    { group: GROUP, name: "version", status: "ok", found: release() },
    ...NAMESPACES.map(([kind, status]) => checkNamespace(kind, status)),
    ...CALLS.map(([name, since, args]) => checkCall(name, since, native.syscall(name, ...args))),
    checkOverlay(native),
    checkSeccomp(native),
    checkIdmap(),
  ];
}

function checkNamespace(kind: string, status: "problem" | "note"): DoctorCheck {
  const exists = existsSync(`/proc/self/ns/${kind}`);
  const limit = exists ? readNumber(`/proc/sys/user/max_${kind}_namespaces`) : undefined;
  const isForbidden = limit === 0;
  const found = exists ? (isForbidden ? "forbidden: the limit is 0" : "there") : "not in this kernel";
  const fix = isForbidden ? `sysctl -w user.max_${kind}_namespaces=10000` : "a kernel that is built with it";
  return toCheck({ group: GROUP, name: `namespace ${kind}`, found }, exists && !isForbidden, { status, fix });
}

/** Exported for its test: a kernel without a call cannot be had everywhere. */
export function checkCall(name: string, since: string, result: number): DoctorCheck {
  const found =
    result === ENOSYS
      ? "not in this kernel"
      : result === EPERM
        ? "refused: a seccomp filter of an outer container?"
        : "there";
  const fix = result === ENOSYS ? `a kernel of ${since} or later` : "allow it in the outer container's seccomp profile";
  return toCheck({ group: GROUP, name, found }, found === "there", { status: "problem", fix });
}

/** Loads the module where it is one. */
function checkOverlay(native: Native): DoctorCheck {
  const fd = native.syscall("fsopen", Buffer.from("overlay\0"), FSOPEN_CLOEXEC);
  if (fd >= 0) native.syscall("close", fd);
  const found = fd >= 0 ? "there" : `${errnoName(-fd)} from fsopen`;
  return toCheck({ group: GROUP, name: "overlayfs", found }, fd >= 0, { status: "problem", fix: "modprobe overlay" });
}

function checkSeccomp(native: Native): DoctorCheck {
  const result = native.syscall("seccomp", GET_ACTION_AVAILABLE, 0, ACTION_ERRNO);
  const found = result === 0 ? "there" : `${errnoName(-result)} from seccomp`;
  return toCheck({ group: GROUP, name: "seccomp filters", found }, result === 0, {
    status: "problem",
    fix: "a kernel that is built with CONFIG_SECCOMP_FILTER",
  });
}

/** No file system can be asked without one at hand: 5.12 has them for some, 5.19 for overlayfs. */
function checkIdmap(): DoctorCheck {
  const [, major = "0", minor = "0"] = /^(\d+)\.(\d+)/.exec(release()) ?? [];
  const version = Number(major) * 1000 + Number(minor);
  const found = version >= 5019 ? "for binds and overlays" : version >= 5012 ? "for binds only" : "none";
  return toCheck({ group: GROUP, name: "idmapped mounts", found }, version >= 5019, {
    status: "note",
    fix: "a kernel of 5.19 or later, for pods with user namespaces",
  });
}

function readNumber(path: string): number | undefined {
  try {
    return Number(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}
