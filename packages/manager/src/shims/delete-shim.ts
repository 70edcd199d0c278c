import { closeSync, openSync, readSync } from "node:fs";
import { containerd, fromTimestamp } from "@trimaran/proto";
import type { Bundle } from "../bundles/bundle.ts";
import { Code, ManagerError, messageOf } from "../errors/manager-error.ts";
import type { Syscalls } from "../host/syscalls.ts";
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
const OUTPUT_LIMIT_BYTES = 65_536;

/**
 * Run `BINARY … delete`, which is due after every close of a shim's connection. Kills the direct child after 5 s. Throws
 * Unavailable if it fails or prints what is no DeleteResponse.
 */
export async function runShimDelete(
  binary: string,
  bundle: Bundle,
  parent: ShimParent,
  syscalls: Syscalls,
): Promise<ExitRecord> {
  using files = new DisposableStack();
  const opened = (fd: number) => files.adopt(fd, closeSync);
  const stdin = opened(openSync("/dev/null", "r"));
  const [output, errors] = [opened(syscalls.memoryFile("stdout")), opened(syscalls.memoryFile("stderr"))];
  try {
    const child = syscalls.spawn({
      path: binary,
      args: [...shimFlags(parent, bundle), "-bundle", bundle.path, ...(parent.debug ? ["-debug"] : []), "delete"],
      cwd: bundle.path,
      environment: shimEnvironment(parent, bundle.namespace),
      stdio: [stdin, output, errors],
    });
    const late = setTimeout(child.kill, CLEANUP_TIMEOUT_MS);
    const { code, signal } = await child.ended.finally(() => clearTimeout(late));
    if (code !== 0) throw new Error(readAll(errors).toString().trim() || (signal ?? `exit status ${code}`));
  } catch (cause) {
    throw new ManagerError(Code.Unavailable, `shim ${binary} delete: ${messageOf(cause)}`, { cause });
  }
  return parseDeleteResponse(readAll(output));
}

/** The program has moved the offset that it shares with us, so from the beginning; no more than an answer can have. */
function readAll(fd: number): Buffer {
  const bytes = Buffer.alloc(OUTPUT_LIMIT_BYTES);
  return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0));
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
