import { type Bundle, readSandbox } from "../bundles/bundle.ts";
import type { ExitRecord } from "../shims/delete-shim.ts";
import { type LogSink, openShimLog } from "../shims/shim-log.ts";
import { recoverBundles } from "./left-bundles.ts";
import { reconnectShim } from "./reconnect-shim.ts";
import { cleanUpShim } from "./shim-process.ts";
import type { ShimHost } from "./task-host.ts";
import type { TaskRegistry } from "./task-registry.ts";

/** What recovery asks and tells. */
export interface Recovery {
  /** The runtime of a container, for a bundle whose shim never came up; undefined if nobody knows the container. */
  runtimeOf(namespace: string, id: string): string | undefined;
  logOf(bundle: Bundle): LogSink;
  /** A shim was not there any more, or could not be cleaned up. */
  lost(bundle: Bundle, error?: unknown): void;
  /** What the `delete` command of a shim that is gone has said of its task's end. */
  ended(bundle: Bundle, exit: ExitRecord): void;
}

/**
 * Find the tasks of an earlier daemon by their bundles. A shim that answers brings its task back, in whatever state; one that is
 * gone is cleaned up by its `delete` command, and nothing is published, since no client of this daemon knew the task. Work
 * directories and half-deleted bundles of nobody are removed.
 */
export function recoverTasks(host: ShimHost, registry: TaskRegistry, recovery: Recovery): Promise<void> {
  return recoverBundles(host, {
    kind: "task",
    recover: (bundle) => recoverTask(host, registry, recovery, bundle),
    failed: (bundle, error) => recovery.lost(bundle, error),
    isKnown: (namespace, id) => registry.find(namespace, id) !== undefined,
  });
}

async function recoverTask(host: ShimHost, registry: TaskRegistry, recovery: Recovery, bundle: Bundle): Promise<void> {
  const connection = await reconnectShim(bundle, host.syscalls);
  if (connection !== undefined) {
    const sandbox = await readSandbox(bundle);
    registry.adopt({ bundle, connection, log: openShimLog(bundle, recovery.logOf(bundle)), sandbox });
    return;
  }
  recovery.lost(bundle);
  const runtime = recovery.runtimeOf(bundle.namespace, bundle.id);
  await cleanUpShim(host, bundle, runtime, (exit) => recovery.ended(bundle, exit));
}
