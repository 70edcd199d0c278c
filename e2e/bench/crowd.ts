import { type ShimKind, ShimYard } from "../harness/shims.ts";
import { measure, type PodMemory, startPod } from "./memory.ts";

/** How many pods are there when memory is measured. */
export const CROWDS: readonly number[] = [1, 20, 100, 300];
/** The first start finds no task server; the next ones, and the last ones, are what is compared. */
const WINDOW = 10;

/** Pods of one kind, one more at a time. */
export interface Crowd {
  readonly memory: readonly PodMemory[];
  /** Milliseconds from bootstrap to the end of Start, of the first ten after the very first, and of the last ten. */
  readonly firstMs: readonly number[];
  readonly lastMs: readonly number[];
}

/** Start pods up to the largest crowd, all of them alive. */
export async function gather(kind: ShimKind): Promise<Crowd> {
  await using yard = await ShimYard.open(kind);
  const memory: PodMemory[] = [];
  const startMs: number[] = [];
  const most = CROWDS.at(-1) ?? 0;
  for (let pods = 1; pods <= most; pods++) {
    const began = performance.now();
    await startPod(yard);
    startMs.push(performance.now() - began);
    if (CROWDS.includes(pods)) memory.push(await measure(yard, pods));
  }
  return { memory, firstMs: startMs.slice(1, 1 + WINDOW), lastMs: startMs.slice(-WINDOW) };
}
