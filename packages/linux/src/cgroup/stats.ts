import type { StatsV1 } from "./stats-v1.ts";
import type { StatsV2 } from "./stats-v2.ts";

/**
 * Counters of a cgroup. `metrics` has exactly the fields of io.containerd.cgroups.v1.Metrics or v2.Metrics, in camelCase;
 * u64 are bigints. pids, cpu, memory, their nested messages and the memory events are always there, zero if unknown.
 */
export type CgroupStats =
  | { readonly version: 1; readonly metrics: StatsV1 }
  | { readonly version: 2; readonly metrics: StatsV2 };

/** One device's RDMA resources. */
export interface RdmaEntry {
  readonly device: string;
  readonly hcaHandles: number;
  readonly hcaObjects: number;
}

/** Parse `rdma.current` or `rdma.max`: lines `device hca_handle=N hca_object=max`. `max` is 2³²−1, absent text is empty. */
export function parseRdma(text: string | undefined): RdmaEntry[] {
  return (text ?? "").split("\n").flatMap((line) => {
    const [, device, handles, objects] = /^(\S+) hca_handle=(\S+) hca_object=(\S+)$/.exec(line) ?? [];
    if (device === undefined) return [];
    const count = (word: string | undefined) => (word === "max" ? 0xffff_ffff : Number(word));
    return [{ device, hcaHandles: count(handles), hcaObjects: count(objects) }];
  });
}
