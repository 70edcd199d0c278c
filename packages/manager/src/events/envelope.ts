import { type containerd, fromTimestamp } from "@trimaran/proto";
import { parseIdentifier } from "../bundles/identifier.ts";
import { Code, ManagerError } from "../errors/manager-error.ts";
import type { ShimEvent } from "./event-exchange.ts";

/** containerd's rule for topics: a slash, then identifiers with a slash between. Throws InvalidArgument. */
export function requireTopic(topic: string): void {
  if (!topic.startsWith("/")) {
    throw new ManagerError(Code.InvalidArgument, `topic ${JSON.stringify(topic)}: must begin with a slash`);
  }
  for (const component of topic.slice(1).split("/")) parseIdentifier(`topic ${JSON.stringify(topic)}`, component);
}

/**
 * An event that somebody forwards: namespace and topic are checked, time and payload stay as they are; without a time it is
 * `nowNs`. Throws InvalidArgument, naming the field.
 */
export function parseEnvelope(envelope: containerd.types.Envelope | undefined, nowNs: bigint): ShimEvent {
  const { namespace = "", topic = "", timestamp, event } = envelope ?? {};
  parseIdentifier("envelope.namespace", namespace);
  requireTopic(topic);
  if (event === undefined) throw new ManagerError(Code.InvalidArgument, "envelope.event: is missing");
  const timestampNs = timestamp === undefined ? nowNs : fromTimestamp(timestamp);
  return { namespace, topic, timestampNs, typeUrl: event.typeUrl, payload: event.value };
}
