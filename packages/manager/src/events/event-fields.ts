import { containerd, MessageCodec, WireError } from "@trimaran/proto";
import type { FilterFields } from "../metadata/filters.ts";
import type { ShimEvent } from "./event-exchange.ts";

/** As much of a codec as is needed. */
interface Decoder {
  decode(bytes: Uint8Array): object;
}

const { ImageCreate, ImageDelete, ImageUpdate } = containerd.services.images.v1;
const CODECS: ReadonlyMap<string, Decoder> = new Map(
  [...Object.values(containerd.events), ImageCreate, ImageDelete, ImageUpdate]
    .filter((codec) => codec instanceof MessageCodec)
    .map((codec): [string, Decoder] => [codec.typeName, codec]),
);

/** What filters see of an event. The message is decoded only if a filter asks for it. */
export function eventFields(event: ShimEvent): FilterFields {
  return {
    namespace: event.namespace,
    topic: event.topic,
    get event() {
      return messageFields(event);
    },
  };
}

/** The message of an event; undefined for a type that is unknown here, or for bytes that are none. */
export function decodeEvent(typeUrl: string, payload: Uint8Array): object | undefined {
  try {
    return CODECS.get(typeUrl)?.decode(payload);
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}

/** Texts of the message by the names of the contract, such as `container_id`; nothing of unknown or broken messages. */
function messageFields({ typeUrl, payload }: ShimEvent): FilterFields {
  return toFields(decodeEvent(typeUrl, payload) ?? {});
}

/** Numbers, times and lists have no text form that a filter could know. */
function toFields(message: object): FilterFields {
  const entries = Object.entries(message).flatMap(
    ([name, value]: [string, unknown]): [string, FilterFields[string]][] => {
      const key = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      if (typeof value === "string") return [[key, value]];
      const isMessage =
        typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
      return isMessage ? [[key, toFields(value)]] : [];
    },
  );
  return Object.fromEntries(entries);
}
