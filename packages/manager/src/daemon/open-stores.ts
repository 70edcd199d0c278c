import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Directories } from "../bundles/directories.ts";
import { rootLayout, SNAPSHOTTER } from "../bundles/root-layout.ts";
import { ContentFiles } from "../content/content-files.ts";
import { messageOf } from "../errors/manager-error.ts";
import { EventExchange } from "../events/event-exchange.ts";
import { collectGarbage } from "../gc/collect-garbage.ts";
import { CollectionScheduler } from "../gc/collection-scheduler.ts";
import type { Logger } from "../host/logger.ts";
import { LayerThreads } from "../layers/thread/layer-threads.ts";
import { Database } from "../metadata/database.ts";
import { SnapshotRecords } from "../metadata/snapshots.ts";
import { SnapshotDirectories } from "../overlay/snapshot-directories.ts";
import type { Snapshotter } from "../services/snapshots-host.ts";

/** Everything that is kept, and what looks after it. */
export interface Stores {
  readonly database: Database;
  readonly files: ContentFiles;
  readonly snapshotters: ReadonlyMap<string, Snapshotter>;
  readonly threads: LayerThreads;
  readonly events: EventExchange;
  readonly collection: Pick<CollectionScheduler, "changed" | "deleted" | "collect">;
  /** An empty folder for what lives no longer than a call. */
  readonly scratch: string;
  /** The clock, in nanoseconds since 1970. */
  readonly nowNs: () => bigint;
}

/** The clock, in nanoseconds since 1970. */
export const nowNs = (): bigint => BigInt(Date.now()) * 1_000_000n;

/** Open what is kept under the root, for this process alone; `undo` closes it, last opened first. */
export async function openStores(dirs: Directories, log: Logger, undo: AsyncDisposableStack): Promise<Stores> {
  const events = new EventExchange();
  const [scratch, mountRoot] = [join(dirs.state, "scratch"), join(dirs.state, "mounts")];
  await rm(scratch, { recursive: true, force: true }); // of a daemon that was killed
  for (const path of [scratch, mountRoot]) await mkdir(path, { recursive: true, mode: 0o700 });
  const database = undo.use(Database.open(rootLayout.database(dirs.root)));
  const files = await ContentFiles.open(rootLayout.content(dirs.root), nowNs);
  const threads = undo.use(new LayerThreads({ mountRoot }));
  const directories = await SnapshotDirectories.open(rootLayout.snapshots(dirs.root), threads);
  const snapshotters = new Map([[SNAPSHOTTER, { records: new SnapshotRecords(database, SNAPSHOTTER), directories }]]);
  const collector = { database, files, snapshotters, events, nowNs };
  const collection = undo.use(
    new CollectionScheduler({
      run: () => collectGarbage(collector),
      onError: (error) => log.error("garbage collection failed", { error: messageOf(error) }),
    }),
  );
  return { ...collector, threads, collection, scratch };
}
