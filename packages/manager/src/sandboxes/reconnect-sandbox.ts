import type { Bundle } from "../bundles/bundle.ts";
import { Code, hasCode } from "../errors/manager-error.ts";
import type { Syscalls } from "../host/syscalls.ts";
import type { ShimConnection } from "../shims/shim-connection.ts";
import { isClosed } from "../tasks/closed-connection.ts";
import { dialShim } from "../tasks/reconnect-shim.ts";

const ANSWER_TIMEOUT_MS = 5000;

/**
 * Connect to the shim of a sandbox's bundle. Undefined if there is none (any more), or if it lives without the sandbox: then it is
 * ended here. A shim that takes the connection and does not answer in 5 s counts as there: its containers may be well.
 */
export async function reconnectSandbox(bundle: Bundle, syscalls: () => Syscalls): Promise<ShimConnection | undefined> {
  const dialled = await dialShim(bundle, syscalls);
  if (dialled === undefined) return undefined;
  const [sandboxId, limits] = [bundle.id, { timeoutMs: ANSWER_TIMEOUT_MS }];
  try {
    await dialled.sandbox.sandboxStatus({ sandboxId }, limits);
    return dialled;
  } catch (error) {
    if (isClosed(error)) return undefined;
    if (!hasCode(error, Code.NotFound)) return dialled;
    await dialled.sandbox.shutdownSandbox({ sandboxId }, limits).catch(() => {});
    dialled[Symbol.dispose]();
    return undefined;
  }
}
