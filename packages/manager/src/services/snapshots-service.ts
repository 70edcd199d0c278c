import { containerd, type snapshotsV1, toTimestamp } from "@trimaran/proto";
import { Code, ManagerError } from "../errors/manager-error.ts";
import type { Implementation } from "../grpc/implementation.ts";
import { requireNamespace } from "../grpc/service-call.ts";
import { updateLabels } from "../metadata/field-mask.ts";
import { parseFilters } from "../metadata/filters.ts";
import type { SnapshotRecord, SnapshotUsage } from "../metadata/snapshots.ts";
import { commit, mountsOf, prepare, remove } from "./snapshot-changes.ts";
import type { SnapshotsHost, Snapshotter } from "./snapshots-host.ts";

const { Kind } = containerd.services.snapshots.v1;
const KINDS = { active: Kind.ACTIVE, view: Kind.VIEW, committed: Kind.COMMITTED } as const;
const LIST_BATCH = 100;
const NO_USAGE: SnapshotUsage = { sizeBytes: 0n, inodes: 0n };

/** containerd.services.snapshots.v1.Snapshots. */
export function snapshotsService(host: SnapshotsHost): Implementation<typeof snapshotsV1> {
  const find = (name: string): Snapshotter => findSnapshotter(host, name);
  return {
    async prepare({ snapshotter, ...request }, call) {
      return { mounts: await prepare(host, find(snapshotter), { kind: "active", ...request }, call) };
    },
    async view({ snapshotter, ...request }, call) {
      return { mounts: await prepare(host, find(snapshotter), { kind: "view", ...request }, call) };
    },
    mounts({ snapshotter, key }, call) {
      const [chosen, namespace] = [find(snapshotter), requireNamespace(call)];
      return { mounts: mountsOf(chosen, namespace, chosen.records.get(namespace, key)) };
    },
    async commit({ snapshotter, ...request }, call) {
      await commit(host, find(snapshotter), request, call);
      return {};
    },
    remove({ snapshotter, key }, call) {
      remove(host, find(snapshotter), key, call);
      return {};
    },
    stat({ snapshotter, key }, call) {
      return { info: toInfo(find(snapshotter).records.get(requireNamespace(call), key)) };
    },
    update({ snapshotter, info, updateMask }, call) {
      const [{ records }, namespace] = [find(snapshotter), requireNamespace(call)];
      const key = info?.name ?? "";
      const record = host.database.transaction(() => {
        const labels = updateLabels(records.get(namespace, key).labels, info?.labels ?? {}, updateMask);
        records.setLabels(namespace, key, labels, host.nowNs());
        return records.get(namespace, key);
      });
      host.collection.changed(); // a label may have kept something
      return { info: toInfo(record) };
    },
    async *list({ snapshotter, filters }, call) {
      const [{ records }, namespace] = [find(snapshotter), requireNamespace(call)];
      const matches = parseFilters(filters, Code.Unknown); // where all others say InvalidArgument
      const found = records.list(namespace).filter((record) => matches(filterFields(record)));
      for (let start = 0; start < found.length; start += LIST_BATCH) {
        yield { info: found.slice(start, start + LIST_BATCH).map(toInfo) };
      }
    },
    async usage({ snapshotter, key }, call) {
      const chosen = find(snapshotter);
      const { sizeBytes, inodes } = await usageOf(chosen, chosen.records.get(requireNamespace(call), key));
      return { size: sizeBytes, inodes };
    },
    cleanup({ snapshotter }) {
      find(snapshotter);
      throw new ManagerError(Code.Unimplemented, `snapshotter ${snapshotter}: cleanup`);
    },
  };
}

function findSnapshotter({ snapshotters }: SnapshotsHost, name: string): Snapshotter {
  if (name === "") throw new ManagerError(Code.InvalidArgument, "snapshotter argument missing");
  const found = snapshotters.get(name);
  if (found === undefined) throw new ManagerError(Code.InvalidArgument, `snapshotter not loaded: ${name}`);
  return found;
}

/** An active one is measured, a committed one was; a view has nothing of its own. */
async function usageOf({ directories }: Snapshotter, { kind, id, usage }: SnapshotRecord): Promise<SnapshotUsage> {
  if (kind !== "active") return usage ?? NO_USAGE;
  const { sizeBytes, inodes } = await directories.usage(id);
  return { sizeBytes: BigInt(sizeBytes), inodes: BigInt(inodes) };
}

function filterFields({ kind, key, parent, labels }: SnapshotRecord) {
  return { kind, name: key, parent, labels };
}

function toInfo({ key, parent, kind, createdAtNs, updatedAtNs, labels }: SnapshotRecord) {
  return {
    name: key,
    parent,
    kind: KINDS[kind],
    createdAt: toTimestamp(createdAtNs),
    updatedAt: toTimestamp(updatedAtNs),
    labels,
  };
}
