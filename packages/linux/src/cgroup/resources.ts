/**
 * `linux.resources` of the OCI runtime spec 1.3.0: everything optional, absent means "leave it". Quantities are numbers as
 * JSON gives them, or bigints where more than 2⁵³ matters; memory is in bytes, cpu times in microseconds.
 */
export interface LinuxResources {
  readonly memory?: MemoryResources | undefined;
  readonly cpu?: CpuResources | undefined;
  readonly pids?: { readonly limit?: Quantity | undefined } | undefined;
  readonly blockIO?: BlockIoResources | undefined;
  readonly hugepageLimits?: readonly HugepageLimit[] | undefined;
  readonly network?: NetworkResources | undefined;
  readonly rdma?: Readonly<Record<string, RdmaLimit>> | undefined;
  /** v2 only: file name to value, line by line. */
  readonly unified?: Readonly<Record<string, string>> | undefined;
  readonly devices?: readonly DeviceRule[] | undefined;
}

/** A number of bytes, microseconds, processes …; -1 is "no limit" where the spec says so. */
export type Quantity = number | bigint;

/** `linux.resources.memory`. `swap` is memory plus swap. `kernel`, `kernelTCP` are ignored: no kernel since 5.16 has them. */
export interface MemoryResources {
  readonly limit?: Quantity | undefined;
  readonly reservation?: Quantity | undefined;
  readonly swap?: Quantity | undefined;
  readonly kernel?: Quantity | undefined;
  readonly kernelTCP?: Quantity | undefined;
  readonly swappiness?: Quantity | undefined;
  readonly disableOOMKiller?: boolean | undefined;
  readonly useHierarchy?: boolean | undefined;
  readonly checkBeforeUpdate?: boolean | undefined;
}

/** `linux.resources.cpu`. Times in microseconds; `cpus` and `mems` are lists as `0-3,7`. */
export interface CpuResources {
  readonly shares?: Quantity | undefined;
  readonly quota?: Quantity | undefined;
  readonly burst?: Quantity | undefined;
  readonly period?: Quantity | undefined;
  readonly realtimeRuntime?: Quantity | undefined;
  readonly realtimePeriod?: Quantity | undefined;
  readonly cpus?: string | undefined;
  readonly mems?: string | undefined;
  readonly idle?: Quantity | undefined;
}

/** `linux.resources.blockIO`. Weights 10 to 1000; rates in bytes or operations per second. */
export interface BlockIoResources {
  readonly weight?: Quantity | undefined;
  readonly leafWeight?: Quantity | undefined;
  readonly weightDevice?: readonly WeightDevice[] | undefined;
  readonly throttleReadBpsDevice?: readonly ThrottleDevice[] | undefined;
  readonly throttleWriteBpsDevice?: readonly ThrottleDevice[] | undefined;
  readonly throttleReadIOPSDevice?: readonly ThrottleDevice[] | undefined;
  readonly throttleWriteIOPSDevice?: readonly ThrottleDevice[] | undefined;
}

/** One `weightDevice` entry. */
export interface WeightDevice {
  readonly major: number;
  readonly minor: number;
  readonly weight?: Quantity | undefined;
  readonly leafWeight?: Quantity | undefined;
}

/** One `throttle…Device` entry. */
export interface ThrottleDevice {
  readonly major: number;
  readonly minor: number;
  readonly rate: Quantity;
}

/** One `hugepageLimits` entry; `pageSize` as `2MB`, `limit` in bytes. */
export interface HugepageLimit {
  readonly pageSize: string;
  readonly limit: Quantity;
}

/** `linux.resources.network`: v1 only. */
export interface NetworkResources {
  readonly classID?: number | undefined;
  readonly priorities?: readonly { readonly name: string; readonly priority: number }[] | undefined;
}

/** One `rdma` entry; absent is no limit. */
export interface RdmaLimit {
  readonly hcaHandles?: number | undefined;
  readonly hcaObjects?: number | undefined;
}

/** One `devices` entry: absent type is `a`, absent (or -1) major or minor is any. */
export interface DeviceRule {
  readonly allow: boolean;
  readonly type?: string | undefined;
  readonly major?: number | undefined;
  readonly minor?: number | undefined;
  readonly access?: string | undefined;
}
