import { parseNumberList } from "./cpu-list.ts";
import { InvalidSpec } from "./invalid-spec.ts";
import type { JsonObject } from "./json.ts";
import * as json from "./json.ts";
import { IO_CLASS, RLIMIT, SCHEDULER_FLAG, SCHEDULER_POLICY } from "./tables.ts";

/** `process` of config.json, and what Exec brings. Checked: a value here can be compiled without further look. */
export interface Process {
  readonly terminal: boolean;
  /** Only with `terminal`; undefined when a side is 0. */
  readonly consoleSize: { readonly width: number; readonly height: number } | undefined;
  readonly user: User;
  /** At least one. */
  readonly args: readonly string[];
  /** `NAME=value`, one entry per name: of duplicates the last. */
  readonly env: readonly string[];
  /** Absolute. */
  readonly cwd: string;
  /** Undefined: leave the sets as they are. */
  readonly capabilities: CapabilityNames | undefined;
  readonly rlimits: readonly Rlimit[];
  readonly noNewPrivileges: boolean;
  /** -1000 to 1000. */
  readonly oomScoreAdj: number | undefined;
  readonly scheduler: Scheduler | undefined;
  /** `ioprio_set`'s value: class << 13 | level. */
  readonly ioPriority: number | undefined;
  readonly execCpuAffinity: { readonly initial: readonly number[]; readonly final: readonly number[] } | undefined;
  readonly apparmorProfile: string | undefined;
  readonly selinuxLabel: string | undefined;
}

/** Ids inside the container, 0 to 2³²−2. */
export interface User {
  readonly uid: number;
  readonly gid: number;
  readonly umask: number | undefined;
  readonly additionalGids: readonly number[];
}

/** Capability names as they came, "CAP_CHOWN"; unknown ones are the compiler's business (it drops them, as the spec says). */
export interface CapabilityNames {
  readonly bounding: readonly string[];
  readonly effective: readonly string[];
  readonly permitted: readonly string[];
  readonly inheritable: readonly string[];
  readonly ambient: readonly string[];
}

/** `resource` is the kernel's number; limits up to 2⁶⁴−1, which is "infinity". */
export interface Rlimit {
  readonly name: string;
  readonly resource: number;
  readonly soft: bigint;
  readonly hard: bigint;
}

/** sched_setattr's fields. Times in nanoseconds. */
export interface Scheduler {
  readonly policy: number;
  readonly nice: number;
  readonly priority: number;
  readonly flags: number;
  readonly runtimeNs: number;
  readonly deadlineNs: number;
  readonly periodNs: number;
}

/** The highest id: 2³²−1 means "leave it" to the kernel. */
export const MAX_ID = 0xffff_fffe;
/** Highest value of a 32-bit field. */
export const MAX_U32 = 0xffff_ffff;
const MAX_CPU = 8191;

/** An OCI Process from untrusted JSON. `at` is its path for errors ("process"). Throws InvalidSpec. */
export function parseProcess(value: unknown, at = "process"): Process {
  const from = json.asObject(value, at);
  const terminal = json.optionalBoolean(from, "terminal", at);
  const args = json.strings(from, "args", at);
  if (args.length === 0) throw new InvalidSpec(json.pathOf(at, "args"), "at least one argument");
  if (args[0] === "") throw new InvalidSpec(`${json.pathOf(at, "args")}[0]`, "empty");
  const cwd = json.requiredPath(from, "cwd", at);
  if (!cwd.startsWith("/")) throw new InvalidSpec(json.pathOf(at, "cwd"), "not an absolute path", cwd);
  return {
    terminal,
    consoleSize: terminal ? parseConsoleSize(from, at) : undefined,
    user: parseUser(from, at),
    args,
    env: parseEnv(from, at),
    cwd,
    capabilities: parseCapabilities(from, at),
    rlimits: parseRlimits(from, at),
    noNewPrivileges: json.optionalBoolean(from, "noNewPrivileges", at),
    oomScoreAdj: json.optionalInteger(from, "oomScoreAdj", at, -1000, 1000),
    scheduler: parseScheduler(from, at),
    ioPriority: parseIoPriority(from, at),
    execCpuAffinity: parseAffinity(from, at),
    apparmorProfile: json.optionalString(from, "apparmorProfile", at) || undefined,
    selinuxLabel: json.optionalString(from, "selinuxLabel", at) || undefined,
  };
}

function parseConsoleSize(from: JsonObject, parent: string): Process["consoleSize"] {
  const at = json.pathOf(parent, "consoleSize");
  const size = json.optionalObject(from, "consoleSize", parent);
  if (size === undefined) return undefined;
  const width = json.requiredInteger(size, "width", at, 0, 65_535);
  const height = json.requiredInteger(size, "height", at, 0, 65_535);
  return width === 0 || height === 0 ? undefined : { width, height };
}

function parseUser(from: JsonObject, parent: string): User {
  const at = json.pathOf(parent, "user");
  const user = json.optionalObject(from, "user", parent) ?? {};
  return {
    uid: json.optionalInteger(user, "uid", at, 0, MAX_ID) ?? 0,
    gid: json.optionalInteger(user, "gid", at, 0, MAX_ID) ?? 0,
    umask: json.optionalInteger(user, "umask", at, 0, 0o777),
    additionalGids: json.list(user, "additionalGids", at, (gid, field) => {
      if (typeof gid === "number" && Number.isInteger(gid) && gid >= 0 && gid <= MAX_ID) return gid;
      throw new InvalidSpec(field(), "not a group id", gid);
    }),
  };
}

