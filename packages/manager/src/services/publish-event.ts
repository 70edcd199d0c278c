import type { Init, MessageCodec } from "@trimaran/proto";
import type { RecordsHost } from "./records-host.ts";

/** Tell of a change, after it is committed and before the call is answered. The codec names the type of the event. */
export function publishEvent<T>(
  host: Pick<RecordsHost, "events" | "nowNs">,
  namespace: string,
  topic: string,
  codec: MessageCodec<T>,
  event: Init<T>,
): void {
  const payload = codec.encode(event);
  host.events.publish({ namespace, topic, timestampNs: host.nowNs(), typeUrl: codec.typeName, payload });
}
