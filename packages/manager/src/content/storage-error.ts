import { Code, errnoOf, ManagerError, messageOf } from "../errors/manager-error.ts";

const FULL: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);

/**
 * What a client hears of a failed file operation: ResourceExhausted if the disk, the quota or the file size limit is the reason,
 * Unknown for what a disk does otherwise (EIO, EROFS …). Statuses and errors without an errno pass unchanged.
 */
export function toStorageError(subject: string, error: unknown): unknown {
  const errno = errnoOf(error);
  if (errno === undefined || error instanceof ManagerError) return error;
  const code = FULL.has(errno) ? Code.ResourceExhausted : Code.Unknown;
  return new ManagerError(code, `${subject}: ${messageOf(error)}`, { cause: error });
}

/** Run file operations; what they throw goes through `toStorageError`. */
export async function storageStep<T>(subject: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    throw toStorageError(subject, error);
  }
}
