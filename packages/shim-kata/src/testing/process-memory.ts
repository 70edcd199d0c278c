import { readFileSync } from "node:fs";

/** A process's memory in kB, as /proc/PID/smaps_rollup names it: Pss is its fair share of what others map, too. */
export function processMemoryKb(pid: number, field: "Pss" | "Rss" | "Private_Dirty"): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const value = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(text)?.[1];
  if (value === undefined) throw new Error(`/proc/${pid}/smaps_rollup: no ${field}`);
  return Number(value);
}
