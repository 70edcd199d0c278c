import { ingestKey } from "../content/ingest-directory.ts";
import { messageOf } from "../errors/manager-error.ts";
import { BlobRecords } from "../metadata/blobs.ts";
import { IngestRecords } from "../metadata/ingests.ts";
import type { CollectedSnapshotter, CollectorHost } from "./collector-host.ts";

/** Does a step; its error is kept for later. */
type Attempt = (step: () => Promise<unknown>) => Promise<void>;

/**
 * Remove from the disk what is not on record: ingests, blobs, snapshot directories. Writers go on meanwhile. What cannot be removed
 * does not keep the rest from going; the errors come together, as an AggregateError, at the end.
 */
export async function sweepBytes(host: CollectorHost): Promise<void> {
  const errors: unknown[] = [];
  const attempt: Attempt = async (step) => {
    await step().catch((error: unknown) => errors.push(error));
  };
  await attempt(() => sweepIngests(host));
  await attempt(() => sweepBlobs(host, attempt));
  for (const snapshotter of host.snapshotters.values()) await attempt(() => sweepSnapshots(snapshotter, attempt));
  if (errors.length > 0) throw new AggregateError(errors, errors.map(messageOf).join("; "));
}

async function sweepIngests({ database, files }: CollectorHost): Promise<void> {
  const records = new IngestRecords(database);
  await files.sweepIngests(() => new Set(records.backendRefs().map(ingestKey)));
}

/** An ingest may begin with the bytes of a blob that is on record nowhere any more: they are kept for its commit. */
async function sweepBlobs({ database, files }: CollectorHost, attempt: Attempt): Promise<void> {
  const [blobs, ingests] = [new BlobRecords(database), new IngestRecords(database)];
  for await (const digest of files.blobs.walk()) {
    const isGarbage = (): boolean => !blobs.isOnRecord(digest) && !ingests.isExpected(digest);
    if (isGarbage()) await attempt(() => files.blobs.sweep(digest, isGarbage));
  }
}

async function sweepSnapshots({ records, directories }: CollectedSnapshotter, attempt: Attempt): Promise<void> {
  const ids = await directories.ids();
  const known = new Set(records.ids()); // asked after the disk: a directory that was there already had its record
  for (const id of ids) if (!known.has(id)) await attempt(() => directories.remove(id));
}
