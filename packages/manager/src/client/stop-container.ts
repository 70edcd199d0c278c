import { setTimeout as delay } from "node:timers/promises";
import { Code, hasCode } from "../errors/manager-error.ts";
import type { ClientContainer } from "./client-container.ts";
import { requireTask } from "./client-task.ts";
import { deleteTask } from "./create-task.ts";
import type { ManagerClient } from "./manager-client.ts";
import { killTask } from "./remove-container.ts";

/**
 * Ask a container to end, and after `timeoutMs` end it: `signal` to its first process, then SIGKILL to all. Its task is deleted then
 * and its network let go; the container stays. Throws NotFound if it has no task.
 */
export async function stopContainer(
  client: ManagerClient,
  { id, network }: ClientContainer,
  signal: number,
  timeoutMs: number,
): Promise<void> {
  const task = await requireTask(client, id);
  const status = await task.status();
  if (status !== undefined && status.state !== "stopped") {
    if (status.state === "paused") await task.resume();
    const ended = task.wait();
    await task.kill(signal).catch(ignoreNotFound);
    const late = new AbortController();
    const isLate = delay(timeoutMs, true, { signal: late.signal }).catch(() => false);
    if (await Promise.race([ended.then(() => false), isLate])) await killTask(task, false);
    late.abort();
    await ended;
  }
  await deleteTask(client, task, network);
}

function ignoreNotFound(error: unknown): void {
  if (!hasCode(error, Code.NotFound)) throw error;
}
