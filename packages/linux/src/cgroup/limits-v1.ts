import { CgroupError } from "./error.ts";
import { decimal } from "./files.ts";
import type { Limit } from "./limits.ts";
import { checkResources, isSet } from "./resource-check.ts";
import type {
  BlockIoResources,
  CpuResources,
  LinuxResources,
  MemoryResources,
  Quantity,
  ThrottleDevice,
} from "./resources.ts";

const R = "linux.resources";

/**
 * The v1 files for everything in `resources` but devices, in writing order.
 * Throws CgroupError for a value out of range and for `unified`, which only v2 has. Source: runtime checklist 3.2.
 */
export function compileLimitsV1(resources: LinuxResources): Limit[] {
  checkResources(resources);
  if (Object.keys(resources.unified ?? {}).length > 0) throw new CgroupError(`${R}.unified`, "needs cgroup v2");
  return [
    ...pidsLimits(resources.pids?.limit),
    ...memoryLimits(resources.memory ?? {}),
    ...cpuLimits(resources.cpu ?? {}),
    ...cpusetLimits(resources.cpu ?? {}),
    ...blockIoLimits(resources.blockIO ?? {}),
    ...(resources.hugepageLimits ?? []).flatMap(({ pageSize, limit }, index) => {
      const field = `${R}.hugepageLimits[${index}]`;
      const file = (infix: string) => `hugetlb.${pageSize}.${infix}limit_in_bytes`;
      const plain = { field, controller: "hugetlb", file: file(""), text: decimal(limit) };
      return [plain, { ...plain, file: file("rsvd."), optional: true }];
    }),
    ...networkLimits(resources),
    ...rdmaLimits(resources),
  ];
}

/** `rdma.max` lines: the same on v1 and v2. */
export function rdmaLimits(resources: LinuxResources): Limit[] {
  return Object.entries(resources.rdma ?? {}).map(([device, { hcaHandles, hcaObjects }]) => ({
    field: `${R}.rdma ${JSON.stringify(device)}`,
    controller: "rdma",
    file: "rdma.max",
    text: `${device} hca_handle=${hcaHandles ?? "max"} hca_object=${hcaObjects ?? "max"}`,
  }));
}

/** `pids.max`: the same on v1 and v2. 0 becomes 1, as in runc: systemd cannot do 0, and 0 would forbid the init. */
export function pidsLimits(limit: Quantity | undefined): Limit[] {
  if (limit === undefined) return [];
  const text = limit < 0 ? "max" : limit < 1 ? "1" : decimal(limit);
  return [{ field: `${R}.pids.limit`, controller: "pids", file: "pids.max", text, isDefault: text === "max" }];
}

function memoryLimits(memory: MemoryResources): Limit[] {
  const limits: Limit[] = [];
  const make = (key: string, file: string, quantity: Quantity): Limit => ({
    field: `${R}.memory.${key}`,
    controller: "memory",
    file: `memory.${file}`,
    text: quantity < 0 ? "-1" : decimal(quantity),
  });
  const swap = memory.limit === -1 && !isSet(memory.swap) ? -1 : memory.swap;
  const total = isSet(swap) && { ...make("swap", "memsw.limit_in_bytes", swap), optional: swap < 0 };
  if (isSet(memory.limit)) {
    const limit = make("limit", "limit_in_bytes", memory.limit);
    limits.push(total ? { ...limit, partner: total } : limit);
  } else if (total) limits.push(total);
  if (isSet(memory.reservation)) limits.push(make("reservation", "soft_limit_in_bytes", memory.reservation));
  if (memory.useHierarchy === true) limits.push({ ...make("useHierarchy", "use_hierarchy", 1), optional: true });
  if (memory.swappiness !== undefined) limits.push(make("swappiness", "swappiness", memory.swappiness));
  if (memory.disableOOMKiller !== undefined) {
    const off = memory.disableOOMKiller;
    limits.push({ ...make("disableOOMKiller", "oom_control", off ? 1 : 0), isDefault: !off });
  }
  return limits;
}

