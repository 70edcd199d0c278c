import { listContainers, type ManagerClient } from "@trimaran/manager";
import { gatherMetrics } from "@trimaran/manager/metrics";
import { type TaskUsage, taskUsages } from "@trimaran/manager/watch";
import type { Overview, StartSteps, Usage } from "../../web/model.ts";

/** What a start is made of, in this order, as task servers time it. */
const STEPS = ["bootstrap_start", "create", "start"] as const;

/** Everything on the first page. */
export async function readOverview(client: ManagerClient, taskServers: string): Promise<Overview> {
  const [containers, usages, starts] = await Promise.all([
    listContainers(client),
    taskUsages(client),
    readStarts(taskServers),
  ]);
  const usageOf = new Map(usages.map((usage) => [usage.id, toUsage(usage)]));
  return {
    namespace: client.namespace,
    daemon: client.address ?? "",
    containers: containers.map(({ container, state, pid, exitStatus }) => ({
      id: container.id,
      image: container.image,
      runtime: container.runtime,
      command: container.args.join(" "),
      state,
      pid: pid ?? 0,
      exitStatus: exitStatus ?? -1,
      createdAtMs: Number(container.createdAtNs / 1_000_000n),
      usage: usageOf.get(container.id) ?? null,
    })),
    starts,
  };
}

function toUsage({ atNs, cpuNs, memoryBytes, memoryLimitBytes, pids }: TaskUsage): Usage {
  return {
    atMs: Number(atNs) / 1e6,
    cpuMs: Number(cpuNs) / 1e6,
    memoryBytes: Number(memoryBytes),
    memoryLimitBytes: Number(memoryLimitBytes ?? 0n),
    pids: Number(pids),
  };
}

/** How long the steps of a start take on average, for each runtime that has started something. */
async function readStarts(taskServers: string): Promise<StartSteps[]> {
  const families = (await gatherMetrics([taskServers])).filter(
    ({ name }) => name === "trimaran_request_duration_seconds",
  );
  const totals = new Map<string, Map<string, { count: number; seconds: number }>>();
  for (const sample of families.flatMap(({ samples }) => samples)) {
    const { runtime = "", method = "" } = sample.labels;
    if (!("counts" in sample) || !STEPS.some((step) => step === method)) continue;
    const ofRuntime = totals.get(runtime) ?? new Map<string, { count: number; seconds: number }>();
    const total = ofRuntime.get(method) ?? { count: 0, seconds: 0 };
    total.count += sample.counts.reduce((a, b) => a + b, 0);
    total.seconds += sample.sum;
    totals.set(runtime, ofRuntime.set(method, total));
  }
  return [...totals].map(([runtime, ofRuntime]) => ({
    runtime,
    steps: STEPS.map((name) => {
      const { count, seconds } = ofRuntime.get(name) ?? { count: 0, seconds: 0 };
      return { name, count, meanMs: count === 0 ? 0 : (seconds / count) * 1000 };
    }),
  }));
}
