import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { constants, setPriority } from "node:os";
import { join } from "node:path";
import type { Part } from "./parts.ts";

/** How a part ended. */
export interface Outcome {
  readonly part: Part;
  readonly passed: boolean;
  readonly why: string;
  readonly durationMs: number;
  /** All that it said. Undefined if it said it to the terminal. */
  readonly logPath: string | undefined;
}

/** Run a part to its end, its output into a file of `logs`, or where ours goes if there is none. */
export async function runPart(
  part: Part,
  root: string,
  logs: string | undefined,
  env: NodeJS.ProcessEnv,
): Promise<Outcome> {
  const startedAt = performance.now();
  const logPath = logs === undefined ? undefined : join(logs, `${part.name.replace(":", "-")}.log`);
  const output = logPath === undefined ? "inherit" : openSync(logPath, "w");
  const [program = "", ...args] = part.command;
  const child = spawn(program, args, {
    cwd: join(root, part.directory ?? "."),
    stdio: ["ignore", output, output],
    env,
    detached: true, // a group of its own, so that all of it can be ended
  });
  if (part.isAside && child.pid !== undefined) giveWay(child.pid);
  const end = (signal: NodeJS.Signals) => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, signal);
  };
  const interrupt = () => end("SIGTERM");
  const late = setTimeout(() => end("SIGTERM"), part.limitMs);
  const tooLate = setTimeout(() => end("SIGKILL"), part.limitMs + 20_000);
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  const [code, signal] = await once(child, "exit");
  process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  clearTimeout(late);
  clearTimeout(tooLate);
  if (typeof output === "number") closeSync(output);
  const durationMs = performance.now() - startedAt;
  const ended = signal === null ? `exit status ${code}` : signal;
  const why = durationMs > part.limitMs ? `over its limit of ${part.limitMs / 1000} s (${ended})` : ended;
  return { part, passed: code === 0, why, durationMs, logPath };
}

/** The lowest priority, for it and its children, within its session and of its session: the second is another setting where autogroup is on (sched(7)). */
function giveWay(pid: number): void {
  setPriority(pid, constants.priority.PRIORITY_LOW);
  try {
    writeFileSync(`/proc/${pid}/autogroup`, String(constants.priority.PRIORITY_LOW));
  } catch {} // a kernel without it
}
