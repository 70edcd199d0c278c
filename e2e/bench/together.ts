import type { ShimYard } from "../harness/shims.ts";
import type { Laps } from "./latency.ts";
import { startPod } from "./memory.ts";

const AT_ONCE = 20;

/** So many pods at once: milliseconds until the last one runs. They stay until the yard is closed. */
export async function startTogether(yard: ShimYard): Promise<Laps> {
  const began = performance.now();
  await Promise.all(Array.from({ length: AT_ONCE }, () => startPod(yard)));
  return { [`${AT_ONCE} starts at once`]: performance.now() - began };
}
