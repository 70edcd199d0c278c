import { containerd } from "@trimaran/proto";
import { digestOf } from "../../content/digest.ts";
import { BlobRecords } from "../blobs.ts";
import { ContainerRecords } from "../containers.ts";
import type { Database } from "../database.ts";
import { LeaseRecords, leaseResource } from "../leases.ts";
import { SnapshotRecords } from "../snapshots.ts";

const NAMESPACE = "crash";
const id = (number: number) => `n${number}`;
const none = { labels: {}, createdAtNs: 0n, updatedAtNs: 0n };

/** One transaction over five tables. Every third is rolled back, which must leave nothing. */
export function runTransaction(database: Database, number: number): void {
  const call = { namespace: NAMESPACE, lease: id(number) };
  const snapshots = new SnapshotRecords(database, "overlayfs");
  try {
    database.transaction(() => {
      new LeaseRecords(database).create(NAMESPACE, { id: id(number), labels: {}, createdAtNs: 0n });
      new BlobRecords(database).create(NAMESPACE, { digest: digestOf(id(number)), sizeBytes: number, ...none });
      leaseResource(database, call, "content", digestOf(id(number)));
      const { Container } = containerd.services.containers.v1;
      new ContainerRecords(database).create(NAMESPACE, Container.decode(Container.encode({ id: id(number) })));
      const parent = { key: id(number), parent: "", kind: "active", labels: {}, createdAtNs: 0n } as const;
      snapshots.create(NAMESPACE, snapshots.reserveId(), parent);
      if (number % 3 === 0) throw new RolledBack();
    });
  } catch (error) {
    if (!(error instanceof RolledBack)) throw error;
  }
}

class RolledBack extends Error {}

/** Numbers of the transactions that are there. Throws if one is there in part. */
export function readTransactions(database: Database): number[] {
  const leases = new LeaseRecords(database);
  const found = leases.list(NAMESPACE).map((lease) => lease.id);
  for (const each of found) {
    const [resource, ...more] = leases.resources(NAMESPACE, each);
    if (resource?.id !== digestOf(each) || more.length > 0) throw new Error(`${each}: lease holds something else`);
    new BlobRecords(database).get(NAMESPACE, digestOf(each));
    new ContainerRecords(database).get(NAMESPACE, each);
    new SnapshotRecords(database, "overlayfs").get(NAMESPACE, each);
  }
  const counts = [
    new BlobRecords(database).list(NAMESPACE),
    new ContainerRecords(database).list(NAMESPACE),
    new SnapshotRecords(database, "overlayfs").list(NAMESPACE),
  ].map((list) => list.length);
  if (counts.some((count) => count !== found.length)) throw new Error(`${found.length} leases, but ${counts}`);
  return found.map((each) => Number(each.slice(1)));
}
