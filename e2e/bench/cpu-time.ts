import { readdirSync, readFileSync } from "node:fs";

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
