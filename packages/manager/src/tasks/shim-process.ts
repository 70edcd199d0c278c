import type { Bundle } from "../bundles/bundle.ts";
import { deleteBundle, readShimBinary } from "../bundles/bundle.ts";
import { type ExitRecord, runShimDelete } from "../shims/delete-shim.ts";
import { findShimBinary } from "../shims/runtime-binary.ts";
import type { ShimHost, TaskHost } from "./task-host.ts";
import { traced } from "./trace.ts";

/** containerd's unknown exit status. */
const UNKNOWN_STATUS = 255;

/**
 * What follows every end of a shim: its `delete` command, then the bundle. `runtime` counts if the shim never came up. If `delete`
 * fails the status is 255 and the bundle is removed all the same, as far as nothing is mounted in it.
 */
export async function cleanUpShim(host: ShimHost, bundle: Bundle, runtime: string | undefined): Promise<ExitRecord> {
  const unknown: ExitRecord = { pid: 0, status: UNKNOWN_STATUS, exitedAtNs: BigInt(Date.now()) * 1_000_000n };
  const exit = await traced(host.trace, "delete command", async () => {
    try {
      const binary = (await readShimBinary(bundle)) ?? (await findShimBinary(runtime ?? "", host.shimDirectories));
      return await runShimDelete(binary, bundle, host.parent);
    } catch {
      return unknown;
    }
  });
  await deleteBundle(bundle, host.syscalls());
  return exit;
}

/** Keep how a container ended, for `ps -a`. Does nothing for one that is being removed. */
export async function noteExit(host: TaskHost, id: string, exit: ExitRecord): Promise<void> {
  const record = await host.store.read(id);
  if (record === undefined) return;
  const exitedAt = new Date(Number(exit.exitedAtNs / 1_000_000n)).toISOString();
  await host.store.write({ ...record, exit: { status: exit.status, exitedAt } });
}
