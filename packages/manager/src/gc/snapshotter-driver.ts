/**
 * What garbage collection asks of a snapshotter's files. Ids name directories. A directory gets its id no earlier than its record, and
 * none while there is another of that id, so one without a record is garbage for good.
 */
export interface SnapshotterDriver {
  /** Ids of all directories on disk, in no order; what is still being made is not among them. */
  ids(): Promise<readonly string[]>;
  /** Remove a snapshot's directory and all in it. Already gone is success. */
  remove(id: string): Promise<void>;
}
