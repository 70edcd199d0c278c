import { ProtocolError } from "./bytes.ts";
import { BODY_LIMIT_BYTES, decodeMessage, HEADER_BYTES, type Message } from "./message.ts";

const NOTHING = Buffer.alloc(0);

/**
 * Reassembles messages from chunks cut anywhere. A message inside one chunk is a view of it; one that spans chunks is copied once.
 * Throws ProtocolError for what is malformed or longer than 8 MiB.
 */
export class MessageStream {
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerHave = 0;
  #body: Buffer | undefined;
  #bodyHave = 0;

  *push(chunk: Uint8Array): Generator<Message, void, void> {
    let at = 0;
    while (at < chunk.length) {
      if (this.#headerHave < HEADER_BYTES) {
        const part = chunk.subarray(at, at + HEADER_BYTES - this.#headerHave);
        this.#header.set(part, this.#headerHave);
        this.#headerHave += part.length;
        at += part.length;
        if (this.#headerHave < HEADER_BYTES) return;
      }
      const length = this.#header.readUInt32LE(0);
      if (length > BODY_LIMIT_BYTES) throw new ProtocolError(`message of ${length} bytes: at most ${BODY_LIMIT_BYTES}`);
      const part = chunk.subarray(at, at + length - this.#bodyHave);
      at += part.length;
      if (part.length === length) {
        yield this.#take(part);
        continue;
      }
      this.#body ??= length ? Buffer.allocUnsafe(length) : NOTHING;
      this.#body.set(part, this.#bodyHave);
      this.#bodyHave += part.length;
      if (this.#bodyHave === length) yield this.#take(this.#body);
    }
  }

  #take(body: Uint8Array): Message {
    this.#body = undefined;
    this.#headerHave = this.#bodyHave = 0;
    return decodeMessage(this.#header.readUInt16LE(4), this.#header.readUInt16LE(6), body);
  }
}
