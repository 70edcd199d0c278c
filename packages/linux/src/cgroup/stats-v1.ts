import { readdirSync } from "node:fs";
import { isAbsent, readIfPresent } from "./files.ts";
import { pickCounts, readKeyed, toCount } from "./keyed.ts";
import type { ControllerDirectory } from "./limits.ts";
import { type CgroupStats, parseRdma, type RdmaEntry } from "./stats.ts";

const NS_PER_TICK = 10_000_000n; // USER_HZ is 100 on every architecture that we run on

/** The file's own keys and ours, for io.containerd.cgroups.v1.MemoryStat 1 to 15. */
const MEMORY = {
  cache: "cache",
  rss: "rss",
  rssHuge: "rss_huge",
  mappedFile: "mapped_file",
  dirty: "dirty",
  writeback: "writeback",
  pgPgIn: "pgpgin",
  pgPgOut: "pgpgout",
  pgFault: "pgfault",
  pgMajFault: "pgmajfault",
  inactiveAnon: "inactive_anon",
  activeAnon: "active_anon",
  inactiveFile: "inactive_file",
  activeFile: "active_file",
  unevictable: "unevictable",
} as const;

/** The same with all descendants (18 to 32), and the two limits. */
const MEMORY_TOTAL = {
  hierarchicalMemoryLimit: "hierarchical_memory_limit",
  hierarchicalSwapLimit: "hierarchical_memsw_limit",
  totalCache: "total_cache",
  totalRss: "total_rss",
  totalRssHuge: "total_rss_huge",
  totalMappedFile: "total_mapped_file",
  totalDirty: "total_dirty",
  totalWriteback: "total_writeback",
  totalPgPgIn: "total_pgpgin",
  totalPgPgOut: "total_pgpgout",
  totalPgFault: "total_pgfault",
  totalPgMajFault: "total_pgmajfault",
  totalInactiveAnon: "total_inactive_anon",
  totalActiveAnon: "total_active_anon",
  totalInactiveFile: "total_inactive_file",
  totalActiveFile: "total_active_file",
  totalUnevictable: "total_unevictable",
} as const;

const ENTRY = {
  limit: "limit_in_bytes",
  usage: "usage_in_bytes",
  max: "max_usage_in_bytes",
  failcnt: "failcnt",
} as const;
const OOM = { oomKillDisable: "oom_kill_disable", underOom: "under_oom", oomKill: "oom_kill" } as const;
const THROTTLING = {
  periods: "nr_periods",
  throttledPeriods: "nr_throttled",
  throttledTime: "throttled_time",
} as const;
const BLKIO = {
  ioServiceBytesRecursive: "io_service_bytes",
  ioServicedRecursive: "io_serviced",
  ioQueuedRecursive: "io_queued",
  ioServiceTimeRecursive: "io_service_time",
  ioWaitTimeRecursive: "io_wait_time",
  ioMergedRecursive: "io_merged",
  ioTimeRecursive: "io_time",
  sectorsRecursive: "sectors",
} as const;

type Counts<Table> = Readonly<Record<keyof Table, bigint>>;

/** One line of a blkio file. */
export interface BlkioEntry {
  readonly op: string;
  readonly device: string;
  readonly major: bigint;
  readonly minor: bigint;
  readonly value: bigint;
}

/** io.containerd.cgroups.v1.Metrics. Times in ns, sizes in bytes; `pids.limit` 0 is "max". */
export interface StatsV1 {
  readonly hugetlb: readonly {
    readonly usage: bigint;
    readonly max: bigint;
    readonly failcnt: bigint;
    readonly pagesize: string;
  }[];
  readonly pids: { readonly current: bigint; readonly limit: bigint };
  readonly cpu: {
    readonly usage: {
      readonly total: bigint;
      readonly kernel: bigint;
      readonly user: bigint;
      readonly perCpu: readonly bigint[];
    };
    readonly throttling: Counts<typeof THROTTLING>;
  };
  readonly memory: Counts<typeof MEMORY> &
    Counts<typeof MEMORY_TOTAL> &
    Readonly<Record<"usage" | "swap" | "kernel" | "kernelTcp", Counts<typeof ENTRY>>>;
  readonly blkio: Readonly<Record<keyof typeof BLKIO, readonly BlkioEntry[]>>;
  readonly rdma: { readonly current: readonly RdmaEntry[]; readonly limit: readonly RdmaEntry[] };
  readonly memoryOomControl: Counts<typeof OOM>;
}

