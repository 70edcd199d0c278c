import { google } from "@trimaran/proto";
import { type Bundle, createBundle, writeBootstrap, writeSandbox } from "../bundles/bundle.ts";
import { Code, hasCode } from "../errors/manager-error.ts";
import { findShimBinary } from "../shims/runtime-binary.ts";
import { ShimConnection } from "../shims/shim-connection.ts";
import { type LogSink, openShimLog } from "../shims/shim-log.ts";
import type { ShimEndpoint } from "../shims/shim-reply.ts";
import { startShim } from "../shims/start-shim.ts";
import type { RootfsMount } from "../snapshots/rootfs-mounts.ts";
import { cleanUpShim } from "./shim-process.ts";
import { inStep } from "./step-error.ts";
import type { ShimHost } from "./task-host.ts";
import type { TaskIo } from "./task-io.ts";
import { traced } from "./trace.ts";

const START_TIMEOUT_MS = 30_000;
const UNDO_TIMEOUT_MS = 5000;
const SHUTDOWN_TIMEOUT_MS = 3000;

/** A task to be made. */
export interface NewTask {
  readonly bundle: Bundle;
  /** a.b.NAME.VERSION or an absolute path. */
  readonly runtime: string;
  /** Becomes config.json as it is. */
  readonly configJson: string | Uint8Array;
  readonly rootfs: readonly RootfsMount[];
  readonly io: TaskIo;
  /** The runtime's options: on stdin of `start`, and in Create. */
  readonly options?: google.protobuf.Any | undefined;
  /** Unpacks what is to be restored into a directory that does not exist yet, and is the bundle's. */
  readonly checkpoint?: ((directory: string) => Promise<void>) | undefined;
  readonly log: LogSink;
  /** A running sandbox whose shim shall have the task, too: none is started. */
  readonly sandbox?: SharedShim | undefined;
  /** Aborted when the client has gone: what is there by then is undone. */
  readonly signal?: AbortSignal | undefined;
}

/** A shim that is there, by the sandbox that it keeps. */
export interface SharedShim {
  readonly id: string;
  readonly endpoint: ShimEndpoint;
  /** For `delete`, if the shim dies. */
  readonly binary: string;
}

export interface CreatedTask {
  readonly connection: ShimConnection;
  readonly pid: number;
  /** The copying of the shim's log; ends with its owner. */
  readonly log: Disposable;
}

/**
 * Bundle, `start`, connect, Create: containerd's order. If a step fails, what the earlier ones made is undone. Throws
 * AlreadyExists if there is a bundle, StepError with the shim's own code.
 */
export async function createTask(host: ShimHost, task: NewTask): Promise<CreatedTask> {
  const { sandbox } = task;
  const binary =
    sandbox?.binary ?? (await inStep("start shim", () => findShimBinary(task.runtime, host.shimDirectories)));
  await host.serveEvents();
  await createBundle(task.bundle, task.configJson, host.syscalls());
  const log = openShimLog(task.bundle, task.log);
  let connection: ShimConnection | undefined;
  try {
    await task.checkpoint?.(checkpointDirectory(task.bundle));
    const opened = await inStep("start shim", () =>
      sandbox === undefined ? openShim(host, task, binary) : joinShim(host, task.bundle, sandbox),
    );
    connection = opened;
    const create = () => traced(host.trace, "create", () => callCreate(opened, task));
    return { ...(await inStep("create shim task", create)), log };
  } catch (error) {
    await undoCreate(host, task, connection).catch(() => {}); // the first error is the one to tell
    log[Symbol.dispose]();
    throw error;
  }
}

/** Where what a task is to be restored from is: a shim reads it in Start. It goes with the bundle, or when it has been started. */
export function checkpointDirectory({ workPath }: Bundle): string {
  return `${workPath}/checkpoint`;
}

/** A connection of the task's own to the sandbox's shim. containerd's files, so that it is found again. */
async function joinShim(host: ShimHost, bundle: Bundle, { id, endpoint, binary }: SharedShim): Promise<ShimConnection> {
  await writeSandbox(bundle, id);
  await writeBootstrap(bundle, endpoint, binary);
  return traced(host.trace, "connect", () => ShimConnection.open(endpoint, bundle.namespace));
}

/** `start`, then connect. */
export async function openShim(
  host: ShimHost,
  { bundle, options, signal }: Pick<NewTask, "bundle" | "options" | "signal">,
  binary: string,
): Promise<ShimConnection> {
  const limit = AbortSignal.timeout(START_TIMEOUT_MS);
  const endpoint = await traced(host.trace, "bootstrap", () =>
    startShim(binary, bundle, host.parent, {
      syscalls: host.syscalls(),
      signal: signal === undefined ? limit : AbortSignal.any([limit, signal]),
      ...(options && { input: google.protobuf.Any.encode(options) }),
    }),
  );
  await writeBootstrap(bundle, endpoint, binary);
  return traced(host.trace, "connect", () => ShimConnection.open(endpoint, bundle.namespace));
}

async function callCreate(connection: ShimConnection, task: NewTask) {
  const { bundle, rootfs, io, options, signal } = task;
  const checkpoint = task.checkpoint === undefined ? "" : checkpointDirectory(bundle);
  const request = { id: bundle.id, bundle: bundle.path, rootfs, ...io, options, checkpoint };
  try {
    return { connection, pid: (await connection.task.create(request, { signal })).pid };
  } catch (error) {
    // A shim that announces 3 but serves only v2: containerd goes on with v2 on the same connection.
    if (connection.endpoint.version !== 3 || !hasCode(error, Code.Unimplemented)) throw error;
    const older = connection.asVersion2();
    return { connection: older, pid: (await older.task.create(request, { signal })).pid };
  }
}

async function undoCreate(host: ShimHost, task: NewTask, connection: ShimConnection | undefined): Promise<void> {
  const { bundle, runtime, sandbox } = task;
  if (connection !== undefined) {
    await connection.task.delete({ id: bundle.id }, { timeoutMs: UNDO_TIMEOUT_MS }).catch(() => {});
    if (sandbox === undefined) await shutDown(connection, bundle.id);
    else connection[Symbol.dispose]();
  }
  await cleanUpShim(host, bundle, runtime);
}

/** Shutdown, then close. A shim that does not answer in 3 s is left to its `delete` command. */
export async function shutDown(connection: ShimConnection, id: string): Promise<void> {
  await connection.task.shutdown({ id }, { timeoutMs: SHUTDOWN_TIMEOUT_MS }).catch(() => {});
  connection[Symbol.dispose]();
}
