import { execFile } from "node:child_process";
import { containerd, fromTimestamp } from "@trimaran/proto";
import type { Bundle } from "../bundles/bundle.ts";
import { Code, ManagerError } from "../errors/manager-error.ts";
import { type ShimParent, shimEnvironment, shimFlags } from "./start-shim.ts";

/** How a process ended, by whatever source. */
export interface ExitRecord {
  readonly pid: number;
  /** 0 to 255; 128 + n for signal n. */
  readonly status: number;
  readonly exitedAtNs: bigint;
}

/** containerd's `io.containerd.timeout.shim.cleanup`. */
const CLEANUP_TIMEOUT_MS = 5000;

/**
 * Run `BINARY … delete`, which is due after every close of a shim's connection. Kills the direct child after 5 s. Throws
 * Unavailable if it fails or prints what is no DeleteResponse.
 */
export async function runShimDelete(binary: string, bundle: Bundle, parent: ShimParent): Promise<ExitRecord> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const options = {
    cwd: bundle.path,
    env: shimEnvironment(parent, bundle.namespace),
    encoding: "buffer",
    timeout: CLEANUP_TIMEOUT_MS,
    killSignal: "SIGKILL",
    detached: true,
  } as const;
  const child = execFile(
    binary,
    [...shimFlags(parent, bundle), "-bundle", bundle.path, ...(parent.debug ? ["-debug"] : []), "delete"],
    options,
    (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      const said = stderr.toString("utf8").trim() || error.message;
      reject(new ManagerError(Code.Unavailable, `shim ${binary} delete: ${said}`, { cause: error }));
    },
  );
  child.stdin?.on("error", () => {}).end();
  return parseDeleteResponse(await promise);
}

/** What `delete` prints on stdout. */
export function parseDeleteResponse(output: Uint8Array): ExitRecord {
  try {
    return toExitRecord(containerd.task.v2.DeleteResponse.decode(output));
  } catch (cause) {
    throw new ManagerError(Code.Unavailable, "shim's delete: its output is no DeleteResponse", { cause });
  }
}

/** From the messages that carry an exit: of Wait, Delete and the `delete` command. */
export function toExitRecord(response: {
  readonly pid?: number;
  readonly exitStatus: number;
  readonly exitedAt: Parameters<typeof fromTimestamp>[0] | undefined;
}): ExitRecord {
  const exitedAtNs = response.exitedAt === undefined ? 0n : fromTimestamp(response.exitedAt);
  return { pid: response.pid ?? 0, status: response.exitStatus, exitedAtNs };
}
