import { type google, ttrpc } from "@trimaran/proto";
import { Flag, FrameType, finishFrame, HEADER_BYTES } from "./frame.ts";
import { parseCode, StatusError } from "./status.ts";

const NO_BYTES = new Uint8Array(0);

/** What a Request says besides its stream id. */
export interface RequestHead {
  readonly service: string;
  readonly method: string;
  /** Time left, for a unary call with a deadline. */
  readonly timeoutMs?: number | undefined;
  readonly metadata?: Metadata | undefined;
}

/** Keys are lower-cased on the way out; a list is one entry per value. */
export type Metadata = Readonly<Record<string, string | readonly string[]>>;

function metadataEntries(metadata: Metadata): ttrpc.KeyValue[] {
  return Object.entries(metadata).flatMap(([key, values]) =>
    (typeof values === "string" ? [values] : values).map((value) => ({ key: key.toLowerCase(), value })),
  );
}

/** A whole Request frame. Throws ResourceExhausted if it is too long. */
export function requestFrame(streamId: number, flags: number, head: RequestHead, payload?: Uint8Array): Uint8Array {
  const envelope = {
    service: head.service,
    method: head.method,
    payload,
    timeoutNano: head.timeoutMs === undefined ? undefined : Math.max(1, Math.round(head.timeoutMs * 1e6)),
    metadata: head.metadata === undefined ? undefined : metadataEntries(head.metadata),
  };
  return finishFrame(ttrpc.Request.encode(envelope, HEADER_BYTES), streamId, FrameType.Request, flags);
}

/** A whole Response frame of success; `status` is left out. Throws ResourceExhausted if it is too long. */
export function responseFrame(streamId: number, payload: Uint8Array): Uint8Array {
  return finishFrame(ttrpc.Response.encode({ payload }, HEADER_BYTES), streamId, FrameType.Response, 0);
}

/** A text beyond this is cut: an error must always fit into a frame. */
const MAX_MESSAGE_UNITS = 64 * 1024;

/** A whole Response frame of failure. */
export function errorFrame(streamId: number, error: StatusError): Uint8Array {
  const status = { code: error.code, message: error.message.slice(0, MAX_MESSAGE_UNITS) };
  return finishFrame(ttrpc.Response.encode({ status }, HEADER_BYTES), streamId, FrameType.Response, 0);
}

/** A whole Data frame with a message. Throws ResourceExhausted if it is too long. */
export function dataFrame(streamId: number, payload: Uint8Array): Uint8Array {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + payload.length);
  frame.set(payload, HEADER_BYTES);
  return finishFrame(frame, streamId, FrameType.Data, 0);
}

/** A whole Data frame that ends the sender's direction. */
export function endFrame(streamId: number): Uint8Array {
  return finishFrame(Buffer.allocUnsafe(HEADER_BYTES), streamId, FrameType.Data, Flag.RemoteClosed | Flag.NoData);
}

/** The payload of a Response's payload, or the error it carries. Throws on malformed bytes. */
export function parseResponse(payload: Uint8Array): Uint8Array | StatusError {
  if (payload.length === 0) return NO_BYTES;
  const response = ttrpc.Response.decode(payload);
  const status: google.rpc.Status | undefined = response.status;
  if (status === undefined || status.code === 0) return response.payload;
  return new StatusError(parseCode(status.code), status.message);
}
