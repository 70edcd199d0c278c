import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Engine } from "../harness/containerd.ts";
import { type RuntimeName, runtimeType } from "../harness/driver.ts";
import { openEngineClient } from "../harness/engine-client.ts";
import { Fleet } from "./fleet.ts";
import { type LiveContainer, live, type Outcome, type Stage } from "./life.ts";
import { carryOut, chooseStrike, type Strike } from "./strikes.ts";

/** What to do to an engine. */
export interface ChaosOptions {
  readonly runtime: RuntimeName;
  readonly lives: number;
  /** Lives at the same time. */
  readonly lanes: number;
  /** Longest pause between two strikes. */
  readonly pauseMs: number;
  readonly random: () => number;
  readonly onProgress?: (report: ChaosReport) => void;
  readonly onLost?: (error: Error) => void;
}

/** What was done, and what came of it. */
export interface ChaosReport {
  readonly outcomes: Readonly<Record<Outcome, number>>;
  readonly strikes: ReadonlyMap<Strike, number>;
  /** From `kill -STOP` of the task server to the answer of a State. */
  readonly answeredMs: readonly number[];
  /** What was acknowledged and is not as it was promised. */
  readonly lost: readonly Error[];
}

/** Lives on one side, strikes on the other, until all lives are over. */
export async function runChaos(engine: Engine, options: ChaosOptions): Promise<ChaosReport> {
  await using client = await openEngineClient(engine);
  const { random } = options;
  const stage: Stage = {
    fleet: new Fleet(engine, runtimeType(options.runtime), client),
    alive: new Set<LiveContainer>(),
    newId: () => engine.newId(),
    random,
  };
  const outcomes = { whole: 0, struck: 0, forgotten: 0 };
  const strikes = new Map<Strike, number>();
  const answeredMs: number[] = [];
  const lost: Error[] = [];
  const report = { outcomes, strikes, answeredMs, lost };
  let next = 0;
  const lane = async () => {
    while (next < options.lives) {
      try {
        outcomes[await live(stage, next++)] += 1;
      } catch (error) {
        const loss = error instanceof Error ? error : new Error(String(error));
        lost.push(loss);
        options.onLost?.(loss);
      }
      options.onProgress?.(report);
    }
  };
  const over = new AbortController();
  const striking = (async () => {
    while (!over.signal.aborted) {
      await delay(random() * options.pauseMs);
      const strike = chooseStrike(options.runtime, random());
      const { hit, answeredMs: ms } = await carryOut(strike, stage);
      if (hit) strikes.set(strike, (strikes.get(strike) ?? 0) + 1);
      if (ms !== undefined) answeredMs.push(ms);
    }
  })();
  await Promise.all(Array.from({ length: options.lanes }, lane));
  over.abort();
  await striking;
  return report;
}

/**
 * containerd renames a bundle before it removes it; killed in between, it leaves the renamed one, and passes it over at its next start. They
 * are removed here and counted: how many a killed containerd has left.
 */
export async function removeHalfRemoved(engine: Engine): Promise<number> {
  if (engine.kind !== "containerd") return 0;
  const folder = join(engine.dir, "state/io.containerd.runtime.v2.task", engine.namespace);
  const hidden = (await readdir(folder).catch(() => [])).filter((name) => name.startsWith("."));
  for (const name of hidden) await rm(join(folder, name), { recursive: true });
  return hidden.length;
}

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
