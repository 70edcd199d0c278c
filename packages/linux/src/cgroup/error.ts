import { errnoName } from "../syscall/errno.ts";

/**
 * A cgroup could not be made, changed or removed. The message begins with the field: `linux.resources.memory.limit 4096:
 * below what is in use (EBUSY from write memory.limit_in_bytes)`. `errno` is the kernel's, undefined if we refused.
 */
export class CgroupError extends Error {
  override readonly name = "CgroupError";
  readonly field: string;
  readonly errno: string | undefined;
  constructor(field: string, why: string, cause?: { errno: string; syscall: string; file: string }) {
    super(`${field}: ${why}${cause === undefined ? "" : ` (${cause.errno} from ${cause.syscall} ${cause.file})`}`);
    this.field = field;
    this.errno = cause?.errno;
  }
}

/** A failed `fs` call on a cgroup file as CgroupError; what is no system call's error comes back as it is. */
export function toCgroupError(error: unknown, field: string, why: string, file: string): unknown {
  if (!(error instanceof Error) || !("errno" in error) || typeof error.errno !== "number") return error;
  const syscall = "syscall" in error && typeof error.syscall === "string" ? error.syscall : "call";
  return new CgroupError(field, why, { errno: errnoName(Math.abs(error.errno)), syscall, file });
}
