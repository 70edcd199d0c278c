import { join } from "node:path";
import { type Bundle, bundleAt, createBundle, writeBootstrap } from "../bundles/bundle.ts";
import { parseIdentifier } from "../bundles/identifier.ts";
import { Code, hasCode } from "../errors/manager-error.ts";
import { findShimBinary } from "../shims/runtime-binary.ts";
import { ShimConnection } from "../shims/shim-connection.ts";
import { openShimLog } from "../shims/shim-log.ts";
import { startShim } from "../shims/start-shim.ts";
import { type RootfsMount, rootfsMounts } from "../snapshots/rootfs-mounts.ts";
import type { ContainerRecord, TaskIo } from "../stores/container-record.ts";
import { cleanUpShim } from "./shim-process.ts";
import type { TaskHost } from "./task-host.ts";
import { traced } from "./trace.ts";

const START_TIMEOUT_MS = 30_000;
const UNDO_TIMEOUT_MS = 5000;
const SHUTDOWN_TIMEOUT_MS = 3000;

export interface CreatedTask {
  readonly bundle: Bundle;
  readonly connection: ShimConnection;
  readonly pid: number;
  /** The copying of the shim's log; ends with its owner. */
  readonly log: Disposable;
}

/** Bundle, `start`, connect, Create: containerd's order. If a step fails, what the earlier ones made is undone. */
export async function createTask(
  host: TaskHost,
  record: ContainerRecord,
  configJson: string,
  io: TaskIo,
): Promise<CreatedTask> {
  const bundle = bundleAt(host.dirs, host.namespace, parseIdentifier("id", record.id));
  const binary = await findShimBinary(record.runtime, host.shimDirectories);
  const folder = host.store.folder(record.id);
  const rootfs = await rootfsMounts(record.rootfs, folder);
  await host.serveEvents();
  await createBundle(bundle, configJson, host.syscalls());
  const log = openShimLog(bundle, join(folder, "shim.log"));
  let connection: ShimConnection | undefined;
  try {
    const endpoint = await traced(host.trace, "bootstrap", () => {
      const signal = AbortSignal.timeout(START_TIMEOUT_MS);
      return startShim(binary, bundle, host.parent, { syscalls: host.syscalls(), signal });
    });
    await writeBootstrap(bundle, endpoint, binary);
    const opened = await traced(host.trace, "connect", () => ShimConnection.open(endpoint));
    connection = opened;
    const created = await traced(host.trace, "create", () => callCreate(opened, bundle, rootfs, io));
    return { ...created, bundle, log };
  } catch (error) {
    await undoCreate(host, bundle, record, connection).catch(() => {}); // the first error is the one to tell
    log[Symbol.dispose]();
    throw error;
  }
}

async function callCreate(connection: ShimConnection, bundle: Bundle, rootfs: readonly RootfsMount[], io: TaskIo) {
  const request = { id: bundle.id, bundle: bundle.path, rootfs, ...io };
  try {
    return { connection, pid: (await connection.task.create(request)).pid };
  } catch (error) {
    // A shim that announces 3 but serves only v2: containerd goes on with v2 on the same connection.
    if (connection.endpoint.version !== 3 || !hasCode(error, Code.Unimplemented)) throw error;
    const older = connection.asVersion2();
    return { connection: older, pid: (await older.task.create(request)).pid };
  }
}

async function undoCreate(
  host: TaskHost,
  bundle: Bundle,
  record: ContainerRecord,
  connection: ShimConnection | undefined,
): Promise<void> {
  if (connection !== undefined) {
    await connection.task.delete({ id: bundle.id }, { timeoutMs: UNDO_TIMEOUT_MS }).catch(() => {});
    await shutDown(connection, bundle.id);
  }
  await cleanUpShim(host, bundle, record);
}

/** Shutdown, then close. A shim that does not answer in 3 s is left to its `delete` command. */
export async function shutDown(connection: ShimConnection, id: string): Promise<void> {
  await connection.task.shutdown({ id }, { timeoutMs: SHUTDOWN_TIMEOUT_MS }).catch(() => {});
  connection[Symbol.dispose]();
}
