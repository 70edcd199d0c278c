import { closeSync, constants, openSync, writeSync } from "node:fs";
import { type DeviceException, type DeviceSet, exceptionKey, formatException } from "./device-set.ts";
import { CgroupError, toCgroupError } from "./error.ts";
import { readWhole } from "./files.ts";

const FIELD = "linux.resources.devices";

/** Lines for one of the two files; each line is one write(2). */
export interface DeviceWrites {
  readonly file: "devices.allow" | "devices.deny";
  readonly lines: readonly string[];
}

/**
 * Bring a v1 devices cgroup to `target`, writing only the difference to what it has, allowing before denying: a running
 * container never loses a device that it keeps. `fresh` says that nobody is in it yet, so a deny-all may come first without a
 * look. Reads back. Throws CgroupError, also if the parent allows less than asked.
 */
export function applyDevicesV1(directory: string, target: DeviceSet, fresh: boolean): void {
  const blind = fresh && !target.defaultAllow;
  const current = blind ? { defaultAllow: true, exceptions: [] } : readDeviceList(directory);
  const difference = diffDevices(current, target);
  for (const writes of difference) writeLines(directory, writes);
  if (difference.length === 0 || target.defaultAllow) return; // a list that allows by default shows no exceptions
  const left = diffDevices(readDeviceList(directory), target)[0];
  if (left !== undefined) throw new CgroupError(FIELD, `"${left.lines[0]}" did not take effect in ${left.file}`);
}

/**
 * The writes, in order, from one set to another. A list that allows by default hides its exceptions, so those are cleared
 * and denied again. Deny-all is written only if the default changes. Source: Linux security/device_cgroup.c.
 */
export function diffDevices(current: DeviceSet, target: DeviceSet): DeviceWrites[] {
  const writes: DeviceWrites[] = [];
  const add = (file: DeviceWrites["file"], lines: readonly string[]) => {
    if (lines.length > 0) writes.push({ file, lines });
  };
  if (target.defaultAllow) {
    add("devices.allow", ["a"]);
    add("devices.deny", target.exceptions.map(formatException));
    return writes;
  }
  if (current.defaultAllow) add("devices.deny", ["a"]);
  const had = current.defaultAllow ? [] : current.exceptions;
  add("devices.allow", missing(target.exceptions, had));
  add("devices.deny", missing(had, target.exceptions));
  return writes;
}

/** Parse `devices.list`. Throws CgroupError on a line the kernel does not write. */
export function parseDeviceList(text: string): DeviceSet {
  const exceptions: DeviceException[] = [];
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const [, type, major, minor, access] = /^([abc]) ([0-9]+|\*):([0-9]+|\*) ([rwm]+)$/.exec(line) ?? [];
    if (type === "a") return { defaultAllow: true, exceptions: [] };
    if ((type !== "b" && type !== "c") || access === undefined) {
      throw new CgroupError(FIELD, `devices.list has the line ${JSON.stringify(line)}`);
    }
    const bits = (access.includes("r") ? 2 : 0) | (access.includes("w") ? 4 : 0) | (access.includes("m") ? 1 : 0);
    exceptions.push({ type, major: parseNumber(major), minor: parseNumber(minor), access: bits });
  }
  return { defaultAllow: false, exceptions };
}

function readDeviceList(directory: string): DeviceSet {
  return parseDeviceList(readWhole(`${directory}/devices.list`));
}

/** What `wanted` has and `present` lacks, as rule lines. */
function missing(wanted: readonly DeviceException[], present: readonly DeviceException[]): string[] {
  const has = new Map(present.map((exception) => [exceptionKey(exception), exception.access]));
  return wanted.flatMap((exception) => {
    const access = exception.access & ~(has.get(exceptionKey(exception)) ?? 0);
    return access === 0 ? [] : [formatException({ ...exception, access })];
  });
}

function writeLines(directory: string, { file, lines }: DeviceWrites): void {
  const fd = openSync(`${directory}/${file}`, constants.O_WRONLY);
  try {
    for (const line of lines) writeLine(fd, file, line);
  } finally {
    closeSync(fd);
  }
}

function writeLine(fd: number, file: string, line: string): void {
  try {
    writeSync(fd, line);
  } catch (error) {
    throw toCgroupError(error, `${FIELD} "${line}"`, "refused; does the parent cgroup allow it?", file);
  }
}

function parseNumber(text: string | undefined): number {
  return text === undefined || text === "*" ? -1 : Number(text);
}
