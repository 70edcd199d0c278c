import { type Check, isFault } from "./checks/check.ts";
import { CHECKS } from "./checks/index.ts";
import { knownReason } from "./deviations.ts";
import { describeError, Finding, NotOffered } from "./lab/finding.ts";
import { Lab } from "./lab/lab.ts";
import { Lane } from "./lab/lane.ts";
import { within } from "./lab/patience.ts";
import type { Target } from "./lab/target.ts";
import type { Identity } from "./shim/identity.ts";

/** What came of one check. */
export type Verdict =
  | { readonly kind: "passed" }
  | { readonly kind: "failed"; readonly expected: string; readonly came: string }
  /** Failed, and known to: see deviations.ts. */
  | { readonly kind: "known"; readonly expected: string; readonly came: string; readonly reason: string }
  | { readonly kind: "not offered"; readonly reason: string };

/** A check's verdict, how long it took, and what was asked and answered. */
export interface Result {
  readonly check: Check;
  readonly verdict: Verdict;
  readonly durationMs: number;
  /** Calls and commands of the check in their order. */
  readonly journal: readonly string[];
}

/** Which checks are to run. */
export interface Choice {
  /** Ids; where there is no such id, beginnings of ids as far as a dot or dash; or numbers of the checklist. Default: all. */
  readonly only?: readonly string[];
  readonly faults: boolean;
  /** Those that take more than a few seconds by their nature, too. */
  readonly slow: boolean;
}

/** How to run them. */
export interface RunOptions {
  /** At the same time, each with a namespace of its own. */
  readonly jobs: number;
  /** Called for each check in their order. */
  readonly onResult: (result: Result) => void;
  readonly signal?: AbortSignal;
}

/** The chosen checks. What `only` names runs whatever the other choices are. Throws RangeError if a name means none. */
export function chooseChecks({ only, faults, slow }: Choice): readonly Check[] {
  if (only === undefined)
    return CHECKS.filter((check) => (faults || !isFault(check)) && (slow || check.isSlow !== true));
  for (const name of only)
    if (!CHECKS.some((check) => isNamed(check, name)))
      throw new RangeError(`--only ${name}: no such check; --list shows them`);
  return CHECKS.filter((check) => only.some((name) => isNamed(check, name)));
}

function isNamed({ id, numbers }: Check, name: string): boolean {
  if (/^\d+$/.test(name)) return numbers.includes(Number(name));
  if (CHECKS.some((check) => check.id === name)) return id === name;
  return id.startsWith(`${name}.`) || id.startsWith(`${name}-`);
}

/** Run checks against a shim. Whatever it does, what it leaves behind is removed. */
export async function runChecks(
  target: Target,
  identity: Identity,
  checks: readonly Check[],
  { jobs, onResult, signal }: RunOptions,
): Promise<Result[]> {
  const results: (Result | undefined)[] = checks.map(() => undefined);
  let next = 0;
  let shown = 0;
  const work = async () => {
    const lanes = new Lanes();
    try {
      while (next < checks.length && signal?.aborted !== true) {
        const at = next++;
        const check = checks[at];
        if (check === undefined) return;
        results[at] = await runCheck(target, identity, check, lanes);
        for (let ready = results[shown]; ready !== undefined; ready = results[++shown]) onResult(ready);
      }
    } finally {
      await lanes.close();
    }
  };
  await Promise.all(Array.from({ length: Math.min(jobs, checks.length) }, work));
  return results.filter((result) => result !== undefined);
}

/** One worker's lane. A new one is opened where a shim has misbehaved in the last. */
class Lanes {
  #lane: Lane | undefined;

  async open(): Promise<Lane> {
    this.#lane ??= await Lane.open();
    return this.#lane;
  }

  /** Returns what would not go. */
  async close(): Promise<string[]> {
    const lane = this.#lane;
    this.#lane = undefined;
    return lane === undefined ? [] : await lane.close();
  }
}

const CHECK_LIMITS = 3;
const SLOW_MS = 60_000;

async function runCheck(target: Target, identity: Identity, check: Check, lanes: Lanes): Promise<Result> {
  const began = performance.now();
  const lab = new Lab(target, await lanes.open());
  const limitMs = check.isSlow === true ? SLOW_MS : CHECK_LIMITS * target.limitMs;
  let verdict = await within("the check's end", check.run(lab), limitMs).then(
    (): Verdict => ({ kind: "passed" }),
    (error: unknown) => verdictOf(error),
  );
  const journal = [...lab.journal]; // without what is asked to clean up
  const left = await lab.close(verdict.kind !== "failed");
  if (left.length > 0 || verdict.kind === "failed")
    left.push(...(await lanes.close()).map((each) => `after SIGKILL: ${each}`));
  if (left.length > 0 && verdict.kind !== "failed")
    verdict = { kind: "failed", expected: "nothing left of the containers", came: left.join("; ") };
  if (verdict.kind === "failed") {
    const reason = knownReason(identity, check.id);
    if (reason !== undefined) verdict = { ...verdict, kind: "known", reason };
  }
  return { check, verdict, durationMs: performance.now() - began, journal };
}

function verdictOf(error: unknown): Verdict {
  if (error instanceof NotOffered) return { kind: "not offered", reason: error.message };
  if (error instanceof Finding) return { kind: "failed", expected: error.expected, came: error.came };
  return { kind: "failed", expected: "every step to succeed", came: describeError(error) };
}
