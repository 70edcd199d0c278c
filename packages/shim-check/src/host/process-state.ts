import { readFile } from "node:fs/promises";

/** A process that no other is taken for, when its pid is given again. */
export interface ProcessIdentity {
  readonly pid: number;
  /** In ticks since the host's boot. */
  readonly startTime: string;
}

/** The process that has a pid now; undefined if none has, or a zombie. Source: proc_pid_stat(5). */
export async function processAt(pid: number): Promise<ProcessIdentity | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => "");
  const [state, ...fields] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const startTime = fields[18]; // the 22nd of all
  return startTime === undefined || state === "Z" || state === "X" ? undefined : { pid, startTime };
}

/** Whether a process is there still. */
export async function isThere({ pid, startTime }: ProcessIdentity): Promise<boolean> {
  return (await processAt(pid))?.startTime === startTime;
}

/** SIGKILL, or another signal; one that has gone is no matter. */
export function signal(pid: number, name: NodeJS.Signals = "SIGKILL"): void {
  try {
    process.kill(pid, name);
  } catch {
    // gone
  }
}
