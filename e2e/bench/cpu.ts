import { readFile } from "node:fs/promises";
import { processesOf } from "../harness/belongings.ts";
import type { ShimYard } from "../harness/shims.ts";

/** Of USER_HZ, which is 100 on every architecture that Linux gives to user space here. */
const MS_PER_TICK = 10;

/** Milliseconds of the processor that the yard's processes, and what they have reaped, have used. */
export async function cpuOf(yard: ShimYard): Promise<number> {
  const processes = await processesOf(yard);
  const ticks = await Promise.all(processes.map(({ pid }) => ticksOf(pid)));
  return ticks.reduce((sum, each) => sum + each, 0) * MS_PER_TICK;
}

/** Fields 14 to 17 of /proc/PID/stat: user and system, its own and its children's. */
async function ticksOf(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => "");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
}
