import { closeSync, openSync } from "node:fs";
import { TRACE_DIRECTORY, TRACE_ENVIRONMENT, TRACEPARENT, traceMetadata } from "@trimaran/proto";
import type { Bundle } from "../bundles/bundle.ts";
import { Code, ManagerError, messageOf } from "../errors/manager-error.ts";
import type { Syscalls } from "../host/syscalls.ts";
import { parseShimReply, type ShimEndpoint } from "./shim-reply.ts";
import { openStartOutput, readStartOutput } from "./start-output.ts";

/** What every invocation of a shim is told about its manager. */
export interface ShimParent {
  /** Address of the gRPC API; also part of the shim's socket name. */
  readonly grpcAddress: string;
  readonly ttrpcAddress: string;
  /** What the shim would exec to publish an event without ttrpc. */
  readonly publishBinary: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly debug: boolean;
}

/** The flags that all invocations share, as containerd writes them. */
export function shimFlags(parent: ShimParent, bundle: Bundle): string[] {
  const where = ["-namespace", bundle.namespace, "-address", parent.grpcAddress];
  return [...where, "-publish-binary", parent.publishBinary, "-id", bundle.id];
}

/** containerd's whole environment plus what it adds for a shim. */
export function shimEnvironment(parent: ShimParent, namespace: string): NodeJS.ProcessEnv {
  return {
    ...parent.environment,
    TTRPC_ADDRESS: parent.ttrpcAddress,
    GRPC_ADDRESS: parent.grpcAddress,
    NAMESPACE: namespace,
    MAX_SHIM_VERSION: "2", // also where 3 is accepted: containerd says so up to this day
    GOMAXPROCS: "2",
  };
}

/**
 * Run `BINARY … start` as containerd does: in the bundle, in a process group of its own, stdout and stderr together, `input` on
 * stdin or nothing. They go to a file (`start-output.ts`), so that a manager that dies now finds the shim again. Waits for the
 * exit. Throws with the shim's own words if it fails.
 */
export async function startShim(
  binary: string,
  bundle: Bundle,
  parent: ShimParent,
  host: { readonly syscalls: Syscalls; readonly signal: AbortSignal; readonly input?: Uint8Array },
): Promise<ShimEndpoint> {
  try {
    const status = await runStart(binary, bundle, parent, host);
    const bytes = await readStartOutput(bundle);
    if (status !== "0") throw startFailed(binary, status, bytes.toString("utf8").trim());
    return parseShimReply(bytes);
  } catch (error) {
    if (error instanceof ManagerError) throw error;
    const late = host.signal.aborted ? "no reply in time" : messageOf(error);
    throw startFailed(binary, late, "", error);
  }
}

/** The exit status, or the signal's name. */
async function runStart(
  binary: string,
  bundle: Bundle,
  parent: ShimParent,
  { syscalls, signal, input }: Parameters<typeof startShim>[3],
): Promise<string> {
  using files = new DisposableStack();
  const opened = (fd: number) => files.adopt(fd, closeSync);
  const output = opened(openStartOutput(bundle, syscalls));
  const stdin = opened(input === undefined ? openSync("/dev/null", "r") : syscalls.memoryFile("options", input));
  signal.throwIfAborted();
  const child = syscalls.spawn({
    path: binary,
    args: [...shimFlags(parent, bundle), ...(parent.debug ? ["-debug"] : []), "start"],
    cwd: bundle.path,
    environment: { ...shimEnvironment(parent, bundle.namespace), ...traceEnvironment() },
    stdio: [stdin, output, output],
  });
  signal.addEventListener("abort", child.kill, { once: true });
  try {
    const { code, signal: by } = await child.ended;
    signal.throwIfAborted();
    return by ?? String(code);
  } finally {
    signal.removeEventListener("abort", child.kill);
  }
}

/** The trace that this `start` is a part of, if it is one. */
function traceEnvironment(): NodeJS.ProcessEnv {
  const { [TRACEPARENT]: parent, [TRACE_DIRECTORY]: directory } = traceMetadata();
  return {
    ...(parent !== undefined && { [TRACE_ENVIRONMENT.parent]: parent }),
    ...(directory !== undefined && { [TRACE_ENVIRONMENT.directory]: directory }),
  };
}

function startFailed(binary: string, status: string, output: string, cause?: unknown): ManagerError {
  const said = output === "" ? "" : `: ${output}`;
  return new ManagerError(Code.Unavailable, `shim ${binary} start: ${describe(status)}${said}`, { cause });
}

function describe(status: string): string {
  return /^\d+$/.test(status) ? `exit status ${status}` : status;
}
