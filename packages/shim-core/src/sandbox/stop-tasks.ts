import type { Task } from "../task/task.ts";

const [SIGTERM, SIGKILL] = [15, 9];
/** For what is killed to be seen as such; only a process that the kernel cannot end takes longer. */
const KILL_LIMIT_MS = 10_000;

/** End all tasks that still run: SIGTERM and, after `graceMs`, SIGKILL; without a grace at once. Their ends are told as usual. */
export async function stopTasks(tasks: readonly Task[], graceMs: number, signal: AbortSignal): Promise<void> {
  await Promise.all(tasks.map((task) => stopTask(task, graceMs, signal)));
}

async function stopTask(task: Task, graceMs: number, signal: AbortSignal): Promise<void> {
  await task.ready();
  if (graceMs > 0 && (await ended(task, SIGTERM, graceMs, signal))) return;
  await ended(task, SIGKILL, KILL_LIMIT_MS, signal);
}

/** Whether it is over within the limit; one that was never made is not waited for. */
async function ended(task: Task, signalNumber: number, limitMs: number, signal: AbortSignal): Promise<boolean> {
  if (task.outcome !== undefined || task.state.state === "creating" || task.isDeleted) return true;
  await task
    .container()
    .killAll(signalNumber)
    .catch(() => undefined); // ended meanwhile
  if (task.outcome !== undefined) return true;
  const limit = AbortSignal.any([signal, AbortSignal.timeout(limitMs)]);
  return await task.waiters.wait(limit).then(
    () => true,
    () => false,
  );
}
