import type { CgroupStats } from "@trimaran/linux";
import { Code, StatusError } from "ttrpc-ts";

/**
 * What `runsc events --stats` says of one container of a sandbox, in the form of `base`, the container's own cgroup. runsc reports CPU time,
 * memory and the number of processes; the rest is the cgroup's. Throws Unavailable where runsc's answer is none.
 */
export function parseEventStats(text: string, base: CgroupStats): CgroupStats {
  const data = member(parseJson(text), "data");
  const cpuNs = integer(member(member(member(data, "cpu"), "usage"), "total"));
  const memoryBytes = integer(member(member(member(data, "memory"), "usage"), "usage"));
  const pids = integer(member(member(data, "pids"), "current"));
  if (base.version === 1) {
    const { cpu, memory, pids: limits } = base.metrics;
    return {
      version: 1,
      metrics: {
        ...base.metrics,
        cpu: { ...cpu, usage: { ...cpu.usage, total: cpuNs } },
        memory: { ...memory, usage: { ...memory.usage, usage: memoryBytes } },
        pids: { ...limits, current: pids },
      },
    };
  }
  const { cpu, memory, pids: limits } = base.metrics;
  return {
    version: 2,
    metrics: {
      ...base.metrics,
      cpu: { ...cpu, usageUsec: cpuNs / 1000n },
      memory: { ...memory, usage: memoryBytes },
      pids: { ...limits, current: pids },
    },
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new StatusError(Code.Unavailable, `runsc events: no JSON: ${JSON.stringify(text.slice(0, 80))}`, {
      cause: error,
    });
  }
}

function member(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}

function integer(value: unknown): bigint {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? BigInt(Math.trunc(value)) : 0n;
}
