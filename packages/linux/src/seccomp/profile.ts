/** `linux.seccomp` of the OCI runtime spec 1.3.0. `listenerPath` and `listenerMetadata` are not ours: see the launch code. */
export interface SeccompProfile {
  readonly defaultAction?: string | undefined;
  readonly defaultErrnoRet?: number | undefined;
  /** `SCMP_ARCH_X86_64` …, besides the native one. */
  readonly architectures?: readonly string[] | undefined;
  /** `SECCOMP_FILTER_FLAG_LOG` …; absent means SPEC_ALLOW, empty means none. */
  readonly flags?: readonly string[] | undefined;
  readonly syscalls?: readonly SeccompRule[] | undefined;
}

/** One `syscalls` entry: conditions on different arguments all hold; two on the same argument are alternatives. */
export interface SeccompRule {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number | undefined;
  readonly args?: readonly SeccompCondition[] | undefined;
}

/** One `args` entry. Values are unsigned 64 bits; numbers above 2⁵³ must be bigints to be exact. */
export interface SeccompCondition {
  readonly index: number;
  readonly value: number | bigint;
  readonly valueTwo?: number | bigint | undefined;
  readonly op: string;
}

/** The profile is wrong, or libseccomp refused it. The message begins with the field: `linux.seccomp.syscalls[3].action`. */
export class SeccompError extends Error {
  override readonly name = "SeccompError";
  readonly field: string;
  constructor(field: string, why: string) {
    super(`${field}: ${why}`);
    this.field = field;
  }
}

/** Kernel return values of a filter, without their 16 bits of data. Source: linux/seccomp.h. */
export const SECCOMP_RETURN = {
  killProcess: 0x8000_0000,
  killThread: 0,
  trap: 0x0003_0000,
  errno: 0x0005_0000,
  notify: 0x7fc0_0000,
  trace: 0x7ff0_0000,
  log: 0x7ffc_0000,
  allow: 0x7fff_0000,
} as const;

const ACTIONS: ReadonlyMap<string, number> = new Map([
  ["SCMP_ACT_KILL", SECCOMP_RETURN.killThread],
  ["SCMP_ACT_KILL_THREAD", SECCOMP_RETURN.killThread],
  ["SCMP_ACT_KILL_PROCESS", SECCOMP_RETURN.killProcess],
  ["SCMP_ACT_TRAP", SECCOMP_RETURN.trap],
  ["SCMP_ACT_ERRNO", SECCOMP_RETURN.errno],
  ["SCMP_ACT_TRACE", SECCOMP_RETURN.trace],
  ["SCMP_ACT_ALLOW", SECCOMP_RETURN.allow],
  ["SCMP_ACT_LOG", SECCOMP_RETURN.log],
  ["SCMP_ACT_NOTIFY", SECCOMP_RETURN.notify],
]);

const FLAGS: ReadonlyMap<string, number> = new Map([
  ["SECCOMP_FILTER_FLAG_TSYNC", 1],
  ["SECCOMP_FILTER_FLAG_LOG", 2],
  ["SECCOMP_FILTER_FLAG_SPEC_ALLOW", 4],
  ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 32],
]);

/** Flags of seccomp(2) that we set ourselves. */
export const SECCOMP_FLAG = { tsync: 1, specAllow: 4, newListener: 8, tsyncEsrch: 16 } as const;

const OPERATORS: ReadonlyMap<string, number> = new Map(
  ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"].map((name, index) => [`SCMP_CMP_${name}`, index + 1]),
);

const EPERM = 1;

/** The filter's return value for an action name and its `errnoRet`. Throws SeccompError naming `field`. */
export function parseAction(field: string, action: string | undefined, errnoRet: number | undefined): number {
  const value = ACTIONS.get(action ?? "");
  if (value === undefined) throw new SeccompError(field, `unknown action ${JSON.stringify(action)}`);
  const takesData = value === SECCOMP_RETURN.errno || value === SECCOMP_RETURN.trace;
  if (errnoRet === undefined) return takesData ? value + EPERM : value;
  if (!takesData) throw new SeccompError(field, `${action} takes no errnoRet`);
  if (!Number.isInteger(errnoRet) || errnoRet < 0 || errnoRet > 0xffff)
    throw new SeccompError(field, `errnoRet ${errnoRet} is not 0 to 65535`);
  return value + errnoRet;
}

/** libseccomp's number (1 to 7) of a comparison. Throws SeccompError naming `field`. */
export function parseOperator(field: string, operator: string): number {
  const value = OPERATORS.get(operator);
  if (value === undefined) throw new SeccompError(field, `unknown operator ${JSON.stringify(operator)}`);
  return value;
}

/** The bits of `flags`; undefined if the profile leaves the choice to us. Throws SeccompError for an unknown flag. */
export function parseFlags(flags: readonly string[] | undefined): number | undefined {
  return flags?.reduce((bits, flag, index) => {
    const bit = FLAGS.get(flag);
    if (bit === undefined)
      throw new SeccompError(`linux.seccomp.flags[${index}]`, `unknown flag ${JSON.stringify(flag)}`);
    return bits | bit;
  }, 0);
}

/** An argument's value as unsigned 64 bits. JSON's nearest number to 2⁶⁴−1 is 2⁶⁴: taken as the former. */
export function parseValue(field: string, value: number | bigint): bigint {
  if (typeof value === "number" && !Number.isInteger(value))
    throw new SeccompError(field, `${value} is not an integer`);
  const wide = BigInt(value);
  if (wide === 1n << 64n) return (1n << 64n) - 1n;
  if (wide < 0n || wide > 1n << 64n) throw new SeccompError(field, `${value} is not an unsigned 64-bit number`);
  return wide;
}
