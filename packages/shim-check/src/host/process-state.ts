import { readFile } from "node:fs/promises";

/** Whether a process is there and no zombie. */
export async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => "");
  const state = /^\d+ \(.*\) (\S)/s.exec(stat)?.[1];
  return state !== undefined && state !== "Z" && state !== "X";
}

/** SIGKILL, or another signal; one that has gone is no matter. */
export function signal(pid: number, name: NodeJS.Signals = "SIGKILL"): void {
  try {
    process.kill(pid, name);
  } catch {
    // gone
  }
}
