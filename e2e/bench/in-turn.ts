import { type ShimKind, ShimYard } from "../harness/shims.ts";
import { type Laps, oneExec } from "./latency.ts";
import { startPod } from "./memory.ts";

/** A kind of shim, and its samples by step, one per round. */
export interface Candidate {
  readonly kind: ShimKind;
  readonly samples: Map<string, number[]>;
}

/** What is measured besides the steps themselves. */
export interface Beside {
  /** Run once in every round, after all kinds. */
  readonly alongside?: () => Promise<void>;
  /** A sum that grows, read before the first round and after the last: what one round has added is the sample, named as the whole. */
  readonly around?: (yard: ShimYard) => Promise<number>;
  /** Rounds before the first that counts: default 1. */
  readonly warmUp?: number;
}

/** One sample of each kind per round, so that whatever disturbs the machine disturbs all alike. Some rounds more warm up. */
export async function inTurn(
  what: string,
  candidates: readonly Candidate[],
  count: number,
  open: (yard: ShimYard) => () => Promise<Laps>,
  { alongside, around, warmUp = 1 }: Beside = {},
): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const steps = [];
  for (const { kind, samples } of candidates) {
    const yard = stack.use(await ShimYard.open(kind));
    steps.push({ samples, step: open(yard), yard, before: 0 });
  }
  for (let round = 1 - warmUp; round <= count; round++) {
    for (const { samples, step } of round % 2 === 0 ? steps : steps.toReversed()) {
      const laps = await step(); // nobody always comes first
      if (round > 0) addLaps(samples, laps);
    }
    if (round > 0) await alongside?.();
    if (round === 0 && around) for (const each of steps) each.before = await around(each.yard);
  }
  if (around)
    for (const { samples, yard, before } of steps)
      addLaps(samples, { [what]: ((await around(yard)) - before) / count });
  process.stderr.write(`${what}: ${count} rounds\n`);
}

/** For `inTurn`: execs, one after the other, in one container. */
export function execsIn(yard: ShimYard): () => Promise<Laps> {
  const pod = startPod(yard);
  let number = 0;
  return async () => oneExec(await pod, `e${number++}`);
}

/** One sample more of each step. */
export function addLaps(samples: Map<string, number[]>, laps: Laps): void {
  for (const [step, value] of Object.entries(laps)) samples.set(step, [...(samples.get(step) ?? []), value]);
}
