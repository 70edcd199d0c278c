import { SyscallError } from "./errno.ts";
import type { Native } from "./native.ts";

/** A pidfd of process `pid` (close-on-exec). Throws SyscallError: ESRCH if there is no such process. The caller closes it. */
export function openPidfd(native: Native, pid: number): number {
  return native.check("pidfd_open", [pid, 0]);
}

/** Send signal 1 to 64. False if the process is gone already (ESRCH); any other failure throws SyscallError. */
export function sendPidfdSignal(native: Native, pidfd: number, signal: number): boolean {
  const result = native.syscall("pidfd_send_signal", pidfd, signal, null, 0);
  if (result === -3) return false;
  if (result < 0) throw new SyscallError(-result, "pidfd_send_signal");
  return true;
}

/** Lock operations of flock(2), from asm-generic/fcntl.h. */
export const LOCK = { shared: 1, exclusive: 2, unlock: 8, nonBlocking: 4 } as const;

/** flock(2). False if `nonBlocking` was asked for and somebody else holds the lock (EAGAIN). Throws SyscallError. */
export function lockFile(native: Native, fd: number, operation: number): boolean {
  const result = native.syscall("flock", fd, operation);
  if (result === -11) return false;
  if (result < 0) throw new SyscallError(-result, "flock");
  return true;
}

/** An anonymous file (close-on-exec) of the given name (at most 249 bytes, seen in /proc only). The caller closes it. */
export function openMemfd(native: Native, name: string): number {
  return native.check("memfd_create", [Buffer.from(`${name}\0`), 1]);
}
