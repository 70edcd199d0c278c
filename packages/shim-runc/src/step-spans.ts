import { type Program, readStepTimes, SYNC_CODE } from "@trimaran/linux";
import { monotonicNs, spanAdder } from "@trimaran/proto";
import type { SyncRequest } from "@trimaran/shim-core";

const NS_PER_US = 1000n;

/**
 * To be called where the program is launched: takes what a timed program tells, as spans of the process that it becomes. A reading that
 * does not lie between the launch and now is of another clock, that of a time namespace, and says nothing here.
 */
export function stepSpans(program: Program): (sync: SyncRequest) => boolean {
  const add = spanAdder();
  const launchedNs = monotonicNs();
  return ({ code, data }) => {
    if (code !== SYNC_CODE.TIMES || program.timing === undefined || add === undefined) return false;
    const now = monotonicNs();
    const times = readStepTimes(program.timing, data).filter(
      ({ startNs, endNs }) => startNs >= launchedNs && endNs <= now,
    );
    const [first, last] = [times[0], times.at(-1)];
    if (first !== undefined)
      add({ name: "to the monitor", process: "task server", startNs: launchedNs, endNs: first.startNs });
    for (const { group, startNs, endNs, cpuNs } of times) {
      const attributes = cpuNs === undefined ? {} : { attributes: { cpu_us: Number(cpuNs / NS_PER_US) } };
      add({ name: group, process: "container", startNs, endNs, ...attributes });
    }
    if (last !== undefined) add({ name: "news of it", process: "monitor", startNs: last.endNs, endNs: now });
    return true;
  };
}