function cpuLimits(cpu: CpuResources): Limit[] {
  const limits: Limit[] = [];
  const make = (key: string, file: string, quantity: Quantity): Limit => ({
    field: `${R}.cpu.${key}`,
    controller: "cpu",
    file: `cpu.${file}`,
    text: decimal(quantity),
  });
  const pair = (first: Limit | false, second: Limit | false) => {
    if (first && second) limits.push({ ...first, partner: second });
    else if (first || second) limits.push(first || second || make("", "", 0));
  };
  pair(
    isSet(cpu.realtimePeriod) && make("realtimePeriod", "rt_period_us", cpu.realtimePeriod),
    isSet(cpu.realtimeRuntime) && make("realtimeRuntime", "rt_runtime_us", cpu.realtimeRuntime),
  );
  if (isSet(cpu.shares)) {
    limits.push({ ...make("shares", "shares", cpu.shares), isDefault: BigInt(cpu.shares) === 1024n, readBack: true });
  }
  const burst = isSet(cpu.burst) && { ...make("burst", "cfs_burst_us", cpu.burst), optional: true };
  pair(
    isSet(cpu.period) && make("period", "cfs_period_us", cpu.period),
    isSet(cpu.quota) && make("quota", "cfs_quota_us", cpu.quota < 0 ? -1 : cpu.quota),
  );
  if (burst) limits.push(burst);
  if (cpu.idle !== undefined) limits.push({ ...make("idle", "idle", cpu.idle), isDefault: BigInt(cpu.idle) === 0n });
  return limits;
}

/** `cpuset.cpus` and `cpuset.mems`: the same on v1 and v2. */
export function cpusetLimits(cpu: CpuResources): Limit[] {
  const make = (key: "cpus" | "mems", text: string): Limit => ({
    field: `${R}.cpu.${key}`,
    controller: "cpuset",
    file: `cpuset.${key}`,
    text,
    hint: "not a subset of what the parent has",
  });
  return [...(cpu.cpus ? [make("cpus", cpu.cpus)] : []), ...(cpu.mems ? [make("mems", cpu.mems)] : [])];
}

function blockIoLimits(io: BlockIoResources): Limit[] {
  const limits: Limit[] = [];
  const make = (key: string, file: string, text: string): Limit => ({
    field: `${R}.blockIO.${key}`,
    controller: "blkio",
    file: `blkio.${file}`,
    text,
  });
  const weight = (key: string, quantity: Quantity, device?: string) => {
    const text = device === undefined ? decimal(quantity) : `${device} ${decimal(quantity)}`;
    const file = device === undefined ? "weight" : "weight_device";
    limits.push({ ...make(key, file, text), otherwise: { file: `blkio.bfq.${file}`, text } });
  };
  if (isSet(io.weight)) weight("weight", io.weight);
  if (isSet(io.leafWeight)) limits.push(make("leafWeight", "leaf_weight", decimal(io.leafWeight)));
  (io.weightDevice ?? []).forEach((device, index) => {
    const at = `${device.major}:${device.minor}`;
    if (isSet(device.weight)) weight(`weightDevice[${index}].weight`, device.weight, at);
    if (isSet(device.leafWeight)) {
      limits.push(
        make(`weightDevice[${index}].leafWeight`, "leaf_weight_device", `${at} ${decimal(device.leafWeight)}`),
      );
    }
  });
  const throttle = (key: string, file: string, devices: readonly ThrottleDevice[] | undefined) =>
    (devices ?? []).forEach(({ major, minor, rate }, index) => {
      limits.push(make(`${key}[${index}]`, `throttle.${file}_device`, `${major}:${minor} ${decimal(rate)}`));
    });
  throttle("throttleReadBpsDevice", "read_bps", io.throttleReadBpsDevice);
  throttle("throttleWriteBpsDevice", "write_bps", io.throttleWriteBpsDevice);
  throttle("throttleReadIOPSDevice", "read_iops", io.throttleReadIOPSDevice);
  throttle("throttleWriteIOPSDevice", "write_iops", io.throttleWriteIOPSDevice);
  return limits;
}

function networkLimits({ network }: LinuxResources): Limit[] {
  const limits: Limit[] = [];
  if (network?.classID !== undefined && network.classID !== 0) {
    const text = String(network.classID);
    limits.push({ field: `${R}.network.classID`, controller: "net_cls", file: "net_cls.classid", text });
  }
  (network?.priorities ?? []).forEach(({ name, priority }, index) => {
    const field = `${R}.network.priorities[${index}]`;
    limits.push({ field, controller: "net_prio", file: "net_prio.ifpriomap", text: `${name} ${priority}` });
  });
  return limits;
}
