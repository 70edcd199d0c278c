import { ANY, containerd } from "@trimaran/proto";
import type { Digest } from "../content/digest.ts";
import type { ContentHost } from "./content-host.ts";

const { ContentCreate, ContentDelete } = containerd.events;

/** A blob came to a namespace. */
export function publishContentCreated(
  host: ContentHost,
  namespace: string,
  { digest, sizeBytes }: { readonly digest: Digest; readonly sizeBytes: number },
): void {
  const payload = ContentCreate.encode({ digest, size: BigInt(sizeBytes) });
  publish(host, { namespace, topic: "/content/create", typeUrl: ANY.contentCreate, payload });
}

/** A client deleted a blob. What garbage collection removes is not told. */
export function publishContentDeleted(host: ContentHost, namespace: string, digest: Digest): void {
  const payload = ContentDelete.encode({ digest });
  publish(host, { namespace, topic: "/content/delete", typeUrl: ANY.contentDelete, payload });
}

type Event = Omit<Parameters<ContentHost["events"]["publish"]>[0], "timestampNs">;

function publish(host: ContentHost, event: Event): void {
  host.events.publish({ ...event, timestampNs: host.nowNs() });
}
