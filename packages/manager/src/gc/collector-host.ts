import type { ContentFiles } from "../content/content-files.ts";
import type { EventExchange } from "../events/event-exchange.ts";
import type { Database } from "../metadata/database.ts";
import type { SnapshotRecords } from "../metadata/snapshots.ts";
import type { SnapshotterDriver } from "./snapshotter-driver.ts";

/** Snapshots of one snapshotter, on record and on disk. */
export interface CollectedSnapshotter {
  readonly records: SnapshotRecords;
  readonly directories: SnapshotterDriver;
}

/** What garbage collection looks after. */
export interface CollectorHost {
  readonly database: Database;
  readonly files: ContentFiles;
  /** By name. */
  readonly snapshotters: ReadonlyMap<string, CollectedSnapshotter>;
  readonly events: EventExchange;
  /** The clock, in nanoseconds since 1970. */
  readonly nowNs: () => bigint;
}
