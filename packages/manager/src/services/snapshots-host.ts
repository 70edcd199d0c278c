import type { EventExchange } from "../events/event-exchange.ts";
import type { CollectionScheduler } from "../gc/collection-scheduler.ts";
import type { Database } from "../metadata/database.ts";
import type { SnapshotRecords } from "../metadata/snapshots.ts";
import type { SnapshotDirectories } from "../overlay/snapshot-directories.ts";

/** One way to keep snapshots: on record under its name, and on disk. */
export interface Snapshotter {
  readonly records: SnapshotRecords;
  readonly directories: SnapshotDirectories;
}

/** What the snapshots service stands on. */
export interface SnapshotsHost {
  readonly database: Database;
  /** By the names that clients use; `records.snapshotter` is the same. */
  readonly snapshotters: ReadonlyMap<string, Snapshotter>;
  readonly events: EventExchange;
  readonly collection: Pick<CollectionScheduler, "changed" | "deleted">;
  /** The clock, in nanoseconds since 1970. */
  readonly nowNs: () => bigint;
}
