import { Code, StatusError } from "../errors/manager-error.ts";
import { MAX_MESSAGE_BYTES } from "./message-limits.ts";

/** A byte that says whether the message is compressed, then its length. */
const HEAD_BYTES = 5;

/** The beginning of a message that never comes: a peer that sees the stream end after it knows that it was cut off. */
export const CUT_OFF: Buffer = Buffer.alloc(1);

/** What goes before a message of that length. Throws ResourceExhausted for more than 16 MiB. */
export function frameHead(lengthBytes: number): Buffer {
  requireSize(lengthBytes);
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt32BE(lengthBytes, 1);
  return head;
}

/**
 * Messages of a stream that may be cut anywhere. Throws ResourceExhausted for one of more than 16 MiB, before it is read,
 * Unimplemented for a compressed one, and by `cutOff` if the stream ends within one. Source: gRPC over HTTP/2, "Length-Prefixed-Message".
 */
export async function* readMessages(chunks: AsyncIterable<Buffer>, cutOff: Code): AsyncGenerator<Buffer> {
  const parts = new MessageParts();
  for await (const chunk of chunks) {
    parts.push(chunk);
    for (let message = parts.takeMessage(); message !== undefined; message = parts.takeMessage()) yield message;
  }
  if (parts.lengthBytes > 0) throw new StatusError(cutOff, "stream ends within a message");
}

/** Bytes that have come, and nobody has taken. Throws like `readMessages`. */
export class MessageParts {
  #chunks: Buffer[] = [];
  lengthBytes = 0;

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.lengthBytes += chunk.length;
  }

  /** The next message, if all of it is there. */
  takeMessage(): Buffer | undefined {
    if (this.lengthBytes < HEAD_BYTES) return undefined;
    const head = this.#peek(HEAD_BYTES);
    const size = head.readUInt32BE(1);
    if (head[0] !== 0) throw new StatusError(Code.Unimplemented, "compressed messages are not supported");
    requireSize(size);
    if (this.lengthBytes < HEAD_BYTES + size) return undefined;
    const [whole, rest] = this.#split(HEAD_BYTES + size);
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.lengthBytes = rest.length;
    return whole.subarray(HEAD_BYTES);
  }

  /** The first bytes; a message of many chunks is put together only when it is whole. */
  #peek(lengthBytes: number): Buffer {
    while ((this.#chunks[0]?.length ?? 0) < lengthBytes) {
      this.#chunks.splice(0, 2, Buffer.concat(this.#chunks.slice(0, 2)));
    }
    return this.#chunks[0] ?? Buffer.alloc(0);
  }

  #split(lengthBytes: number): [Buffer, Buffer] {
    const [only] = this.#chunks;
    const all = only !== undefined && this.#chunks.length === 1 ? only : Buffer.concat(this.#chunks);
    return [all.subarray(0, lengthBytes), all.subarray(lengthBytes)];
  }
}

function requireSize(lengthBytes: number): void {
  if (lengthBytes <= MAX_MESSAGE_BYTES) return;
  throw new StatusError(Code.ResourceExhausted, `message of ${lengthBytes} bytes: the limit is ${MAX_MESSAGE_BYTES}`);
}
