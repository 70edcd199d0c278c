import { CgroupError } from "./error.ts";
import { decimal } from "./files.ts";
import type { LinuxResources, Quantity } from "./resources.ts";

const R = "linux.resources";

/** Whether a quantity is given: for most fields 0 means "not set", as in runc and crun. */
export function isSet(quantity: Quantity | undefined): quantity is Quantity {
  return quantity !== undefined && BigInt(quantity) !== 0n;
}

/**
 * Check what does not depend on the cgroup version: every quantity is an integer, ranges, and that no text can smuggle a
 * second line or a path into a cgroup file. Throws CgroupError naming the field.
 */
export function checkResources(resources: LinuxResources): void {
  const { memory, cpu, blockIO, pids } = resources;
  const groups: readonly [string, object | undefined][] = [
    ["memory", memory],
    ["cpu", cpu],
    ["blockIO", blockIO],
    ["pids", pids],
  ];
  for (const [group, values] of groups) checkIntegers(`${R}.${group}`, values ?? {});
  checkRange(`${R}.memory.swappiness`, memory?.swappiness, 0, 100);
  if (
    isSet(memory?.limit) &&
    isSet(memory.swap) &&
    memory.swap > 0 &&
    (memory.limit < 0 || memory.swap < memory.limit)
  ) {
    throw new CgroupError(
      `${R}.memory.swap ${decimal(memory.swap)}`,
      `below memory.limit ${decimal(memory.limit)}: it counts both`,
    );
  }
  if (isSet(blockIO?.weight)) checkRange(`${R}.blockIO.weight`, blockIO.weight, 10, 1000);
  for (const text of [cpu?.cpus, cpu?.mems]) {
    if (text !== undefined && !/^[0-9,\- \n]*$/.test(text))
      throw new CgroupError(`${R}.cpu`, `${JSON.stringify(text)} is not a list of numbers`);
  }
  (blockIO?.weightDevice ?? []).forEach((device, index) => {
    checkIntegers(`${R}.blockIO.weightDevice[${index}]`, device);
  });
  for (const key of [
    "throttleReadBpsDevice",
    "throttleWriteBpsDevice",
    "throttleReadIOPSDevice",
    "throttleWriteIOPSDevice",
  ] as const) {
    (blockIO?.[key] ?? []).forEach((device, index) => {
      checkIntegers(`${R}.blockIO.${key}[${index}]`, device);
    });
  }
  (resources.hugepageLimits ?? []).forEach(({ pageSize, limit }, index) => {
    const field = `${R}.hugepageLimits[${index}]`;
    if (!/^[1-9][0-9]*[KMG]B$/.test(pageSize))
      throw new CgroupError(`${field}.pageSize`, `${JSON.stringify(pageSize)} is not like 2MB`);
    checkIntegers(field, { limit });
  });
  for (const device of Object.keys(resources.rdma ?? {})) {
    if (!/^[A-Za-z0-9_.-]+$/.test(device))
      throw new CgroupError(`${R}.rdma`, `${JSON.stringify(device)} is no device name`);
  }
  (resources.network?.priorities ?? []).forEach(({ name }, index) => {
    if (!/^[^\s/]{1,15}$/.test(name))
      throw new CgroupError(`${R}.network.priorities[${index}].name`, "is no interface name");
  });
}

/** Every number in an object is an integer; a bigint always is. */
function checkIntegers(field: string, values: object): void {
  for (const [key, value] of Object.entries(values)) {
    if (typeof value === "number" && !Number.isInteger(value))
      throw new CgroupError(`${field}.${key}`, `${value} is not an integer`);
  }
}

function checkRange(field: string, value: Quantity | undefined, low: number, high: number): void {
  if (value === undefined || (value >= low && value <= high)) return;
  throw new CgroupError(`${field} ${value}`, `not ${low} to ${high}`);
}
