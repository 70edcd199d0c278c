import { errnoOf } from "../syscall/errno.ts";
import { CgroupError, toCgroupError } from "./error.ts";
import { readCgroupFile, writeCgroupFile } from "./files.ts";

/** One value for one cgroup file, compiled from a field. */
export interface Limit {
  /** "linux.resources.memory.limit", for messages. */
  readonly field: string;
  /** v1: the controller whose hierarchy has the file. v2: the controller that must be enabled. */
  readonly controller: string;
  readonly file: string;
  readonly text: string;
  /** A fresh cgroup has this already: not written at create. */
  readonly isDefault?: boolean;
  /** A missing file (or controller) is fine. */
  readonly optional?: boolean;
  /** The value must read back as written: the kernel clamps it silently. */
  readonly readBack?: boolean;
  /** Written instead if `file` does not exist. */
  readonly otherwise?: { readonly file: string; readonly text: string };
  /** Two files that constrain each other: if this one is EINVAL, `partner` goes first, then this again; else `partner` after. */
  readonly partner?: Limit;
  /** What the kernel's refusal usually means. */
  readonly hint?: string;
}

/** Where a controller's files are for one container; undefined if the host lacks it. */
export type ControllerDirectory = (controller: string) => string | undefined;

/**
 * Write limits in order. `fresh` skips those that a new cgroup has anyway.
 * Throws CgroupError `FIELD VALUE: why (ERRNO from write FILE)`; what was written before stays.
 */
export function applyLimits(limits: readonly Limit[], directoryOf: ControllerDirectory, fresh: boolean): void {
  for (const limit of limits) applyLimit(limit, directoryOf, fresh);
}

function applyLimit(limit: Limit, directoryOf: ControllerDirectory, fresh: boolean): void {
  if (limit.partner === undefined) {
    if (!(fresh && limit.isDefault === true)) write(limit, directoryOf);
    return;
  }
  try {
    write(limit, directoryOf);
  } catch (error) {
    if (errnoOf(error) !== "EINVAL") throw error;
    write(limit.partner, directoryOf);
    write(limit, directoryOf);
    return;
  }
  write(limit.partner, directoryOf);
}

function write(limit: Limit, directoryOf: ControllerDirectory): void {
  const directory = directoryOf(limit.controller);
  const name = `${limit.field} ${limit.text}`;
  if (directory === undefined) {
    if (limit.optional === true) return;
    throw new CgroupError(name, `this host has no ${limit.controller} controller`);
  }
  try {
    writeOrElse(limit, directory);
  } catch (error) {
    if (limit.optional === true && errnoOf(error) === "ENOENT") return;
    throw toCgroupError(error, name, explain(limit, directory, errnoOf(error)), limit.file);
  }
  if (limit.readBack !== true) return;
  const got = readCgroupFile(`${directory}/${limit.file}`);
  if (got !== limit.text) throw new CgroupError(name, `out of range: the kernel made it ${got}`);
}

function writeOrElse(limit: Limit, directory: string): void {
  try {
    writeCgroupFile(`${directory}/${limit.file}`, limit.text);
  } catch (error) {
    if (limit.otherwise === undefined || errnoOf(error) !== "ENOENT") throw error;
    writeCgroupFile(`${directory}/${limit.otherwise.file}`, limit.otherwise.text);
  }
}

function explain(limit: Limit, directory: string, errno: string | undefined): string {
  if (errno === "EBUSY" && limit.file === "memory.limit_in_bytes") {
    const used = readCgroupFile(`${directory}/memory.usage_in_bytes`);
    const peak = readCgroupFile(`${directory}/memory.max_usage_in_bytes`);
    return `below what is in use (${used} bytes now, ${peak} at most so far)`;
  }
  if (errno === "ENOENT") return `the ${limit.controller} controller has no such file here`;
  return limit.hint ?? "the kernel refuses it";
}
