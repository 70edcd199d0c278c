import { setTimeout as delay } from "node:timers/promises";
import { type ShimKind, ShimYard } from "../harness/shims.ts";
import { measure, type PodMemory, startPod } from "./memory.ts";

/** How many pods are there when memory is measured. */
export const CROWDS: readonly number[] = [1, 20, 100, 300];
/** How many pods are there when the crowd is left alone for a while. */
export const RESTING = 100;
const REST_MS = 3000;
const REST_LIMIT_MS = 60_000;
/** The first start finds no task server; the next ones, and the last ones, are what is compared. */
const WINDOW = 10;

/** Pods of one kind, one more at a time. */
export interface Crowd {
  readonly memory: readonly PodMemory[];
  /** With nothing to do for longer than a task server stays for that. */
  readonly atRest: PodMemory;
  /** Milliseconds from bootstrap to the end of Start, of the first ten after the very first, and of the last ten. */
  readonly firstMs: readonly number[];
  readonly lastMs: readonly number[];
}

/** Start pods up to the largest crowd, all of them alive. */
export async function gather(kind: ShimKind): Promise<Crowd> {
  const env = { ...kind.env, TRIMARAN_IDLE_MS: String(REST_MS) }; // a minute by default
  await using yard = await ShimYard.open({ ...kind, env });
  let atRest: PodMemory | undefined;
  const memory: PodMemory[] = [];
  const startMs: number[] = [];
  const most = CROWDS.at(-1) ?? 0;
  for (let pods = 1; pods <= most; pods++) {
    const began = performance.now();
    await startPod(yard);
    startMs.push(performance.now() - began);
    if (CROWDS.includes(pods)) memory.push(await measure(yard, pods));
    if (pods === RESTING) atRest = await rest(yard);
  }
  if (atRest === undefined) throw new Error("the crowd never rested");
  return { memory, atRest, firstMs: startMs.slice(1, 1 + WINDOW), lastMs: startMs.slice(-WINDOW) };
}

/** Wait until no task server is left, if there was one. */
async function rest(yard: ShimYard): Promise<PodMemory> {
  for (const until = performance.now() + REST_LIMIT_MS; ; await delay(500)) {
    const found = await measure(yard, RESTING);
    if (found.servers.pssKb === 0) return found;
    if (performance.now() > until) throw new Error(`the task server is there after ${REST_LIMIT_MS} ms of rest`);
  }
}
