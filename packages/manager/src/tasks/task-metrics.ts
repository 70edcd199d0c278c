import { type containerd, toTimestamp } from "@trimaran/proto";
import { parseFilters } from "../metadata/filters.ts";
import type { RunningTask } from "./task-registry.ts";

/**
 * What the shims of the tasks measure, in the shims' own types; filters know `id` and `namespace`. A task whose shim has no answer is
 * left out. Throws InvalidArgument for a bad filter.
 */
export async function taskMetrics(
  tasks: readonly RunningTask[],
  filters: readonly string[],
): Promise<containerd.types.Metric[]> {
  const matches = parseFilters(filters);
  const chosen = tasks.filter(({ bundle: { id, namespace } }) => matches({ id, namespace }));
  const metrics = chosen.map(async ({ bundle: { id }, connection }) => {
    const { stats } = await connection.task.stats({ id });
    return { timestamp: toTimestamp(BigInt(Date.now()) * 1_000_000n), id, data: stats };
  });
  const settled = await Promise.allSettled(metrics);
  return settled.filter((result) => result.status === "fulfilled").map(({ value }) => value);
}
