import type { CgroupStats } from "@trimaran/linux";

type V1 = Extract<CgroupStats, { version: 1 }>["metrics"];
type V2 = Extract<CgroupStats, { version: 2 }>["metrics"];

const NS_PER_USEC = 1000n;
/** v2 counts the kernel's memory with the rest. */
const NOT_COUNTED = { limit: 0n, failcnt: 0n };
const NO_LIMIT = 0xffff_ffff_ffff_ffffn;

/**
 * Counters under the names of runc's `events`, which engines read: times in ns, sizes in bytes. `raw` is the file memory.stat. As there, swap
 * counts memory, too, whatever the cgroup version. Not among them: cpuset, resctrl, interfaces.
 */
export function toStatsEvent(id: string, stats: CgroupStats, raw: ReadonlyMap<string, bigint>): unknown {
  const data = stats.version === 1 ? fromV1(stats.metrics, raw) : fromV2(stats.metrics, raw);
  return { type: "stats", id, data: plain(data) };
}

function fromV1({ cpu, memory, pids, blkio, hugetlb }: V1, raw: ReadonlyMap<string, bigint>) {
  const { perCpu, ...usage } = cpu.usage;
  const { ioQueuedRecursive, ...rest } = blkio;
  return {
    cpu: { usage: { ...usage, percpu: perCpu }, throttling: cpu.throttling },
    memory: {
      cache: memory.cache,
      usage: memory.usage,
      swap: memory.swap,
      kernel: memory.kernel,
      kernelTCP: memory.kernelTcp,
      raw: Object.fromEntries(raw),
    },
    pids,
    blkio: { ...rest, ioQueueRecursive: ioQueuedRecursive },
    hugetlb: bySize(hugetlb.map(({ usage, max, failcnt, pagesize }) => ({ usage, max, failcnt, pagesize }))),
  };
}

function fromV2({ cpu, memory, pids, io, hugetlb, memoryEvents }: V2, raw: ReadonlyMap<string, bigint>) {
  const ns = (usec: bigint) => usec * NS_PER_USEC;
  const limit = memory.usageLimit === NO_LIMIT || memory.swapLimit === NO_LIMIT;
  const perDevice = (read: "rbytes" | "rios", write: "wbytes" | "wios") =>
    io.usage.flatMap(({ major, minor, [read]: reads, [write]: writes }) => [
      { major, minor, op: "Read", value: reads },
      { major, minor, op: "Write", value: writes },
    ]);
  return {
    cpu: {
      usage: { total: ns(cpu.usageUsec), kernel: ns(cpu.systemUsec), user: ns(cpu.userUsec) },
      throttling: {
        periods: cpu.nrPeriods,
        throttledPeriods: cpu.nrThrottled,
        throttledTime: ns(cpu.throttledUsec),
      },
    },
    memory: {
      cache: raw.get("file") ?? 0n,
      usage: { limit: memory.usageLimit, usage: memory.usage, max: memory.maxUsage, failcnt: memoryEvents.max },
      swap: {
        limit: limit ? NO_LIMIT : memory.usageLimit + memory.swapLimit,
        usage: memory.usage + memory.swapUsage,
        failcnt: 0n,
      },
      kernel: NOT_COUNTED,
      kernelTCP: NOT_COUNTED,
      raw: Object.fromEntries(raw),
    },
    pids: { current: pids.current, limit: pids.limit === NO_LIMIT ? 0n : pids.limit },
    blkio: {
      ioServiceBytesRecursive: perDevice("rbytes", "wbytes"),
      ioServicedRecursive: perDevice("rios", "wios"),
    },
    hugetlb: bySize(hugetlb.map(({ current, max, failcnt, pagesize }) => ({ usage: current, max, failcnt, pagesize }))),
  };
}

function bySize<T extends { readonly pagesize: string }>(
  entries: readonly T[],
): Readonly<Record<string, Omit<T, "pagesize">>> {
  return Object.fromEntries(entries.map(({ pagesize, ...rest }) => [pagesize, rest]));
}

/** u64 as numbers: exact up to 2⁵³, as every reader of JSON has them. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, plain(child)]));
}