/** Of two entries with one name the last value wins, at the first one's place. */
function parseEnv(from: JsonObject, at: string): string[] {
  const byName = new Map<string, string>();
  json.strings(from, "env", at).forEach((entry, i) => {
    const equals = entry.indexOf("=");
    if (equals <= 0) throw new InvalidSpec(`${json.pathOf(at, "env")}[${i}]`, "not NAME=value");
    byName.set(entry.slice(0, equals), entry);
  });
  return [...byName.values()];
}

function parseCapabilities(from: JsonObject, parent: string): CapabilityNames | undefined {
  const at = json.pathOf(parent, "capabilities");
  const sets = json.optionalObject(from, "capabilities", parent);
  if (sets === undefined) return undefined;
  const names = (key: string) => json.strings(sets, key, at);
  return {
    bounding: names("bounding"),
    effective: names("effective"),
    permitted: names("permitted"),
    inheritable: names("inheritable"),
    ambient: names("ambient"),
  };
}

const INFINITY = 2n ** 64n - 1n;

function parseRlimits(from: JsonObject, parent: string): Rlimit[] {
  const seen = new Set<string>();
  return json.list(from, "rlimits", parent, (entry, field) => {
    const limit = json.asObject(entry, field());
    const name = json.requiredString(limit, "type", field());
    const resource = RLIMIT.get(name);
    if (resource === undefined) throw new InvalidSpec(`${field()}.type`, "unknown", name);
    if (seen.has(name)) throw new InvalidSpec(`${field()}.type`, "given twice", name);
    seen.add(name);
    const soft = toLimit(json.requiredInteger(limit, "soft", field(), 0, 2 ** 64));
    const hard = toLimit(json.requiredInteger(limit, "hard", field(), 0, 2 ** 64));
    if (soft > hard) throw new InvalidSpec(`${field()}.soft`, "above the hard limit", soft);
    return { name, resource, soft, hard };
  });
}

/** A double has 53 bits: what is near 2⁶⁴ was 2⁶⁴−1. */
function toLimit(value: number): bigint {
  return value >= 2 ** 64 - 4096 ? INFINITY : BigInt(value);
}

function parseScheduler(from: JsonObject, parent: string): Scheduler | undefined {
  const at = json.pathOf(parent, "scheduler");
  const scheduler = json.optionalObject(from, "scheduler", parent);
  if (scheduler === undefined) return undefined;
  const policyName = json.requiredString(scheduler, "policy", at);
  const policy = SCHEDULER_POLICY.get(policyName);
  if (policy === undefined) throw new InvalidSpec(`${at}.policy`, "unknown", policyName);
  const flags = json.strings(scheduler, "flags", at).reduce((bits, name) => {
    const bit = SCHEDULER_FLAG.get(name);
    if (bit === undefined) throw new InvalidSpec(`${at}.flags`, "unknown", name);
    return bits | bit;
  }, 0);
  const times = (key: string) => json.optionalInteger(scheduler, key, at, 0, Number.MAX_SAFE_INTEGER) ?? 0;
  const deadline = { runtimeNs: times("runtime"), deadlineNs: times("deadline"), periodNs: times("period") };
  if (policyName !== "SCHED_DEADLINE" && (deadline.runtimeNs || deadline.deadlineNs || deadline.periodNs)) {
    throw new InvalidSpec(at, "runtime, deadline and period belong to SCHED_DEADLINE");
  }
  const priority = json.optionalInteger(scheduler, "priority", at, 0, 99) ?? 0;
  if (priority !== 0 && policyName !== "SCHED_FIFO" && policyName !== "SCHED_RR") {
    throw new InvalidSpec(`${at}.priority`, "belongs to SCHED_FIFO and SCHED_RR", priority);
  }
  return { policy, nice: json.optionalInteger(scheduler, "nice", at, -20, 19) ?? 0, priority, flags, ...deadline };
}

function parseIoPriority(from: JsonObject, parent: string): number | undefined {
  const at = json.pathOf(parent, "ioPriority");
  const io = json.optionalObject(from, "ioPriority", parent);
  if (io === undefined) return undefined;
  const name = json.requiredString(io, "class", at);
  const ioClass = IO_CLASS.get(name);
  if (ioClass === undefined) throw new InvalidSpec(`${at}.class`, "unknown", name);
  return (ioClass << 13) | (json.optionalInteger(io, "priority", at, 0, 7) ?? 0);
}

function parseAffinity(from: JsonObject, parent: string): Process["execCpuAffinity"] {
  const at = json.pathOf(parent, "execCPUAffinity");
  const affinity = json.optionalObject(from, "execCPUAffinity", parent);
  if (affinity === undefined) return undefined;
  return { initial: parseCpus(affinity, "initial", at), final: parseCpus(affinity, "final", at) };
}

/** "0-3,7" as cpu numbers. */
function parseCpus(from: JsonObject, key: string, at: string): number[] {
  return parseNumberList(json.optionalString(from, key, at) ?? "", json.pathOf(at, key), MAX_CPU);
}
