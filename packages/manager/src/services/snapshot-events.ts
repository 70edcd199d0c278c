import { ANY, containerd } from "@trimaran/proto";
import type { SnapshotsHost } from "./snapshots-host.ts";

const { SnapshotCommit, SnapshotPrepare, SnapshotRemove } = containerd.events;

/** An active snapshot was made. Views are not told of. */
export function publishPrepared(
  host: SnapshotsHost,
  namespace: string,
  event: { readonly key: string; readonly parent: string; readonly snapshotter: string },
): void {
  const payload = SnapshotPrepare.encode(event);
  publish(host, { namespace, topic: "/snapshot/prepare", typeUrl: ANY.snapshotPrepare, payload });
}

/** An active snapshot was committed under a name. */
export function publishCommitted(
  host: SnapshotsHost,
  namespace: string,
  event: { readonly key: string; readonly name: string; readonly snapshotter: string },
): void {
  const payload = SnapshotCommit.encode(event);
  publish(host, { namespace, topic: "/snapshot/commit", typeUrl: ANY.snapshotCommit, payload });
}

/** A snapshot was removed. */
export function publishRemoved(
  host: SnapshotsHost,
  namespace: string,
  event: { readonly key: string; readonly snapshotter: string },
): void {
  const payload = SnapshotRemove.encode(event);
  publish(host, { namespace, topic: "/snapshot/remove", typeUrl: ANY.snapshotRemove, payload });
}

type Event = Omit<Parameters<SnapshotsHost["events"]["publish"]>[0], "timestampNs">;

function publish(host: SnapshotsHost, event: Event): void {
  host.events.publish({ ...event, timestampNs: host.nowNs() });
}
