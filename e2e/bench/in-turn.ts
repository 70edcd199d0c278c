import { type ShimKind, ShimYard } from "../harness/shims.ts";

/** A kind of shim, and milliseconds by step, a sample per round. */
export interface Candidate {
  readonly kind: ShimKind;
  readonly series: Map<string, number[]>;
}

/** Takes the steps of one sample. */
export type Recorder = (laps: Readonly<Record<string, number>>) => void;

/** One sample of each kind per round, so that whatever disturbs the machine disturbs all alike. One round more warms up. */
export async function inTurn(
  what: string,
  candidates: readonly Candidate[],
  count: number,
  open: (yard: ShimYard, record: Recorder) => () => Promise<void>,
  alongside: () => Promise<void> = async () => undefined,
): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const steps: (() => Promise<void>)[] = [];
  let warm = false;
  for (const { kind, series } of candidates) {
    const yard = stack.use(await ShimYard.open(kind));
    const record: Recorder = (laps) => {
      if (!warm) return;
      for (const [step, ms] of Object.entries(laps)) series.set(step, [...(series.get(step) ?? []), ms]);
    };
    steps.push(open(yard, record));
  }
  for (let round = 0; round <= count; round++) {
    for (const step of round % 2 === 0 ? steps : steps.toReversed()) await step(); // nobody always comes first
    if (warm) await alongside();
    warm = true;
  }
  process.stderr.write(`${what}: ${count} rounds\n`);
}

/** A program for `inTurn`: execs, one after the other, in one container. `start` makes that. */
export function execsOf<T>(
  start: (yard: ShimYard) => Promise<T>,
  one: (pod: T, id: string) => Promise<Readonly<Record<string, number>>>,
): (yard: ShimYard, record: Recorder) => () => Promise<void> {
  return (yard, record) => {
    const pod = start(yard);
    let number = 0;
    return async () => {
      number += 1;
      record(await one(await pod, `e${number}`));
    };
  };
}
