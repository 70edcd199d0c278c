import type { Spec } from "@trimaran/linux";
import { parseResources } from "@trimaran/linux";
import type { PodLimits } from "../config/machine-shape.ts";

/** CRI tells a pod's limits here, before its containers come. */
const CPU_QUOTA = "io.kubernetes.cri.sandbox-cpu-quota";
const CPU_PERIOD = "io.kubernetes.cri.sandbox-cpu-period";
const MEMORY = "io.kubernetes.cri.sandbox-memory";

/** What the limits of a machine's first container ask for: those of its pod where CRI tells them, else its own. Throws InvalidSpec. */
export function podLimits({ annotations, linux }: Spec): PodLimits {
  const told = (name: string): number => Number(annotations.get(name) ?? 0);
  const own = parseResources(linux.resources);
  const quota = told(CPU_QUOTA) || Number(own?.cpu?.quota ?? 0);
  const period = told(CPU_PERIOD) || Number(own?.cpu?.period ?? 0) || 100_000;
  const memoryBytes = BigInt(told(MEMORY) || 0) || BigInt(own?.memory?.limit ?? 0);
  return {
    ...(quota > 0 && { cpus: quota / period }),
    ...(memoryBytes > 0n && { memoryBytes }),
  };
}
