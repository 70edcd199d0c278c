import { errnoName, type Native } from "@trimaran/linux";
import { Code, StatusError } from "ttrpc-ts";

// linux/prctl.h
const PR_SCHED_CORE = 62;
const PR_SCHED_CORE_GET = 0;
const PR_SCHED_CORE_SHARE_TO = 2;
const PR_SCHED_CORE_SHARE_FROM = 3;
const SCOPE_THREAD = 0;
const SCOPE_THREAD_GROUP = 1;
const COOKIE_BYTES = 8;

const REASONS: Readonly<Record<string, string>> = {
  EINVAL: "the kernel has no core scheduling",
  ENODEV: "no core of this machine has more than one thread",
};

/**
 * Throws Unimplemented where pods cannot be given cores of their own: the operator has asked for an isolation that would silently not be there.
 * Source: contract, section 2.6; Linux's admin-guide/hw-vuln/core-scheduling.
 */
export function checkCoreScheduling(native: Native): void {
  const cookie = new BigUint64Array(1); // aligned, as the kernel demands
  const memory = new Uint8Array(cookie.buffer, 0, COOKIE_BYTES);
  const result = native.syscall("prctl", PR_SCHED_CORE, PR_SCHED_CORE_GET, 0, SCOPE_THREAD, memory);
  if (result >= 0) return;
  const name = errnoName(-result);
  const reason = REASONS[name] ?? "core scheduling is not allowed";
  throw new StatusError(Code.Unimplemented, `SCHED_CORE: ${reason} (${name} from prctl PR_SCHED_CORE)`);
}

/**
 * Give up a cookie that is not ours: a task server that a pod's monitor has started again would share that pod's core-scheduling cookie, though it
 * serves all pods. Takes PID 1's instead, which is none. No effect where there are no cookies.
 */
export function leavePodCookie(native: Native, pid: number): void {
  if (native.syscall("prctl", PR_SCHED_CORE, PR_SCHED_CORE_SHARE_FROM, 1, SCOPE_THREAD, 0) < 0) return;
  native.syscall("prctl", PR_SCHED_CORE, PR_SCHED_CORE_SHARE_TO, pid, SCOPE_THREAD_GROUP, 0);
}
