import { CgroupError } from "./error.ts";
import { decimal } from "./files.ts";
import type { Limit } from "./limits.ts";
import { cpusetLimits, pidsLimits, rdmaLimits } from "./limits-v1.ts";
import { checkResources, isSet } from "./resource-check.ts";
import type { BlockIoResources, CpuResources, LinuxResources, MemoryResources, Quantity } from "./resources.ts";

const R = "linux.resources";

/**
 * The v2 files for everything in `resources` but devices, in writing order. `current` reads a file of the cgroup as it is
 * now (undefined: missing); it serves `memory.checkBeforeUpdate` and a period without a quota.
 * Throws CgroupError for a value out of range and for fields that only v1 has. Source: runtime checklist 3.2.
 */
export function compileLimitsV2(resources: LinuxResources, current: (file: string) => string | undefined): Limit[] {
  checkResources(resources);
  if (isSet(resources.network?.classID)) throw new CgroupError(`${R}.network.classID`, "needs cgroup v1");
  if ((resources.network?.priorities ?? []).length > 0)
    throw new CgroupError(`${R}.network.priorities`, "needs cgroup v1");
  checkMemoryUpdate(resources.memory ?? {}, current);
  return [
    ...pidsLimits(resources.pids?.limit),
    ...memoryLimits(resources.memory ?? {}),
    ...blockIoLimits(resources.blockIO ?? {}),
    ...cpuLimits(resources.cpu ?? {}, current),
    ...cpusetLimits(resources.cpu ?? {}),
    ...(resources.hugepageLimits ?? []).flatMap(({ pageSize, limit }, index) => {
      const field = `${R}.hugepageLimits[${index}]`;
      const plain: Limit = { field, controller: "hugetlb", file: `hugetlb.${pageSize}.max`, text: decimal(limit) };
      return [plain, { ...plain, file: `hugetlb.${pageSize}.rsvd.max`, optional: true }];
    }),
    ...rdmaLimits(resources),
    ...unifiedLimits(resources.unified ?? {}),
  ];
}

/**
 * cpu.shares (2 to 262144) as cpu.weight (1 to 10000): ceil(10^((l² + 125 l) / 612 − 7/34)) with l = log2(shares), so that
 * 1024 is 100. Source: opencontainers/cgroups ConvertCPUSharesToCgroupV2Value, since 2025.
 */
export function toCpuWeight(shares: Quantity): number {
  const value = Number(shares);
  if (value <= 2) return 1;
  if (value >= 262144) return 10000;
  const l = Math.log2(value);
  return Math.ceil(10 ** ((l * l + 125 * l) / 612 - 7 / 34));
}

function memoryLimits(memory: MemoryResources): Limit[] {
  const make = (key: string, file: string, text: string): Limit => ({
    field: `${R}.memory.${key}`,
    controller: "memory",
    file,
    text,
  });
  if (isSet(memory.swappiness)) throw new CgroupError(`${R}.memory.swappiness`, "needs cgroup v1");
  if (memory.disableOOMKiller === true) throw new CgroupError(`${R}.memory.disableOOMKiller`, "needs cgroup v1");
  const limits: Limit[] = [];
  const swap = memory.limit === -1 && !isSet(memory.swap) ? -1 : memory.swap;
  if (isSet(swap)) {
    if (swap > 0 && !isSet(memory.limit))
      throw new CgroupError(`${R}.memory.swap`, "needs memory.limit: cgroup v2 wants the difference");
    const text = swap < 0 ? "max" : decimal(BigInt(swap) - BigInt(memory.limit ?? 0));
    limits.push({
      ...make("swap", "memory.swap.max", text),
      isDefault: text === "max",
      optional: text === "max" || text === "0",
    });
  }
  if (isSet(memory.limit)) {
    const text = memory.limit < 0 ? "max" : decimal(memory.limit);
    limits.push({ ...make("limit", "memory.max", text), isDefault: text === "max" });
  }
  if (isSet(memory.reservation)) {
    limits.push(make("reservation", "memory.low", memory.reservation < 0 ? "max" : decimal(memory.reservation)));
  }
  return limits;
}

function checkMemoryUpdate(memory: MemoryResources, current: (file: string) => string | undefined): void {
  if (memory.checkBeforeUpdate !== true || !isSet(memory.limit) || memory.limit < 0) return;
  const used = current("memory.current");
  if (used === undefined || BigInt(used) <= BigInt(memory.limit)) return;
  throw new CgroupError(`${R}.memory.limit ${decimal(memory.limit)}`, `below what is in use (${used} bytes)`);
}

