import { CgroupError } from "../cgroup/error.ts";
import type { CgroupMode } from "../cgroup/host.ts";
import { toCpuWeight } from "../cgroup/limits-v2.ts";
import { checkResources, isSet } from "../cgroup/resource-check.ts";
import type { CpuResources, LinuxResources, MemoryResources, Quantity } from "../cgroup/resources.ts";
import { variant } from "../dbus/value.ts";
import { parseNumberList } from "../spec/cpu-list.ts";
import type { Property } from "./manager.ts";

/** Reads a file of the cgroup as it is now; undefined if there is none. */
export type CurrentFile = (file: string) => string | undefined;

const INFINITY = 0xffff_ffff_ffff_ffffn;
const SECOND_US = 1_000_000n;
const QUOTA_STEP_US = 10_000n; // systemd keeps whole percents of a CPU
const DEFAULT_PERIOD_US = 100_000n;
const MAX_CPU = 8191;

/**
 * What systemd has to know of `resources`, so that it writes the same as we do whenever it writes, and shows it: the limits for which it
 * has properties. Devices are apart. `current` serves a quota without a period. Throws CgroupError and InvalidSpec.
 * Source: systemd.resource-control(5); runtime checklist 3.6.
 */
export function resourceProperties(mode: CgroupMode, resources: LinuxResources, current: CurrentFile): Property[] {
  checkResources(resources);
  const { memory = {}, cpu = {}, pids, blockIO } = resources;
  if (mode !== "v2") {
    return [
      ...limit("MemoryLimit", memory.limit),
      ...number("CPUShares", cpu.shares),
      ...quotaProperties(cpu, () => undefined),
      ...tasks(pids?.limit),
      ...number("BlockIOWeight", blockIO?.weight),
    ];
  }
  return [
    ...memoryProperties(memory),
    ...(isSet(cpu.shares) && !isSet(cpu.idle) ? number("CPUWeight", toCpuWeight(cpu.shares)) : []),
    ...quotaProperties(cpu, current),
    ...setProperty("AllowedCPUs", "linux.resources.cpu.cpus", cpu.cpus),
    ...setProperty("AllowedMemoryNodes", "linux.resources.cpu.mems", cpu.mems),
    ...tasks(pids?.limit),
    ...Object.entries(resources.unified ?? {}).flatMap(([file, value]) => unifiedProperty(file, value.trim())),
  ];
}

function memoryProperties(memory: MemoryResources): Property[] {
  const swap = memory.limit === -1 && !isSet(memory.swap) ? -1 : memory.swap;
  const onlySwap = isSet(swap) && swap > 0 ? BigInt(swap) - BigInt(memory.limit ?? 0) : swap;
  return [
    ...limit("MemoryMax", memory.limit),
    ...limit("MemoryLow", memory.reservation),
    ...(isSet(swap) && onlySwap !== undefined
      ? [u64("MemorySwapMax", onlySwap < 0 ? INFINITY : BigInt(onlySwap))]
      : []),
  ];
}

/** systemd thinks of a quota per second; a period of one second's tenth is its default, too. */
function quotaProperties(cpu: CpuResources, current: CurrentFile): Property[] {
  if (!isSet(cpu.quota) && !isSet(cpu.period)) return [];
  const [oldQuota, oldPeriod] = (current("cpu.max") ?? "").split(" ");
  const period = isSet(cpu.period) ? BigInt(cpu.period) : toBigInt(oldPeriod, DEFAULT_PERIOD_US);
  const quota = isSet(cpu.quota) ? BigInt(cpu.quota) : toBigInt(oldQuota, -1n);
  return [
    u64("CPUQuotaPerSecUSec", quota < 0n || period <= 0n ? INFINITY : perSecond(quota, period)),
    ...(isSet(cpu.period) ? [u64("CPUQuotaPeriodUSec", period)] : []),
  ];
}

/** Rounded up: what systemd writes must not be stricter than what was asked for. */
function perSecond(quota: bigint, period: bigint): bigint {
  const exact = (quota * SECOND_US + period - 1n) / period;
  return ((exact + QUOTA_STEP_US - 1n) / QUOTA_STEP_US) * QUOTA_STEP_US;
}

/** Files that `unified` may name and systemd would overwrite, by the property that keeps it from doing so. */
const UNIFIED: Readonly<Record<string, string>> = {
  "memory.max": "MemoryMax",
  "memory.high": "MemoryHigh",
  "memory.low": "MemoryLow",
  "memory.min": "MemoryMin",
  "memory.swap.max": "MemorySwapMax",
  "pids.max": "TasksMax",
  "cpu.weight": "CPUWeight",
};

function unifiedProperty(file: string, value: string): Property[] {
  const field = `linux.resources.unified[${JSON.stringify(file)}]`;
  if (file === "cpuset.cpus") return setProperty("AllowedCPUs", field, value);
  if (file === "cpuset.mems") return setProperty("AllowedMemoryNodes", field, value);
  if (file === "cpu.max") {
    const [quota, period] = value.split(" ");
    const given = { quota: toBigInt(quota, -1n), ...(period === undefined ? {} : { period: toBigInt(period, 0n) }) };
    return quotaProperties(given, () => undefined);
  }
  const name = UNIFIED[file];
  if (name === undefined) return [];
  if (value === "max") return [u64(name, INFINITY)];
  if (!/^[0-9]{1,19}$/.test(value))
    throw new CgroupError(field, `${JSON.stringify(value)} is no number of bytes and not "max"`);
  return [u64(name, BigInt(value))];
}

function limit(name: string, quantity: Quantity | undefined): Property[] {
  if (!isSet(quantity)) return [];
  return [u64(name, quantity < 0 ? INFINITY : BigInt(quantity))];
}

function number(name: string, quantity: Quantity | undefined): Property[] {
  return isSet(quantity) ? [u64(name, BigInt(quantity))] : [];
}

/** 0 becomes 1, as in `pids.max`. */
function tasks(quantity: Quantity | undefined): Property[] {
  if (quantity === undefined) return [];
  return [u64("TasksMax", quantity < 0 ? INFINITY : quantity < 1 ? 1n : BigInt(quantity))];
}

/** A list of numbers as a mask: bit N of byte N/8. */
function setProperty(name: string, field: string, list: string | undefined): Property[] {
  if (!list) return [];
  const numbers = parseNumberList(list.replace(/\s/g, ""), field, MAX_CPU);
  const mask = new Uint8Array((Math.max(0, ...numbers) >> 3) + 1);
  for (const each of numbers) mask[each >> 3] = (mask[each >> 3] ?? 0) | (1 << (each & 7));
  return [[name, variant("ay", mask)]];
}

function u64(name: string, value: bigint): Property {
  return [name, variant("t", value)];
}

function toBigInt(text: string | undefined, otherwise: bigint): bigint {
  return text !== undefined && /^[0-9]{1,19}$/.test(text) ? BigInt(text) : otherwise;
}
