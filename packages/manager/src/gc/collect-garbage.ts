import { ANY, containerd } from "@trimaran/proto";
import type { CollectorHost } from "./collector-host.ts";
import type { Garbage } from "./stored-objects.ts";
import { sweepBytes } from "./sweep-bytes.ts";
import { sweepRecords } from "./sweep-records.ts";

const { ImageDelete } = containerd.services.images.v1;
const { SnapshotRemove } = containerd.events;

/**
 * One collection: mark and sweep the records, tell of images and snapshots that went, remove bytes without a record. To be run by
 * a `CollectionScheduler`, never twice at a time.
 */
export async function collectGarbage(host: CollectorHost): Promise<void> {
  for (const [namespace, garbage] of sweepRecords(host)) publish(host, namespace, garbage);
  await sweepBytes(host);
}

/** As containerd 2.x does: nothing is said of blobs, ingests and leases. */
function publish({ events, nowNs }: CollectorHost, namespace: string, { images, snapshots }: Garbage): void {
  const timestampNs = nowNs();
  for (const { snapshotter, key } of snapshots) {
    const payload = SnapshotRemove.encode({ key, snapshotter });
    events.publish({ namespace, topic: "/snapshot/remove", timestampNs, typeUrl: ANY.snapshotRemove, payload });
  }
  for (const name of images) {
    const payload = ImageDelete.encode({ name });
    events.publish({ namespace, topic: "/images/delete", timestampNs, typeUrl: ANY.imageDelete, payload });
  }
}
