import { BlobRecords } from "../metadata/blobs.ts";
import { ContainerRecords } from "../metadata/containers.ts";
import { ImageRecords } from "../metadata/images.ts";
import { IngestRecords } from "../metadata/ingests.ts";
import { LeaseRecords } from "../metadata/leases.ts";
import { SandboxRecords } from "../metadata/sandboxes.ts";
import type { CollectorHost } from "./collector-host.ts";
import type { StoredObjects } from "./stored-objects.ts";

/** All that is on record in a namespace. To be called in the transaction that removes what turns out to be garbage. */
export function readObjects({ database, files, snapshotters }: CollectorHost, namespace: string): StoredObjects {
  const leases = new LeaseRecords(database);
  return {
    leases: leases.list(namespace).map((lease) => ({ ...lease, resources: leases.resources(namespace, lease.id) })),
    images: new ImageRecords(database)
      .list(namespace)
      .map((image) => ({ ...image, targetDigest: image.target.digest })),
    containers: new ContainerRecords(database).list(namespace),
    sandboxes: new SandboxRecords(database).list(namespace),
    blobs: new BlobRecords(database).list(namespace),
    ingests: new IngestRecords(database)
      .list(namespace)
      .map((ingest) => ({ ...ingest, open: files.isOpen(ingest.backendRef) })),
    snapshots: [...snapshotters].flatMap(([snapshotter, { records }]) =>
      records.list(namespace).map((snapshot) => ({ ...snapshot, snapshotter })),
    ),
  };
}
