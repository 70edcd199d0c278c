import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { rootLayout, SNAPSHOTTER } from "../bundles/root-layout.ts";
import { ContentFiles } from "../content/content-files.ts";
import { composeServices } from "../daemon/compose-services.ts";
import { nowNs, type Stores } from "../daemon/open-stores.ts";
import { inProcessServices } from "../grpc/in-process.ts";
import type { Implementations } from "../grpc/services.ts";
import { LayerThreads } from "../layers/thread/layer-threads.ts";
import { SnapshotRecords } from "../metadata/snapshots.ts";
import { SnapshotDirectories } from "../overlay/snapshot-directories.ts";
import { Checkpoints } from "../services/checkpoints.ts";
import { readServerId } from "../services/server-id.ts";
import { ingestLocks } from "./ingest-locks.ts";
import type { EmbeddedParts } from "./open-embedded.ts";

/** What a command loads only when it uses more than records and tasks. */
export interface EmbeddedServices {
  readonly implementations: Implementations;
  readonly checkpoints: Checkpoints;
}

const SILENT = { debug: () => {}, info: () => {}, warning: () => {}, error: () => {} };

/** Open the stores of content and snapshots beside other processes, and compose the services as a daemon does. */
export async function openEmbeddedServices(parts: EmbeddedParts): Promise<EmbeddedServices> {
  const { options, shims, tasks, sandboxes, sandboxEvents } = parts;
  const stores = await openSharedStores(parts);
  const implementations = composeServices({
    dirs: options.directories,
    stores,
    shims,
    tasks,
    sandboxes,
    sandboxEvents,
    version: options.version,
    uuid: await readServerId(options.directories.root),
    log: SILENT,
  });
  const checkpoints = new Checkpoints((namespace) => inProcessServices(implementations, namespace), stores.scratch);
  return { implementations, checkpoints };
}

async function openSharedStores({
  options,
  database,
  events,
  collection,
  syscalls,
  late,
}: EmbeddedParts): Promise<Stores> {
  const { root, state } = options.directories;
  const mountRoot = join(state, "mounts");
  await mkdir(mountRoot, { recursive: true, mode: 0o700 });
  const scratch = await mkdtemp(join(state, "scratch-"));
  late.defer(() => rm(scratch, { recursive: true, force: true }));
  const files = await ContentFiles.open(rootLayout.content(root), nowNs, ingestLocks(join(state, "ingests"), syscalls));
  const threads = late.use(new LayerThreads({ mountRoot }));
  const directories = await SnapshotDirectories.open(rootLayout.snapshots(root), threads, true);
  const snapshotters = new Map([[SNAPSHOTTER, { records: new SnapshotRecords(database, SNAPSHOTTER), directories }]]);
  return { database, files, snapshotters, threads, events, collection, scratch, nowNs };
}
