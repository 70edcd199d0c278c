import { readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { processesOf } from "../harness/belongings.ts";
import type { ShimYard } from "../harness/shims.ts";

/**
 * Processor time of a process so far, milliseconds, with those of its threads that live. Says what a thing costs where wall time says how busy the machine is. Source:
 * Linux, scheduler/sched-stats.rst, /proc/PID/schedstat.
 */
export function cpuMs(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  return threads.reduce((sum, thread) => sum + threadNs(pid, thread), 0) / 1e6;
}

function threadNs(pid: number, thread: string): number {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]);
  } catch {
    return 0; // it has just ended
  }
}

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
