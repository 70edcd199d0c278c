import { ANY, type containerd, fromTimestamp, io, isAnyOf } from "@trimaran/proto";
import type { ManagerClient } from "./manager-client.ts";

/** What a container has used, at one moment. */
export interface TaskUsage {
  readonly id: string;
  readonly atNs: bigint;
  /** CPU time of all its processes. */
  readonly cpuNs: bigint;
  readonly memoryBytes: bigint;
  /** Undefined if there is none. */
  readonly memoryLimitBytes: bigint | undefined;
  readonly pids: bigint;
}

/** Above this a limit is the kernel's way to say that there is none. */
const NO_LIMIT = 1n << 60n;

/** Of all containers with a task, by id. One whose shim measures in a way that we don't know is left out. */
export async function taskUsages({ services }: ManagerClient): Promise<TaskUsage[]> {
  const { metrics } = await services.tasks.metrics({ filters: [] });
  return metrics
    .map(toUsage)
    .filter((usage) => usage !== undefined)
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

function toUsage({ id, timestamp, data }: containerd.types.Metric): TaskUsage | undefined {
  const atNs = timestamp === undefined ? 0n : fromTimestamp(timestamp);
  if (data === undefined) return undefined;
  if (isAnyOf(data, ANY.cgroupV1Metrics)) {
    const { cpu, memory, pids } = io.containerd.cgroups.v1.Metrics.decode(data.value);
    const { usage = 0n, limit = 0n } = memory?.usage ?? {};
    return { id, atNs, cpuNs: cpu?.usage?.total ?? 0n, ...memoryOf(usage, limit), pids: pids?.current ?? 0n };
  }
  if (!isAnyOf(data, ANY.cgroupV2Metrics)) return undefined;
  const { cpu, memory, pids } = io.containerd.cgroups.v2.Metrics.decode(data.value);
  const cpuNs = (cpu?.usageUsec ?? 0n) * 1000n;
  return { id, atNs, cpuNs, ...memoryOf(memory?.usage ?? 0n, memory?.usageLimit ?? 0n), pids: pids?.current ?? 0n };
}

function memoryOf(usage: bigint, limit: bigint): Pick<TaskUsage, "memoryBytes" | "memoryLimitBytes"> {
  return { memoryBytes: usage, memoryLimitBytes: limit > 0n && limit < NO_LIMIT ? limit : undefined };
}
