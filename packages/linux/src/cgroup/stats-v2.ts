import { readIfPresent } from "./files.ts";
import { pickCounts, readKeyed, toCount } from "./keyed.ts";
import { type CgroupStats, parseRdma, type RdmaEntry } from "./stats.ts";
import { hugetlbSizes } from "./stats-v1.ts";

const CPU = {
  usageUsec: "usage_usec",
  userUsec: "user_usec",
  systemUsec: "system_usec",
  nrPeriods: "nr_periods",
  nrThrottled: "nr_throttled",
  throttledUsec: "throttled_usec",
  nrBursts: "nr_bursts",
  burstUsec: "burst_usec",
} as const;

const MEMORY = {
  anon: "anon",
  file: "file",
  kernelStack: "kernel_stack",
  slab: "slab",
  sock: "sock",
  shmem: "shmem",
  fileMapped: "file_mapped",
  fileDirty: "file_dirty",
  fileWriteback: "file_writeback",
  anonThp: "anon_thp",
  inactiveAnon: "inactive_anon",
  activeAnon: "active_anon",
  inactiveFile: "inactive_file",
  activeFile: "active_file",
  unevictable: "unevictable",
  slabReclaimable: "slab_reclaimable",
  slabUnreclaimable: "slab_unreclaimable",
  pgfault: "pgfault",
  pgmajfault: "pgmajfault",
  workingsetNodereclaim: "workingset_nodereclaim",
  pgrefill: "pgrefill",
  pgscan: "pgscan",
  pgsteal: "pgsteal",
  pgactivate: "pgactivate",
  pgdeactivate: "pgdeactivate",
  pglazyfree: "pglazyfree",
  pglazyfreed: "pglazyfreed",
  thpFaultAlloc: "thp_fault_alloc",
  thpCollapseAlloc: "thp_collapse_alloc",
} as const;

const EVENTS = {
  low: "low",
  high: "high",
  max: "max",
  oom: "oom",
  oomKill: "oom_kill",
  oomGroupKill: "oom_group_kill",
} as const;

const NO_LIMIT = 0xffff_ffff_ffff_ffffn;

type Counts<Table> = Readonly<Record<keyof Table, bigint>>;

/** Averages in percent, `total` in microseconds. */
export interface PressureLine {
  readonly avg10: number;
  readonly avg60: number;
  readonly avg300: number;
  readonly total: bigint;
}

/** Pressure stall information; undefined as a whole if the kernel has none. */
export interface Pressure {
  readonly some: PressureLine | undefined;
  readonly full: PressureLine | undefined;
}

type MemoryCount =
  | keyof typeof MEMORY
  | "workingsetRefault"
  | "workingsetActivate"
  | "usage"
  | "usageLimit"
  | "swapUsage"
  | "swapLimit"
  | "maxUsage"
  | "swapMaxUsage";

/** io.containerd.cgroups.v2.Metrics. Times in microseconds, sizes in bytes; no limit is 2⁶⁴−1. */
export interface StatsV2 {
  readonly pids: { readonly current: bigint; readonly limit: bigint };
  readonly cpu: Counts<typeof CPU> & { readonly psi: Pressure | undefined };
  readonly memory: Readonly<Record<MemoryCount, bigint>> & { readonly psi: Pressure | undefined };
  readonly rdma: { readonly current: readonly RdmaEntry[]; readonly limit: readonly RdmaEntry[] };
  readonly io: {
    readonly usage: readonly Readonly<Record<"major" | "minor" | "rbytes" | "wbytes" | "rios" | "wios", bigint>>[];
    readonly psi: Pressure | undefined;
  };
  readonly hugetlb: readonly {
    readonly current: bigint;
    readonly max: bigint;
    readonly pagesize: string;
    readonly failcnt: bigint;
  }[];
  readonly memoryEvents: Counts<typeof EVENTS>;
}

/** Read all v2 counters of the cgroup at `directory`. Source: runtime checklist 3.5. */
export function readStatsV2(directory: string): CgroupStats {
  const read = (file: string) => readIfPresent(`${directory}/${file}`);
  const count = (file: string) => toLimit(read(file));
  const memory = readKeyed(read("memory.stat"));
  const sum = (name: string) =>
    (memory.get(`${name}_anon`) ?? 0n) + (memory.get(`${name}_file`) ?? memory.get(name) ?? 0n);
  const metrics: StatsV2 = {
    pids: { current: count("pids.current"), limit: count("pids.max") },
    cpu: { ...pickCounts(CPU, readKeyed(read("cpu.stat"))), psi: parsePressure(read("cpu.pressure")) },
    memory: {
      ...pickCounts(MEMORY, memory),
      workingsetRefault: sum("workingset_refault"), // two keys since 5.9
      workingsetActivate: sum("workingset_activate"),
      usage: count("memory.current"),
      usageLimit: count("memory.max"),
      maxUsage: count("memory.peak"),
      swapUsage: count("memory.swap.current"),
      swapLimit: count("memory.swap.max"),
      swapMaxUsage: count("memory.swap.peak"),
      psi: parsePressure(read("memory.pressure")),
    },
    rdma: { current: parseRdma(read("rdma.current")), limit: parseRdma(read("rdma.max")) },
    io: { usage: parseIo(read("io.stat")), psi: parsePressure(read("io.pressure")) },
    hugetlb: hugetlbSizes(directory).map((pagesize) => ({
      current: count(`hugetlb.${pagesize}.current`),
      max: count(`hugetlb.${pagesize}.max`),
      pagesize,
      failcnt: readKeyed(read(`hugetlb.${pagesize}.events`)).get("max") ?? 0n,
    })),
    memoryEvents: pickCounts(EVENTS, readKeyed(read("memory.events"))),
  };
  return { version: 2, metrics };
}

/** Parse `some avg10=0.00 avg60=0.00 avg300=0.00 total=0` and the same with `full`. */
export function parsePressure(text: string | undefined): Pressure | undefined {
  if (text === undefined || text === "") return undefined;
  const line = (name: string): PressureLine | undefined => {
    const [, avg10, avg60, avg300, total] =
      new RegExp(`^${name} avg10=(\\S+) avg60=(\\S+) avg300=(\\S+) total=([0-9]+)$`, "m").exec(text) ?? [];
    if (total === undefined) return undefined;
    return { avg10: Number(avg10), avg60: Number(avg60), avg300: Number(avg300), total: BigInt(total) };
  };
  return { some: line("some"), full: line("full") };
}

/** Lines `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`; a device without figures is left out. */
function parseIo(text: string | undefined): StatsV2["io"]["usage"] {
  return (text ?? "").split("\n").flatMap((line) => {
    const [, major, minor, rest] = /^([0-9]+):([0-9]+) (.+)$/.exec(line) ?? [];
    if (major === undefined || minor === undefined || rest === undefined) return [];
    const values = readKeyed(rest.replaceAll(" ", "\n").replaceAll("=", " "));
    const value = (key: string) => values.get(key) ?? 0n;
    const counts = { rbytes: value("rbytes"), wbytes: value("wbytes"), rios: value("rios"), wios: value("wios") };
    return [{ major: BigInt(major), minor: BigInt(minor), ...counts }];
  });
}

function toLimit(text: string | undefined): bigint {
  return text === "max" ? NO_LIMIT : (toCount(text ?? "") ?? 0n);
}
