import { readFileSync } from "node:fs";
import { type Native, openPidfd, sendPidfdSignal } from "@trimaran/linux";

/** A process for ever: its pid, and field 22 of /proc/PID/stat, which another process of that pid does not have. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTime: string;
}

/** Whether it is there, and not only a zombie that nobody has reaped yet. */
export function isAlive({ pid, startTime }: ProcessIdentity): boolean {
  const stat = readStat(pid);
  return stat !== undefined && stat.startTime === startTime && stat.state !== "Z" && stat.state !== "X";
}

/** The process of this pid as it is now; undefined if there is none. */
export function identify(pid: number): ProcessIdentity | undefined {
  const stat = readStat(pid);
  return stat === undefined ? undefined : { pid, startTime: stat.startTime };
}

/** Send a signal to this very process. False if it is gone. Throws SyscallError. */
export function signalProcess(native: Native, process: ProcessIdentity, signal: number): boolean {
  if (!isAlive(process)) return false;
  let pidfd: number;
  try {
    pidfd = openPidfd(native, process.pid);
  } catch {
    return false;
  }
  try {
    return isAlive(process) && sendPidfdSignal(native, pidfd, signal); // alive after the open: the fd is of this one
  } finally {
    native.syscall("close", pidfd);
  }
}

function readStat(pid: number): { readonly state: string; readonly startTime: string } | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    return undefined;
  }
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state = ""] = fields;
  return { state, startTime: fields[19] ?? "" };
}
