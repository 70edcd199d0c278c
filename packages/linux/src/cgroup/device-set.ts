import { CgroupError } from "./error.ts";
import type { DeviceRule } from "./resources.ts";

/** Access bits as the kernel's eBPF context has them. */
export const DEVICE_ACCESS = { m: 1, r: 2, w: 4 } as const;

/** One exception from a device set's default. -1 is any. */
export interface DeviceException {
  readonly type: "b" | "c";
  readonly major: number;
  readonly minor: number;
  /** Bits of DEVICE_ACCESS, never 0. */
  readonly access: number;
}

/**
 * A canonical device rule set: a default, and exceptions from it in a fixed order, one for each (type, major, minor).
 * An access is an exception if one exception covers all of it (default deny) or any of it (default allow): v1's rule.
 */
export interface DeviceSet {
  readonly defaultAllow: boolean;
  readonly exceptions: readonly DeviceException[];
}

/** What every container may do, appended to its own rules: mknod of anything, and the usual devices. Source: runc. */
export const ALWAYS_ALLOWED: readonly DeviceRule[] = [
  { allow: true, type: "c", access: "m" },
  { allow: true, type: "b", access: "m" },
  ...[
    [1, 3],
    [1, 5],
    [1, 7],
    [1, 8],
    [1, 9],
    [5, 0],
    [5, 2],
    [136, -1],
    [10, 200],
  ].map(([major, minor]) => ({
    allow: true,
    type: "c",
    major,
    minor,
    access: "rwm",
  })),
];

/**
 * Reduce `linux.resources.devices` to the set that it means, starting from "deny all". Rules apply in order; an `a` rule
 * clears what came before and sets the default. Throws CgroupError naming the entry for an unknown type, an empty or unknown
 * access, a number out of range, and for a rule that cuts a part out of a wildcard, which v1 would silently ignore.
 */
export function reduceDeviceRules(rules: readonly DeviceRule[]): DeviceSet {
  let defaultAllow = false;
  const map = new Map<string, DeviceException>();
  rules.forEach((rule, index) => {
    const field = `linux.resources.devices[${index}]`;
    const access = parseAccess(field, rule.access);
    const type = rule.type ?? "a";
    if (type === "a") {
      map.clear();
      defaultAllow = rule.allow;
      return;
    }
    if (type !== "b" && type !== "c" && type !== "u")
      throw new CgroupError(`${field}.type`, `unknown: ${JSON.stringify(type)}`);
    const major = parseNumber(`${field}.major`, rule.major);
    const minor = parseNumber(`${field}.minor`, rule.minor);
    const exception: DeviceException = { type: type === "u" ? "c" : type, major, minor, access };
    if (rule.allow === defaultAllow) subtract(map, exception, field);
    else add(map, exception);
  });
  return { defaultAllow, exceptions: [...map.values()].sort(compare) };
}

/** Whether the set lets `access` (bits) to a device through. The v1 kernel's rule, and what the v2 program computes. */
export function isDeviceAllowed(
  set: DeviceSet,
  type: "b" | "c",
  major: number,
  minor: number,
  access: number,
): boolean {
  const hit = set.exceptions.some((exception) => {
    const covers = set.defaultAllow ? (access & exception.access) !== 0 : (access & ~exception.access) === 0;
    return covers && exception.type === type && matches(exception.major, major) && matches(exception.minor, minor);
  });
  return hit !== set.defaultAllow;
}

/** `c 1:3 rwm`, as v1's files spell it. */
export function formatException({ type, major, minor, access }: DeviceException): string {
  return `${type} ${major === -1 ? "*" : major}:${minor === -1 ? "*" : minor} ${formatAccess(access)}`;
}

/** `rwm` for 7; "" for 0. */
export function formatAccess(access: number): string {
  return `${access & 2 ? "r" : ""}${access & 4 ? "w" : ""}${access & 1 ? "m" : ""}`;
}

/** The map key of an exception: all but its access. */
export function exceptionKey({ type, major, minor }: DeviceException): string {
  return `${type} ${major}:${minor}`;
}

function add(map: Map<string, DeviceException>, exception: DeviceException): void {
  const key = exceptionKey(exception);
  map.set(key, { ...exception, access: exception.access | (map.get(key)?.access ?? 0) });
}

/** Take `rule` out of all exceptions inside of it; one that it overlaps without containing it is an error. */
function subtract(map: Map<string, DeviceException>, rule: DeviceException, field: string): void {
  for (const [key, exception] of map) {
    if (exception.type !== rule.type || (exception.access & rule.access) === 0) continue;
    const disjoint = (a: number, b: number) => a !== -1 && b !== -1 && a !== b;
    if (disjoint(exception.major, rule.major) || disjoint(exception.minor, rule.minor)) continue;
    if (!matches(rule.major, exception.major) || !matches(rule.minor, exception.minor)) {
      const what = `"${formatException(rule)}" would cut a hole into "${formatException(exception)}"`;
      throw new CgroupError(field, `${what}: cgroups cannot express that`);
    }
    const access = exception.access & ~rule.access;
    if (access === 0) map.delete(key);
    else map.set(key, { ...exception, access });
  }
}

function matches(pattern: number, value: number): boolean {
  return pattern === -1 || pattern === value;
}

function parseAccess(field: string, access: string | undefined): number {
  if (access === undefined || !/^[rwm]+$/.test(access)) {
    throw new CgroupError(`${field}.access`, `${JSON.stringify(access ?? "")} is not made of r, w, m`);
  }
  return (access.includes("r") ? 2 : 0) | (access.includes("w") ? 4 : 0) | (access.includes("m") ? 1 : 0);
}

function parseNumber(field: string, number: number | undefined): number {
  if (number === undefined || number === -1) return -1;
  if (Number.isInteger(number) && number >= 0 && number <= 0xffff_ffff) return number;
  throw new CgroupError(field, `${number} is not -1 to 4294967295`);
}

function compare(a: DeviceException, b: DeviceException): number {
  return a.type < b.type ? -1 : a.type > b.type ? 1 : a.major - b.major || a.minor - b.minor;
}
