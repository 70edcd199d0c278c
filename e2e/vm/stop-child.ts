import type { ChildProcess } from "node:child_process";
import { once } from "node:events";

const PATIENCE_MS = 5_000;

/** SIGTERM, SIGKILL after 5 s, and wait for the end. A child that has ended, or never started, is success. */
export async function stopChild(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
  await exit;
  clearTimeout(timer);
}
