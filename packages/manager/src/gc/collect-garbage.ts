import { containerd } from "@trimaran/proto";
import { publishEvent } from "../services/publish-event.ts";
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
function publish(host: CollectorHost, namespace: string, { images, snapshots }: Garbage): void {
  for (const snapshot of snapshots) publishEvent(host, namespace, "/snapshot/remove", SnapshotRemove, snapshot);
  for (const name of images) publishEvent(host, namespace, "/images/delete", ImageDelete, { name });
}