function cpuLimits(cpu: CpuResources, current: (file: string) => string | undefined): Limit[] {
  for (const key of ["realtimePeriod", "realtimeRuntime"] as const)
    if (isSet(cpu[key])) throw new CgroupError(`${R}.cpu.${key}`, "needs cgroup v1");
  const limits: Limit[] = [];
  const make = (key: string, file: string, text: string): Limit => ({
    field: `${R}.cpu.${key}`,
    controller: "cpu",
    file,
    text,
  });
  if (cpu.idle !== undefined)
    limits.push({ ...make("idle", "cpu.idle", decimal(cpu.idle)), isDefault: !isSet(cpu.idle) });
  if (isSet(cpu.shares) && !isSet(cpu.idle)) {
    const text = String(toCpuWeight(cpu.shares));
    limits.push({ ...make("shares", "cpu.weight", text), isDefault: text === "100" });
  }
  const burst = isSet(cpu.burst)
    ? { ...make("burst", "cpu.max.burst", decimal(cpu.burst)), optional: true }
    : undefined;
  if (isSet(cpu.quota) || isSet(cpu.period)) {
    const old = isSet(cpu.quota) ? undefined : current("cpu.max")?.split(" ")[0];
    const quota = isSet(cpu.quota) ? (cpu.quota < 0 ? "max" : decimal(cpu.quota)) : (old ?? "max");
    const text = isSet(cpu.period) ? `${quota} ${decimal(cpu.period)}` : quota; // a quota alone leaves the period
    const max = make(isSet(cpu.quota) ? "quota" : "period", "cpu.max", text);
    limits.push(burst === undefined ? max : { ...max, partner: burst });
  } else if (burst !== undefined) limits.push(burst);
  return limits;
}

function blockIoLimits(io: BlockIoResources): Limit[] {
  if (isSet(io.leafWeight)) throw new CgroupError(`${R}.blockIO.leafWeight`, "needs cgroup v1");
  const limits: Limit[] = [];
  const make = (key: string, file: string, text: string): Limit => ({
    field: `${R}.blockIO.${key}`,
    controller: "io",
    file,
    text,
  });
  if (isSet(io.weight)) {
    const weight = BigInt(io.weight);
    const text = `default ${1n + ((weight - 10n) * 9999n) / 990n}`;
    limits.push({ ...make("weight", "io.bfq.weight", weight.toString()), otherwise: { file: "io.weight", text } });
  }
  (io.weightDevice ?? []).forEach(({ major, minor, weight, leafWeight }, index) => {
    if (isSet(leafWeight)) throw new CgroupError(`${R}.blockIO.weightDevice[${index}].leafWeight`, "needs cgroup v1");
    if (isSet(weight))
      limits.push(make(`weightDevice[${index}].weight`, "io.bfq.weight", `${major}:${minor} ${decimal(weight)}`));
  });
  const keys = {
    throttleReadBpsDevice: "rbps",
    throttleWriteBpsDevice: "wbps",
    throttleReadIOPSDevice: "riops",
    throttleWriteIOPSDevice: "wiops",
  } as const;
  for (const key of [
    "throttleReadBpsDevice",
    "throttleWriteBpsDevice",
    "throttleReadIOPSDevice",
    "throttleWriteIOPSDevice",
  ] as const) {
    (io[key] ?? []).forEach(({ major, minor, rate }, index) => {
      const text = isSet(rate) ? decimal(rate) : "max"; // 0 is "no limit" on v1, an error on v2
      limits.push(make(`${key}[${index}]`, "io.max", `${major}:${minor} ${keys[key]}=${text}`));
    });
  }
  return limits;
}

function unifiedLimits(unified: Readonly<Record<string, string>>): Limit[] {
  return Object.entries(unified).flatMap(([file, value]) => {
    const field = `${R}.unified[${JSON.stringify(file)}]`;
    if (!/^[a-z][A-Za-z0-9_]*\.[A-Za-z0-9_.-]+$/.test(file))
      throw new CgroupError(field, "is not a cgroup file's name");
    if (file === "cgroup.procs" || file === "cgroup.threads")
      throw new CgroupError(field, "moves processes, which is not a limit");
    const controller = file.slice(0, file.indexOf("."));
    return value
      .split("\n")
      .filter((line) => line !== "")
      .map((text): Limit => ({ field, controller, file, text }));
  });
}
