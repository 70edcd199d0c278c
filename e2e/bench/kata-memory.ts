import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { processesOf } from "../harness/belongings.ts";
import type { ShimYard } from "../harness/shims.ts";
import { oneExec } from "./latency.ts";
import { startPod } from "./memory.ts";

const FROM = 3;
const TO = 8;

/** What a pod more costs, in KiB of PSS: all of it, and by program. */
export interface PodCost {
  readonly from: number;
  readonly to: number;
  readonly totalKb: number;
  readonly byProgram: ReadonlyMap<string, number>;
}

/**
 * The slope of PSS from three to eight pods that sleep and have run an exec, so that nothing that is there once counts. Everything of the yard counts: QEMU with
 * what its guest has touched, file daemon, bridge, monitor, and the task server's growth.
 */
export async function podCost(yard: ShimYard): Promise<PodCost> {
  let before = new Map<string, number>();
  for (let pods = 1; pods <= TO; pods++) {
    await oneExec(await startPod(yard), "first");
    if (pods === FROM) before = await pssByProgram(yard);
  }
  const after = await pssByProgram(yard);
  const byProgram = new Map([...after].map(([name, kb]) => [name, (kb - (before.get(name) ?? 0)) / (TO - FROM)]));
  return { from: FROM, to: TO, totalKb: [...byProgram.values()].reduce((sum, kb) => sum + kb, 0), byProgram };
}

async function pssByProgram(yard: ShimYard): Promise<Map<string, number>> {
  const sums = new Map<string, number>();
  for (const { pid, command } of await processesOf(yard)) {
    const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "");
    const name = basename(command.split(" ")[0] ?? "");
    sums.set(name, (sums.get(name) ?? 0) + Number(/^Pss: +(\d+) kB/m.exec(text)?.[1] ?? 0));
  }
  return sums;
}