/** Read all v1 counters of a container. About 30 small files. Source: runtime checklist 3.5. */
export function readStatsV1(directoryOf: ControllerDirectory): CgroupStats {
  const read = (controller: string, file: string) => {
    const directory = directoryOf(controller);
    return directory === undefined ? undefined : readIfPresent(`${directory}/${file}`);
  };
  const count = (controller: string, file: string) => toCount(read(controller, file) ?? "") ?? 0n;
  const acct = readKeyed(read("cpuacct", "cpuacct.stat"));
  const memory = readKeyed(read("memory", "memory.stat"));
  const entry = (name: string): Counts<typeof ENTRY> => ({
    limit: count("memory", `memory.${name}${ENTRY.limit}`),
    usage: count("memory", `memory.${name}${ENTRY.usage}`),
    max: count("memory", `memory.${name}${ENTRY.max}`),
    failcnt: count("memory", `memory.${name}${ENTRY.failcnt}`),
  });
  const metrics: StatsV1 = {
    hugetlb: hugetlbSizes(directoryOf("hugetlb")).map((pagesize) => ({
      usage: count("hugetlb", `hugetlb.${pagesize}.usage_in_bytes`),
      max: count("hugetlb", `hugetlb.${pagesize}.max_usage_in_bytes`),
      failcnt: count("hugetlb", `hugetlb.${pagesize}.failcnt`),
      pagesize,
    })),
    pids: { current: count("pids", "pids.current"), limit: count("pids", "pids.max") },
    cpu: {
      usage: {
        total: count("cpuacct", "cpuacct.usage"),
        kernel: (acct.get("system") ?? 0n) * NS_PER_TICK,
        user: (acct.get("user") ?? 0n) * NS_PER_TICK,
        perCpu: (read("cpuacct", "cpuacct.usage_percpu") ?? "").split(" ").flatMap((word) => toCount(word) ?? []),
      },
      throttling: pickCounts(THROTTLING, readKeyed(read("cpu", "cpu.stat"))),
    },
    memory: {
      ...pickCounts(MEMORY, memory),
      ...pickCounts(MEMORY_TOTAL, memory),
      usage: entry(""),
      swap: entry("memsw."),
      kernel: entry("kmem."),
      kernelTcp: entry("kmem.tcp."),
    },
    blkio: readBlkio((file) => read("blkio", file)),
    rdma: { current: parseRdma(read("rdma", "rdma.current")), limit: parseRdma(read("rdma", "rdma.max")) },
    memoryOomControl: pickCounts(OOM, readKeyed(read("memory", "memory.oom_control"))),
  };
  return { version: 1, metrics };
}

/** From BFQ or CFQ; where neither is the scheduler, from the throttle files, which have two of the eight. */
function readBlkio(read: (file: string) => string | undefined): StatsV1["blkio"] {
  const both = (name: string) => read(`blkio.bfq.${name}_recursive`) ?? read(`blkio.${name}_recursive`);
  const throttled = (name: string) => read(`blkio.throttle.${name}_recursive`) ?? read(`blkio.throttle.${name}`);
  const parse = (name: string) => parseBlkio(both(name));
  const parseOr = (name: string) => {
    const entries = parse(name);
    return entries.length > 0 ? entries : parseBlkio(throttled(name));
  };
  return {
    ioServiceBytesRecursive: parseOr(BLKIO.ioServiceBytesRecursive),
    ioServicedRecursive: parseOr(BLKIO.ioServicedRecursive),
    ioQueuedRecursive: parse(BLKIO.ioQueuedRecursive),
    ioServiceTimeRecursive: parse(BLKIO.ioServiceTimeRecursive),
    ioWaitTimeRecursive: parse(BLKIO.ioWaitTimeRecursive),
    ioMergedRecursive: parse(BLKIO.ioMergedRecursive),
    ioTimeRecursive: parse(BLKIO.ioTimeRecursive),
    sectorsRecursive: parse(BLKIO.sectorsRecursive),
  };
}

/** Lines `8:0 Read 4096`, or `8:0 123` without an operation. The last line, `Total`, has no device. */
export function parseBlkio(text: string | undefined): BlkioEntry[] {
  return (text ?? "").split("\n").flatMap((line) => {
    const [, major, minor, op, value] = /^([0-9]+):([0-9]+) (?:([A-Z][a-z]+) )?([0-9]+)$/.exec(line) ?? [];
    if (major === undefined || minor === undefined || value === undefined) return [];
    return [
      {
        op: op ?? "",
        device: `/dev/block/${major}:${minor}`,
        major: BigInt(major),
        minor: BigInt(minor),
        value: BigInt(value),
      },
    ];
  });
}

/** Page sizes of a hugetlb cgroup, as "2MB". */
export function hugetlbSizes(directory: string | undefined): string[] {
  if (directory === undefined) return [];
  try {
    return readdirSync(directory).flatMap(
      (name) => /^hugetlb\.([0-9]+[KMG]B)\.(?:usage_in_bytes|current)$/.exec(name)?.[1] ?? [],
    );
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}
