import { Code, hasCode, ManagerError } from "../errors/manager-error.ts";
import { requireNamespace, type ServiceCall } from "../grpc/service-call.ts";
import type { Mount } from "../layers/mount/mount.ts";
import { type Labels, parseLabels } from "../metadata/labels.ts";
import { LeaseRecords, leaseResource } from "../metadata/leases.ts";
import type { SnapshotRecord } from "../metadata/snapshots.ts";
import { mappedRoot } from "../overlay/id-mapping.ts";
import { publishCommitted, publishPrepared, publishRemoved } from "./snapshot-events.ts";
import type { SnapshotsHost, Snapshotter } from "./snapshots-host.ts";

/** Names, in Prepare's labels, what the result will be committed as. */
const TARGET_LABEL = "containerd.io/snapshot.ref";

/** What Prepare and View are asked for. */
export interface PrepareRequest {
  readonly kind: "active" | "view";
  readonly key: string;
  readonly parent: string;
  readonly labels: Labels;
}

/** Make a snapshot; its mounts. */
export async function prepare(
  host: SnapshotsHost,
  snapshotter: Snapshotter,
  { kind, key, parent, labels: given }: PrepareRequest,
  call: ServiceCall,
): Promise<Mount[]> {
  const namespace = requireNamespace(call);
  requireText("key", key);
  const labels = parseLabels("labels", given);
  const owner = mappedRoot(labels);
  const { records, directories } = snapshotter;
  refuseTarget(host, snapshotter, labels[TARGET_LABEL], call);
  refuseTaken(host, snapshotter, key, call);
  records.requireParent(namespace, parent);
  const parentId = records.find(namespace, parent)?.id;
  await using directory = await directories.make({ kind, parentId, owner });
  const record = host.database.transaction(() => {
    const id = freeId(snapshotter);
    const made = records.create(namespace, id, { key, parent, labels, kind, createdAtNs: host.nowNs() });
    lease(host, snapshotter, key, call);
    directory.install(id);
    return made;
  });
  if (kind === "active") publishPrepared(host, namespace, { key, parent, snapshotter: records.snapshotter });
  host.collection.changed();
  return mountsOf(snapshotter, namespace, record);
}

/**
 * An id that no directory has. One may: that of a transaction that failed or was cut off at its very end, which gave the number back.
 * It is the next collection's, and must not be touched, or it would take what comes in its place.
 */
function freeId({ records, directories }: Snapshotter): string {
  let id = records.reserveId();
  while (directories.has(id)) id = records.reserveId();
  return id;
}

/** Make an active snapshot one that others can stand on. Its directory stays. */
export async function commit(
  host: SnapshotsHost,
  snapshotter: Snapshotter,
  { key, name, labels: given }: { readonly key: string; readonly name: string; readonly labels: Labels },
  call: ServiceCall,
): Promise<void> {
  const namespace = requireNamespace(call);
  requireText("name", name);
  const labels = parseLabels("labels", given);
  const { records, directories } = snapshotter;
  const { id, kind } = records.get(namespace, key);
  if (kind !== "active") throw notActive(key, kind);
  refuseTaken(host, snapshotter, name, call);
  const { sizeBytes, inodes } = await directories.usage(id);
  const usage = { sizeBytes: BigInt(sizeBytes), inodes: BigInt(inodes) };
  host.database.transaction(() => {
    records.commit(namespace, key, { name, labels, usage, committedAtNs: host.nowNs() });
    lease(host, snapshotter, name, call);
    release(host, snapshotter, key, call);
  });
  publishCommitted(host, namespace, { key, name, snapshotter: records.snapshotter });
  host.collection.changed();
}

/** Forget a snapshot. Its directory goes with the next collection. */
export function remove(host: SnapshotsHost, snapshotter: Snapshotter, key: string, call: ServiceCall): void {
  const namespace = requireNamespace(call);
  host.database.transaction(() => {
    snapshotter.records.remove(namespace, key);
    release(host, snapshotter, key, call);
  });
  publishRemoved(host, namespace, { key, snapshotter: snapshotter.records.snapshotter });
  host.collection.deleted();
}

/** The mounts of a snapshot that has some. Throws FailedPrecondition for a committed one. */
export function mountsOf({ records, directories }: Snapshotter, namespace: string, record: SnapshotRecord): Mount[] {
  const { key, id, kind } = record;
  if (kind === "committed") throw notActive(key, kind);
  return directories.mounts(
    kind,
    id,
    records.parents(namespace, key).map((parent) => parent.id),
  );
}

/** Another client has made what this one wants to make: that it is there is the answer, and it must not vanish meanwhile. */
function refuseTarget(
  host: SnapshotsHost,
  snapshotter: Snapshotter,
  name: string | undefined,
  call: ServiceCall,
): void {
  if (name === undefined || !meet(host, snapshotter, name, call)) return;
  throw new ManagerError(Code.AlreadyExists, `target snapshot ${JSON.stringify(name)}: already exists`);
}

function refuseTaken(host: SnapshotsHost, snapshotter: Snapshotter, key: string, call: ServiceCall): void {
  if (!meet(host, snapshotter, key, call)) return;
  throw new ManagerError(Code.AlreadyExists, `snapshot ${JSON.stringify(key)}: already exists`);
}

/** Whether it exists; if so, it joins the call's lease. */
function meet(host: SnapshotsHost, snapshotter: Snapshotter, key: string, call: ServiceCall): boolean {
  return host.database.transaction(() => {
    if (snapshotter.records.find(requireNamespace(call), key) === undefined) return false;
    lease(host, snapshotter, key, call);
    return true;
  });
}

function lease({ database }: SnapshotsHost, { records }: Snapshotter, key: string, call: ServiceCall): void {
  leaseResource(database, call, `snapshots/${records.snapshotter}`, key);
}

/** The call's lease does not hold a key any more that is no snapshot now. */
function release({ database }: SnapshotsHost, { records }: Snapshotter, key: string, call: ServiceCall): void {
  if (call.lease === undefined) return;
  const resource = { type: `snapshots/${records.snapshotter}`, id: key };
  try {
    new LeaseRecords(database).deleteResource(requireNamespace(call), call.lease, resource);
  } catch (error) {
    if (!hasCode(error, Code.NotFound)) throw error; // a lease that has gone holds nothing
  }
}

function notActive(key: string, kind: string): ManagerError {
  return new ManagerError(Code.FailedPrecondition, `snapshot ${JSON.stringify(key)}: is ${kind}, not active`);
}

function requireText(field: string, value: string): void {
  if (value === "") throw new ManagerError(Code.InvalidArgument, `${field}: empty`);
}
