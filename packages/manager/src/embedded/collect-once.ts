import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Directories } from "../bundles/directories.ts";
import { rootLayout, SNAPSHOTTER } from "../bundles/root-layout.ts";
import { ContentFiles } from "../content/content-files.ts";
import { EventExchange } from "../events/event-exchange.ts";
import { collectGarbage } from "../gc/collect-garbage.ts";
import { LayerThreads } from "../layers/thread/layer-threads.ts";
import { Database } from "../metadata/database.ts";
import { SnapshotRecords } from "../metadata/snapshots.ts";
import { SnapshotDirectories } from "../overlay/snapshot-directories.ts";

/** Collect garbage, once, and remove what commands that were killed have left. The caller has the directories for itself. */
export async function collectOnce({ root, state }: Directories): Promise<void> {
  const nowNs = () => BigInt(Date.now()) * 1_000_000n;
  const mountRoot = join(state, "mounts");
  await mkdir(mountRoot, { recursive: true, mode: 0o700 });
  for (const name of await readdir(state)) {
    if (name.startsWith("scratch-")) await rm(join(state, name), { recursive: true, force: true });
  }
  using database = Database.open(rootLayout.database(root));
  await using threads = new LayerThreads({ mountRoot });
  const files = await ContentFiles.open(rootLayout.content(root), nowNs);
  const directories = await SnapshotDirectories.open(rootLayout.snapshots(root), threads);
  const snapshotters = new Map([[SNAPSHOTTER, { records: new SnapshotRecords(database, SNAPSHOTTER), directories }]]);
  await collectGarbage({ database, files, snapshotters, events: new EventExchange(), nowNs });
}
