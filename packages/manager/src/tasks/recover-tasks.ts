import { readdir, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { type Bundle, bundleAt, deleteBundle } from "../bundles/bundle.ts";
import { layout } from "../bundles/directories.ts";
import { type Identifier, parseIdentifier } from "../bundles/identifier.ts";
import { errnoOf } from "../errors/manager-error.ts";
import { eachLimited } from "../host/each-limited.ts";
import type { ExitRecord } from "../shims/delete-shim.ts";
import { type LogSink, openShimLog } from "../shims/shim-log.ts";
import { reconnectShim } from "./reconnect-shim.ts";
import { cleanUpShim } from "./shim-process.ts";
import type { ShimHost } from "./task-host.ts";
import type { TaskRegistry } from "./task-registry.ts";

/** Shims asked at a time: each may cost a process. */
const PARALLEL = 8;

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
export async function recoverTasks(host: ShimHost, registry: TaskRegistry, recovery: Recovery): Promise<void> {
  const namespaces = await namespacesIn(layout.allBundles(host.dirs));
  const bundles = await Promise.all(namespaces.map((namespace) => bundlesOf(host, namespace)));
  await eachLimited(PARALLEL, bundles.flat(), async (bundle) => {
    try {
      await recoverTask(host, registry, recovery, bundle);
    } catch (error) {
      recovery.lost(bundle, error);
    }
  });
  await removeStrayWork(host, registry);
}

async function recoverTask(host: ShimHost, registry: TaskRegistry, recovery: Recovery, bundle: Bundle): Promise<void> {
  if (await removedEmpty(bundle.path)) return;
  const connection = await reconnectShim(bundle, host.syscalls);
  if (connection !== undefined) {
    registry.adopt({ bundle, connection, log: openShimLog(bundle, recovery.logOf(bundle)) });
    return;
  }
  recovery.lost(bundle);
  const runtime = recovery.runtimeOf(bundle.namespace, bundle.id);
  await cleanUpShim(host, bundle, runtime, (exit) => recovery.ended(bundle, exit));
}

async function removedEmpty(path: string): Promise<boolean> {
  try {
    await rmdir(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOTEMPTY") return false;
    throw error;
  }
}

/** The namespace's bundles; what an interrupted deletion has left (its name begins with a dot) is removed. */
async function bundlesOf(host: ShimHost, namespace: Identifier): Promise<Bundle[]> {
  const bundles: Bundle[] = [];
  for (const name of await namesIn(layout.bundles(host.dirs, namespace))) {
    const id = asIdentifier(name.replace(/^\./, ""));
    if (id === undefined) continue; // nothing that we make
    const bundle = bundleAt(host.dirs, namespace, id);
    if (name.startsWith(".")) await deleteBundle({ ...bundle, path: join(bundle.path, "..", name) }, host.syscalls());
    else bundles.push(bundle);
  }
  return bundles;
}

async function removeStrayWork(host: ShimHost, registry: TaskRegistry): Promise<void> {
  for (const namespace of await namespacesIn(layout.allBundleWorks(host.dirs))) {
    const folder = layout.bundleWorks(host.dirs, namespace);
    for (const name of await namesIn(folder)) {
      if (registry.find(namespace, name) === undefined) await rm(join(folder, name), { recursive: true, force: true });
    }
  }
}

async function namespacesIn(folder: string): Promise<Identifier[]> {
  return (await namesIn(folder)).map(asIdentifier).filter((name) => name !== undefined);
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

function asIdentifier(name: string): Identifier | undefined {
  try {
    return parseIdentifier("name", name);
  } catch {
    return undefined;
  }
}
