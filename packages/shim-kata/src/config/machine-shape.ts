import { Code, StatusError } from "ttrpc-ts";
import { clockFrequencyKhz } from "../qemu/clock-frequency.ts";
import type { Accelerator, MachineShape } from "../qemu/plan.ts";
import type { KataConfig } from "./config.ts";

/** What the limits of a pod's containers ask for, if they do. */
export interface PodLimits {
  /** Processors: quota divided by period. */
  readonly cpus?: number;
  readonly memoryBytes?: bigint;
}

/** Each size of memory is a template of its own, so there are few sizes. */
const STEP_MIB = 256;
const MIB = 2n ** 20n;

/**
 * The machine for a pod: the configured size, plus what its limits ask for, rounded up (as Kata does: the configured size is for the guest's
 * own needs). Throws InvalidArgument where that is more than the configured maximum of memory; processors are cut to theirs.
 */
export function machineShape(
  config: KataConfig,
  { cpus = 0, memoryBytes = 0n }: PodLimits,
  accelerator: Accelerator,
): MachineShape {
  const wantedMiB = Number((memoryBytes + MIB - 1n) / MIB);
  const memoryMiB = config.memoryMiB + Math.ceil(wantedMiB / STEP_MIB) * STEP_MIB;
  if (memoryMiB > config.maxMemoryMiB)
    throw new StatusError(
      Code.InvalidArgument,
      `linux.resources.memory.limit: ${wantedMiB} MiB and the guest's own ${config.memoryMiB} are more than default_maxmemory, ${config.maxMemoryMiB}`,
    );
  return {
    accelerator,
    vcpus: Math.max(1, Math.min(cpus > 0 ? config.vcpus + Math.ceil(cpus) : config.vcpus, config.maxVcpus)),
    memoryMiB,
    kernelParams: config.kernelParams,
    debug: config.kernelDebug,
    debugConsole: config.debugConsole,
    clockKhz: clockFrequencyKhz(),
  };
}
