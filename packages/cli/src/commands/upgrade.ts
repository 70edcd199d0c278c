import { writeList } from "../format/write-list.ts";
import { command } from "../report-error.ts";
import { runShimProgram } from "../shims/shim-program.ts";

export interface UpgradeFlags {
  /** Of the shims: where each of their task servers has its folder. */
  readonly state?: string;
  readonly json: boolean;
}

/** One task server, as the shims' own program tells it. */
interface Upgraded {
  readonly shim: string;
  readonly address: string;
  readonly namespace: string;
  readonly oldPid: number;
  readonly newPid: number;
  readonly version: string;
  readonly monitors: number;
  readonly tookMs: number;
  readonly wasKilled: boolean;
}

/** `trimaran upgrade`: every task server makes way for one of the build that is installed now. */
export const upgrade = command<UpgradeFlags, []>("upgrade", async (context, flags) => {
  const state = flags.state === undefined ? [] : [flags.state];
  const done = await runShimProgram<Upgraded>(context, ["upgrade", ...state]);
  writeList(context, { json: flags.json, quiet: false }, done, {
    head: ["SHIM", "NAMESPACE", "ENGINE", "PODS", "OLD", "NEW", "VERSION", "MS"],
    row: ({ shim, namespace, address, monitors, oldPid, newPid, version, tookMs, wasKilled }) => [
      shim,
      namespace,
      address,
      String(monitors),
      oldPid === 0 ? "-" : `${oldPid}${wasKilled ? " (killed)" : ""}`,
      newPid === 0 ? "-" : String(newPid),
      version || "-",
      String(tookMs),
    ],
    name: ({ shim }) => shim,
    json: (each) => each,
    empty: "no task server runs: the next container gets the build that is installed",
  });
  return 0;
});
