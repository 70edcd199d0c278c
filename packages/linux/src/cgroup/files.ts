import { closeSync, constants, openSync, readFileSync, readSync, writeSync } from "node:fs";
import { errnoOf } from "../syscall/errno.ts";

const SMALL_BYTES = 4096;

/**
 * Write `text` by one write(2). The file must exist: a cgroup file is never created, so a typo is ENOENT.
 * Throws what `fs` throws. Paths are safe here: in cgroupfs nobody but the kernel makes names, and no symlinks exist.
 */
export function writeCgroupFile(path: string, text: string): void {
  const fd = openSync(path, constants.O_WRONLY | constants.O_TRUNC);
  try {
    writeSync(fd, text);
  } finally {
    closeSync(fd);
  }
}

/** The file's content without the last newline. Throws what `fs` throws. */
export function readCgroupFile(path: string): string {
  const text = readFileSync(path, "utf8");
  return text.endsWith("\n") ? text.slice(0, -1) : text;
}

/** As `readCgroupFile`, for at most 4 kB (cut after that) and in three system calls instead of five. */
export function readSmallFile(path: string): string {
  const fd = openSync(path, constants.O_RDONLY);
  try {
    const buffer = Buffer.allocUnsafe(SMALL_BYTES);
    const length = readSync(fd, buffer, 0, SMALL_BYTES, null);
    return buffer.toString("latin1", 0, length > 0 && buffer[length - 1] === 10 ? length - 1 : length);
  } finally {
    closeSync(fd);
  }
}

/** As `readCgroupFile`, fast if the file is small. */
export function readWhole(path: string): string {
  const text = readSmallFile(path);
  return text.length < SMALL_BYTES - 1 ? text : readCgroupFile(path);
}

/** As `readCgroupFile`; undefined if there is no such file, or its cgroup or device is gone or unsupported. */
export function readIfPresent(path: string): string | undefined {
  try {
    return readWhole(path);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

const ABSENT = new Set(["ENOENT", "ENODEV", "EOPNOTSUPP", "ENOTDIR"]);

/** Whether an error says that a file, its cgroup or the feature behind it does not exist. */
export function isAbsent(error: unknown): boolean {
  return ABSENT.has(errnoOf(error) ?? "");
}

/** The text of a number for a cgroup file; a number beyond 2⁵³ keeps all its digits. -1 stays `-1`. */
export function decimal(quantity: number | bigint): string {
  return typeof quantity === "bigint" ? quantity.toString() : BigInt(Math.trunc(quantity)).toString();
}
