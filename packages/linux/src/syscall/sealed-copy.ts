import { readFileSync, writeSync } from "node:fs";
import type { Native } from "./native.ts";

// linux/memfd.h and linux/fcntl.h
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const MFD_EXEC = 0x10;
const F_ADD_SEALS = 1033;
const SEAL_ALL = 0x1 | 0x2 | 0x4 | 0x8;
const EINVAL = 22;

/**
 * A copy of a program in memory that nobody can change any more, root included: what is executed from it can't be overwritten through
 * /proc/PID/exe (CVE-2019-5736). Returns the fd (close-on-exec), which the caller owns. `name` is seen in /proc only. Throws SyscallError.
 * Source: memfd_create(2), fcntl(2) "File Sealing".
 */
export function sealedCopy(native: Native, path: string, name: string): number {
  const content = readFileSync(path);
  const label = Buffer.from(`${name}\0`);
  const flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  let fd = native.syscall("memfd_create", label, flags | MFD_EXEC);
  if (fd === -EINVAL) fd = native.check("memfd_create", [label, flags], path); // kernels before 6.3 do not know MFD_EXEC
  for (let written = 0; written < content.length; ) written += writeSync(fd, content, written);
  native.check("fcntl", [fd, F_ADD_SEALS, SEAL_ALL], path);
  return fd;
}
