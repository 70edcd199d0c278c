import {
  parseAction,
  parseFlags,
  parseOperator,
  parseValue,
  SECCOMP_FLAG,
  SECCOMP_RETURN,
  SeccompError,
  type SeccompProfile,
} from "./profile.ts";

/** One condition as libseccomp takes it (struct scmp_arg_cmp). */
export interface Comparison {
  readonly index: number;
  readonly operator: number;
  readonly first: bigint;
  readonly second: bigint;
}

/** One rule as libseccomp takes it: all comparisons hold. `field` is where it came from. */
export interface FilterRule {
  readonly field: string;
  readonly name: string;
  readonly action: number;
  readonly comparisons: readonly Comparison[];
}

/** A checked profile. Names of system calls and architectures are still text: only libseccomp knows them all. */
export interface FilterRules {
  readonly defaultAction: number;
  readonly architectures: readonly string[];
  /** Flags for seccomp(2); undefined leaves the choice to us. */
  readonly flags: number | undefined;
  readonly notify: boolean;
  readonly rules: readonly FilterRule[];
  /** Every call that the profile names, also in rules that were dropped. */
  readonly names: readonly string[];
}

/**
 * Check a profile and flatten it: one rule per name, rules equal to the default dropped, two conditions on one argument as
 * alternatives (each a rule of its own, as in runc and crun). Undefined if the profile is empty: no filter at all.
 * Throws SeccompError naming the field. Source: runtime checklist 1.8.
 */
export function parseRules(profile: SeccompProfile): FilterRules | undefined {
  const syscalls = profile.syscalls ?? [];
  if (profile.defaultAction === undefined && syscalls.length === 0) return undefined;
  const defaultAction = parseAction("linux.seccomp.defaultAction", profile.defaultAction, profile.defaultErrnoRet);
  if (defaultAction === SECCOMP_RETURN.notify)
    throw new SeccompError("linux.seccomp.defaultAction", "SCMP_ACT_NOTIFY would deadlock");
  const rules: FilterRule[] = [];
  let notify = false;
  syscalls.forEach((rule, index) => {
    const field = `linux.seccomp.syscalls[${index}]`;
    const action = parseAction(`${field}.action`, rule.action, rule.errnoRet);
    if (rule.names.length === 0) throw new SeccompError(`${field}.names`, "is empty");
    if (action === SECCOMP_RETURN.notify) {
      if (rule.names.includes("write"))
        throw new SeccompError(`${field}.names`, '"write" with SCMP_ACT_NOTIFY would deadlock');
      notify = true;
    }
    const comparisons = (rule.args ?? []).map((condition, at) => parseCondition(`${field}.args[${at}]`, condition));
    if (action === defaultAction) return;
    const indexes = new Set(comparisons.map((comparison) => comparison.index));
    const alternatives =
      indexes.size < comparisons.length ? comparisons.map((comparison) => [comparison]) : [comparisons];
    for (const name of rule.names) {
      for (const alternative of alternatives) rules.push({ field, name, action, comparisons: alternative });
    }
  });
  return {
    defaultAction,
    architectures: profile.architectures ?? [],
    flags: parseFlags(profile.flags),
    notify,
    rules,
    names: [...new Set(syscalls.flatMap(({ names }) => names))],
  };
}

function parseCondition(
  field: string,
  condition: NonNullable<NonNullable<SeccompProfile["syscalls"]>[number]["args"]>[number],
): Comparison {
  const { index, op, value, valueTwo } = condition;
  if (!Number.isInteger(index) || index < 0 || index > 5)
    throw new SeccompError(`${field}.index`, `${index} is not 0 to 5`);
  return {
    index,
    operator: parseOperator(`${field}.op`, op),
    first: parseValue(`${field}.value`, value),
    second: parseValue(`${field}.valueTwo`, valueTwo ?? 0),
  };
}

/** The flags for seccomp(2): SPEC_ALLOW if the profile is silent and the kernel takes it, and what NOTIFY needs. */
export function toFilterFlags(rules: FilterRules, kernelTakesSpecAllow: () => boolean): number {
  const flags = rules.flags ?? (kernelTakesSpecAllow() ? SECCOMP_FLAG.specAllow : 0);
  if (!rules.notify) return flags;
  return flags | SECCOMP_FLAG.newListener | (flags & SECCOMP_FLAG.tsync ? SECCOMP_FLAG.tsyncEsrch : 0);
}
