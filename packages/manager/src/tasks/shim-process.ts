import type { Bundle } from "../bundles/bundle.ts";
import { deleteBundle, readShimBinary } from "../bundles/bundle.ts";
import { type ExitRecord, runShimDelete } from "../shims/delete-shim.ts";
import { findShimBinary } from "../shims/runtime-binary.ts";
import type { ShimHost } from "./task-host.ts";
import { traced } from "./trace.ts";

/** containerd's unknown exit status. */
const UNKNOWN_STATUS = 255;

/**
 * What follows every end of a shim: its `delete` command, then the bundle. `runtime` counts if the shim never came up. If `delete`
 * fails the status is 255 and the bundle is removed all the same, as far as nothing is mounted in it. `ended` is called before the
 * bundle goes: as long as it is there, somebody will ask again.
 */
export async function cleanUpShim(
  host: ShimHost,
  bundle: Bundle,
  runtime: string | undefined,
  ended: (exit: ExitRecord) => void = () => {},
): Promise<ExitRecord> {
  const unknown: ExitRecord = { pid: 0, status: UNKNOWN_STATUS, exitedAtNs: BigInt(Date.now()) * 1_000_000n };
  const exit = await traced(host.trace, "delete command", async () => {
    try {
      const binary = (await readShimBinary(bundle)) ?? (await findShimBinary(runtime ?? "", host.shimDirectories));
      return await runShimDelete(binary, bundle, host.parent, host.syscalls());
    } catch {
      return unknown;
    }
  });
  ended(exit);
  await deleteBundle(bundle, host.syscalls());
  return exit;
}
