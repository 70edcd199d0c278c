import { type containerd, toTimestamp } from "@trimaran/proto";
import type { RunningTask } from "./task-registry.ts";

/** What each task's shim measures, in the shim's own type. A task whose shim has no answer is left out. */
export async function taskMetrics(tasks: readonly RunningTask[]): Promise<containerd.types.Metric[]> {
  const metrics = tasks.map(async ({ bundle: { id }, connection }) => {
    const { stats } = await connection.task.stats({ id });
    return { timestamp: toTimestamp(BigInt(Date.now()) * 1_000_000n), id, data: stats };
  });
  const settled = await Promise.allSettled(metrics);
  return settled.filter((result) => result.status === "fulfilled").map(({ value }) => value);
}
