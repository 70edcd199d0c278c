import type {
  BlockIoResources,
  CpuResources,
  DeviceRule,
  HugepageLimit,
  LinuxResources,
  MemoryResources,
  NetworkResources,
  Quantity,
  RdmaLimit,
  ThrottleDevice,
  WeightDevice,
} from "../cgroup/resources.ts";
import { InvalidSpec } from "./invalid-spec.ts";
import type { JsonObject } from "./json.ts";
import * as json from "./json.ts";

const AT = "linux.resources";
const MAX_DEVICE_NUMBER = 0xffffffff;

/**
 * `linux.resources` from untrusted JSON, of a config.json or of Update. Checks shapes; ranges and what the host can do are the
 * cgroup's matter. Undefined where there is none. Throws InvalidSpec.
 */
export function parseResources(value: unknown): LinuxResources | undefined {
  if (value === undefined || value === null) return undefined;
  const from = json.asObject(value, AT);
  return {
    memory: group(from, "memory", parseMemory),
    cpu: group(from, "cpu", parseCpu),
    pids: group(from, "pids", (pids, at) => ({ limit: quantity(pids, "limit", at) })),
    blockIO: group(from, "blockIO", parseBlockIo),
    network: group(from, "network", parseNetwork),
    hugepageLimits: present(from, "hugepageLimits", () => json.list(from, "hugepageLimits", AT, parseHugepage)),
    rdma: group(from, "rdma", parseRdma),
    unified: present(from, "unified", () => Object.fromEntries(json.stringMap(from, "unified", AT))),
    devices: present(from, "devices", () => json.list(from, "devices", AT, parseDevice)),
  };
}

function parseMemory(from: JsonObject, at: string): MemoryResources {
  return {
    limit: quantity(from, "limit", at),
    reservation: quantity(from, "reservation", at),
    swap: quantity(from, "swap", at),
    kernel: quantity(from, "kernel", at),
    kernelTCP: quantity(from, "kernelTCP", at),
    swappiness: quantity(from, "swappiness", at),
    disableOOMKiller: json.optionalBoolean(from, "disableOOMKiller", at),
    useHierarchy: json.optionalBoolean(from, "useHierarchy", at),
    checkBeforeUpdate: json.optionalBoolean(from, "checkBeforeUpdate", at),
  };
}

function parseCpu(from: JsonObject, at: string): CpuResources {
  return {
    shares: quantity(from, "shares", at),
    quota: quantity(from, "quota", at),
    burst: quantity(from, "burst", at),
    period: quantity(from, "period", at),
    realtimeRuntime: quantity(from, "realtimeRuntime", at),
    realtimePeriod: quantity(from, "realtimePeriod", at),
    cpus: json.optionalString(from, "cpus", at),
    mems: json.optionalString(from, "mems", at),
    idle: quantity(from, "idle", at),
  };
}

function parseBlockIo(from: JsonObject, at: string): BlockIoResources {
  const throttle = (key: string): ThrottleDevice[] | undefined =>
    present(from, key, () => json.list(from, key, at, parseThrottle));
  return {
    weight: quantity(from, "weight", at),
    leafWeight: quantity(from, "leafWeight", at),
    weightDevice: present(from, "weightDevice", () => json.list(from, "weightDevice", at, parseWeight)),
    throttleReadBpsDevice: throttle("throttleReadBpsDevice"),
    throttleWriteBpsDevice: throttle("throttleWriteBpsDevice"),
    throttleReadIOPSDevice: throttle("throttleReadIOPSDevice"),
    throttleWriteIOPSDevice: throttle("throttleWriteIOPSDevice"),
  };
}

function parseThrottle(value: unknown, field: () => string): ThrottleDevice {
  const from = json.asObject(value, field());
  return { ...deviceNumber(from, field()), rate: quantity(from, "rate", field()) ?? 0 };
}

function parseWeight(value: unknown, field: () => string): WeightDevice {
  const from = json.asObject(value, field());
  return {
    ...deviceNumber(from, field()),
    weight: quantity(from, "weight", field()),
    leafWeight: quantity(from, "leafWeight", field()),
  };
}

function deviceNumber(from: JsonObject, at: string): { major: number; minor: number } {
  return {
    major: json.requiredInteger(from, "major", at, 0, MAX_DEVICE_NUMBER),
    minor: json.requiredInteger(from, "minor", at, 0, MAX_DEVICE_NUMBER),
  };
}

function parseNetwork(from: JsonObject, at: string): NetworkResources {
  return {
    classID: json.optionalInteger(from, "classID", at, 0, MAX_DEVICE_NUMBER),
    priorities: present(from, "priorities", () =>
      json.list(from, "priorities", at, (value, field) => {
        const entry = json.asObject(value, field());
        return {
          name: json.requiredString(entry, "name", field()),
          priority: json.requiredInteger(entry, "priority", field(), 0, MAX_DEVICE_NUMBER),
        };
      }),
    ),
  };
}

function parseHugepage(value: unknown, field: () => string): HugepageLimit {
  const from = json.asObject(value, field());
  return { pageSize: json.requiredString(from, "pageSize", field()), limit: quantity(from, "limit", field()) ?? 0 };
}

function parseRdma(from: JsonObject, at: string): Record<string, RdmaLimit> {
  const entries = Object.keys(from).map((device): [string, RdmaLimit] => {
    const limits = json.asObject(from[device], `${at}.${device}`);
    return [
      device,
      {
        hcaHandles: json.optionalInteger(limits, "hcaHandles", `${at}.${device}`, 0, MAX_DEVICE_NUMBER),
        hcaObjects: json.optionalInteger(limits, "hcaObjects", `${at}.${device}`, 0, MAX_DEVICE_NUMBER),
      },
    ];
  });
  return Object.fromEntries(entries);
}

function parseDevice(value: unknown, field: () => string): DeviceRule {
  const from = json.asObject(value, field());
  return {
    allow: json.optionalBoolean(from, "allow", field()),
    type: json.optionalString(from, "type", field()),
    major: json.optionalInteger(from, "major", field(), -1, MAX_DEVICE_NUMBER),
    minor: json.optionalInteger(from, "minor", field(), -1, MAX_DEVICE_NUMBER),
    access: json.optionalString(from, "access", field()),
  };
}

function group<T>(from: JsonObject, key: string, parse: (group: JsonObject, at: string) => T): T | undefined {
  const child = json.optionalObject(from, key, AT);
  return child === undefined ? undefined : parse(child, `${AT}.${key}`);
}

function present<T>(from: JsonObject, key: string, parse: () => T): T | undefined {
  return from[key] === undefined || from[key] === null ? undefined : parse();
}

/** A number as JSON gives it; 64-bit values beyond 2^53 are what a double holds, as in every JSON reader in JavaScript. */
function quantity(from: JsonObject, key: string, at: string): Quantity | undefined {
  const value = from[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value === "number" && Number.isInteger(value)) return value;
  throw new InvalidSpec(`${at}.${key}`, "not an integer", value);
}
