import { type eventsV1, packAny, toTimestamp } from "@trimaran/proto";
import { Code, ManagerError } from "../errors/manager-error.ts";
import { parseEnvelope, requireTopic } from "../events/envelope.ts";
import type { EventExchange, ShimEvent } from "../events/event-exchange.ts";
import { eventFields } from "../events/event-fields.ts";
import type { Implementation } from "../grpc/implementation.ts";
import { requireNamespace } from "../grpc/service-call.ts";
import { AsyncQueue } from "../host/async-queue.ts";
import { parseFilters } from "../metadata/filters.ts";
import type { RecordsHost } from "./records-host.ts";

/**
 * containerd.services.events.v1.Events. A subscriber gets what is published from its call on, in all namespaces, in order, byte
 * for byte; it has a queue of its own without bound, so a slow one neither blocks nor loses.
 */
export function eventsService({
  events,
  nowNs,
}: Pick<RecordsHost, "events" | "nowNs">): Implementation<typeof eventsV1> {
  return {
    publish({ topic, event }, call) {
      const namespace = requireNamespace(call);
      requireTopic(topic);
      if (event === undefined) throw new ManagerError(Code.InvalidArgument, "event: is missing");
      events.publish({ namespace, topic, timestampNs: nowNs(), typeUrl: event.typeUrl, payload: event.value });
      return {};
    },
    forward({ envelope }) {
      events.publish(parseEnvelope(envelope, nowNs()));
      return {};
    },
    subscribe: ({ filters }, { signal }) => subscribe(events, filters, signal),
  };
}

async function* subscribe(events: EventExchange, filters: readonly string[], signal: AbortSignal) {
  const matches = parseFilters(filters, Code.Unknown);
  const queue = new AsyncQueue<ShimEvent>();
  using _subscription = events.subscribe((event) => {
    if (matches(eventFields(event))) queue.push(event);
  });
  const onAbort = () => queue.end();
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) return;
  for await (const { namespace, topic, timestampNs, typeUrl, payload } of queue) {
    yield { namespace, topic, timestamp: toTimestamp(timestampNs), event: packAny(typeUrl, payload) };
  }
}
