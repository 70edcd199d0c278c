import { BlobRecords } from "../metadata/blobs.ts";
import { ImageRecords } from "../metadata/images.ts";
import { IngestRecords } from "../metadata/ingests.ts";
import { LeaseRecords } from "../metadata/leases.ts";
import { NamespaceRecords } from "../metadata/namespaces.ts";
import type { CollectorHost } from "./collector-host.ts";
import { findGarbage } from "./find-garbage.ts";
import { readObjects } from "./read-objects.ts";
import type { Garbage } from "./stored-objects.ts";

/**
 * Take from the record what nothing keeps, in all namespaces, in one transaction: writers see the state before or after. Bytes stay.
 * Says what went.
 */
export function sweepRecords(host: CollectorHost): ReadonlyMap<string, Garbage> {
  return host.database.transaction(() => {
    const nowNs = host.nowNs();
    const swept = new Map<string, Garbage>();
    for (const { name } of new NamespaceRecords(host.database).list()) {
      const garbage = findGarbage(readObjects(host, name), nowNs);
      removeRecords(host, name, garbage);
      swept.set(name, garbage);
    }
    return swept;
  });
}

function removeRecords({ database, snapshotters }: CollectorHost, namespace: string, garbage: Garbage): void {
  const [leases, images] = [new LeaseRecords(database), new ImageRecords(database)];
  const [blobs, ingests] = [new BlobRecords(database), new IngestRecords(database)];
  for (const id of garbage.leases) leases.delete(namespace, id);
  for (const name of garbage.images) images.delete(namespace, name);
  for (const digest of garbage.blobs) blobs.delete(namespace, digest);
  for (const ref of garbage.ingests) ingests.delete(namespace, ref);
  for (const { snapshotter, key } of garbage.snapshots) snapshotters.get(snapshotter)?.records.remove(namespace, key);
}
