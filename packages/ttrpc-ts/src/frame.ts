import { Code, StatusError } from "./status.ts";

/** Most bytes that a frame's payload may have. */
export const MAX_PAYLOAD_BYTES: number = 4 * 1024 * 1024;
export const HEADER_BYTES = 10;

export const FrameType = { Request: 1, Response: 2, Data: 3 } as const;
/** Flags of a Request and of Data. */
export const Flag = { RemoteClosed: 1, RemoteOpen: 2, NoData: 4 } as const;

/** One frame. */
export interface Frame {
  readonly streamId: number;
  readonly type: number;
  readonly flags: number;
  /** 0 to 4 MiB; from a FrameReader a view of what was fed. */
  readonly payload: Uint8Array;
  /** Set if the payload was longer than allowed: its length. The bytes were skipped. */
  readonly oversizedBytes?: number;
}

const NO_BYTES: Uint8Array = new Uint8Array(0);

/** The error of a payload that is too long; the same text from both sides. */
export function oversizedError(lengthBytes: number): StatusError {
  const text = `message length ${lengthBytes} exceed maximum message size of ${MAX_PAYLOAD_BYTES}`;
  return new StatusError(Code.ResourceExhausted, text);
}

/** Fill in the header of a frame whose payload stands behind ten free bytes. Throws ResourceExhausted above 4 MiB. */
export function finishFrame(frame: Buffer, streamId: number, type: number, flags: number): Buffer {
  const length = frame.length - HEADER_BYTES;
  if (length > MAX_PAYLOAD_BYTES) throw oversizedError(length);
  frame.writeUInt32BE(length, 0);
  frame.writeUInt32BE(streamId, 4);
  frame[8] = type;
  frame[9] = flags;
  return frame;
}

/**
 * The bytes of a frame: u32 length, u32 stream id, u8 type, u8 flags, big endian, then the payload. Throws
 * ResourceExhausted above 4 MiB.
 * Source: ttrpc PROTOCOL.md, "Message Frame".
 */
export function encodeFrame(frame: Omit<Frame, "oversizedBytes">): Uint8Array {
  if (frame.payload.length > MAX_PAYLOAD_BYTES) throw oversizedError(frame.payload.length);
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + frame.payload.length);
  bytes.set(frame.payload, HEADER_BYTES);
  return finishFrame(bytes, frame.streamId, frame.type, frame.flags);
}

/**
 * Split a byte stream into frames. Takes chunks cut anywhere; it holds back at most twice what was fed of an incomplete
 * frame. A frame above 4 MiB is skipped, not buffered, and comes out with `oversizedBytes` and no payload.
 */
export class FrameReader {
  /** The first bytes of an incomplete frame, and room for more. */
  #held = NO_BYTES;
  #heldBytes = 0;
  #skipping: Frame | undefined;
  #skipBytes = 0;

  /** All frames that are complete with this chunk, in order. The chunk must not be changed afterwards. */
  feed(chunk: Uint8Array): Frame[] {
    const frames: Frame[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (this.#skipping !== undefined) at += this.#skip(chunk.length - at, this.#skipping, frames);
      else if (this.#heldBytes > 0) at += this.#fill(chunk, at, frames);
      else at += this.#take(chunk, at, frames);
    }
    return frames;
  }

  /** A frame that lies whole in the chunk; otherwise hold its beginning. Returns the bytes used. */
  #take(chunk: Uint8Array, at: number, frames: Frame[]): number {
    const left = chunk.length - at;
    if (left < HEADER_BYTES) return this.#hold(chunk, at, left, HEADER_BYTES);
    const length = readUint32(chunk, at);
    if (length > MAX_PAYLOAD_BYTES) {
      this.#beginSkip(parseFrame(chunk, at, NO_BYTES), length);
      return HEADER_BYTES;
    }
    const size = HEADER_BYTES + length;
    if (left < size) return this.#hold(chunk, at, left, size);
    frames.push(parseFrame(chunk, at, chunk.subarray(at + HEADER_BYTES, at + size)));
    return size;
  }

  /** Add to the held bytes as much as the frame, or at first its header, still needs. */
  #fill(chunk: Uint8Array, at: number, frames: Frame[]): number {
    const inHeader = this.#heldBytes < HEADER_BYTES;
    const size = inHeader ? HEADER_BYTES : HEADER_BYTES + readUint32(this.#held, 0);
    const count = this.#hold(chunk, at, Math.min(size - this.#heldBytes, chunk.length - at), size);
    if (this.#heldBytes < size) return count;
    const length = readUint32(this.#held, 0);
    if (length > MAX_PAYLOAD_BYTES) this.#beginSkip(parseFrame(this.#held, 0, NO_BYTES), length);
    else if (this.#heldBytes < HEADER_BYTES + length) return count;
    else frames.push(parseFrame(this.#held, 0, this.#held.subarray(HEADER_BYTES, HEADER_BYTES + length)));
    this.#held = NO_BYTES;
    this.#heldBytes = 0;
    return count;
  }

  #hold(chunk: Uint8Array, at: number, count: number, size: number): number {
    const total = this.#heldBytes + count;
    if (total > this.#held.length) {
      const room = new Uint8Array(Math.max(HEADER_BYTES, Math.min(size, 2 * total)));
      room.set(this.#held.subarray(0, this.#heldBytes));
      this.#held = room;
    }
    this.#held.set(chunk.subarray(at, at + count), this.#heldBytes);
    this.#heldBytes = total;
    return count;
  }

  #beginSkip(frame: Frame, length: number): void {
    this.#skipping = { ...frame, oversizedBytes: length };
    this.#skipBytes = length;
  }

  #skip(left: number, skipping: Frame, frames: Frame[]): number {
    const count = Math.min(this.#skipBytes, left);
    this.#skipBytes -= count;
    if (this.#skipBytes === 0) {
      this.#skipping = undefined;
      frames.push(skipping);
    }
    return count;
  }
}

function readUint32(bytes: Uint8Array, at: number): number {
  const [a = 0, b = 0, c = 0, d = 0] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
  return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
}

function parseFrame(bytes: Uint8Array, at: number, payload: Uint8Array): Frame {
  return { streamId: readUint32(bytes, at + 4), type: bytes[at + 8] ?? 0, flags: bytes[at + 9] ?? 0, payload };
}
