import { setTimeout as delay } from "node:timers/promises";
import { ANY, anyTypeName, containerd } from "@trimaran/proto";
import { Code, ManagerError } from "../errors/manager-error.ts";
import type { MessageStream } from "./message-stream.ts";

const { Data, WindowUpdate } = containerd.types.transfer;

/** The grain of containerd's windows, and the longest Data. */
const WINDOW_BYTES = 64 << 10;
const DATA_BYTES = 32 << 10;
/** What we let a client send ahead: with 64 KiB alone it would wait for each answer. */
const AHEAD_BYTES = 1 << 20;
const DRAIN_MS = 5_000;
const GRACE_MS = 20;

/** What the client sends, until its half-close. Throws InvalidArgument if it sends more than it may, or something else. */
export async function* receiveBytes(stream: MessageStream): AsyncGenerator<Buffer, void> {
  const messages = stream.messages[Symbol.asyncIterator]();
  let window = 0;
  for (;;) {
    while (window <= AHEAD_BYTES - WINDOW_BYTES) {
      window += WINDOW_BYTES;
      await stream.send(ANY.transferWindowUpdate, WindowUpdate.encode({ update: WINDOW_BYTES }));
    }
    const next = await messages.next();
    if (next.done === true) return;
    if (anyTypeName(next.value) !== ANY.transferData) throw unexpected(next.value);
    const { data } = Data.decode(next.value.value);
    window -= data.length;
    if (window < 0) throw new ManagerError(Code.InvalidArgument, "stream: more bytes than the window allows");
    yield Buffer.from(data.buffer, data.byteOffset, data.length);
  }
}

/**
 * Send bytes at the speed that the client's credit allows, and zeros after them, until the client shows that it has taken them.
 *
 * ctr does not wait for its file to be complete: it exits when Transfer has answered. The only sign that it has written
 * something is that it grants credit anew, which it does whenever it has less than 64 KiB of it left. So the bytes are filled up
 * to messages of 32 KiB, and then there are one or two of zeros, so that the number of messages is odd: then reading the last
 * one takes the client below 64 KiB, and when its grant comes, all before the zeros is in its file. To a tar archive zeros
 * at the end mean nothing. A client that grants in another way gets five seconds.
 *
 * Throws Canceled if the client goes away before it has all bytes.
 */
export async function sendBytes(stream: MessageStream, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  using credit = new Credit(stream);
  const buffer = Buffer.alloc(DATA_BYTES);
  let filled = 0;
  let count = 0;
  const send = async (message: Uint8Array) => {
    for (let at = 0; at < DATA_BYTES; ) {
      const length = await credit.take(DATA_BYTES - at);
      await stream.send(ANY.transferData, Data.encode({ data: message.subarray(at, at + length) }));
      at += length;
    }
    count++;
  };
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; ) {
      const part = chunk.subarray(at, at + DATA_BYTES - filled);
      at += part.length;
      if (part.length === DATA_BYTES) {
        await send(part); // most bytes go this way, without one more copy
        continue;
      }
      buffer.set(part, filled);
      filled += part.length;
      if (filled < DATA_BYTES) continue;
      await send(buffer);
      filled = 0;
    }
  }
  if (filled > 0) await send(buffer.fill(0, filled));
  buffer.fill(0);
  for (let zeros = count % 2 === 0 ? 1 : 2; zeros > 0; zeros--) await send(buffer);
  await credit.reaches(WINDOW_BYTES, DRAIN_MS);
  await delay(GRACE_MS); // the write that the last grant speaks of may still be under way
}

/** What a client lets us send. */
class Credit implements Disposable {
  #bytes = 0;
  #isOver = false;
  #error: unknown;
  #wake = Promise.withResolvers<void>();

  constructor(stream: MessageStream) {
    this.#read(stream)
      .catch((error: unknown) => {
        this.#error = error;
      })
      .finally(() => {
        this.#isOver = true;
        this.#wake.resolve();
      });
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
  }

  /** Take up to `limit` bytes of credit, 1 at least, when there are some. Throws if none can come any more. */
  async take(limit: number): Promise<number> {
    while (this.#bytes <= 0 && !this.#isOver) await this.#wake.promise;
    if (this.#error !== undefined) throw this.#error;
    if (this.#bytes <= 0) throw new ManagerError(Code.Canceled, "stream: the client takes no more bytes");
    const length = Math.min(limit, this.#bytes);
    this.#bytes -= length;
    return length;
  }

  /** Wait until there is so much credit, the client has gone, or time is over. */
  async reaches(bytes: number, timeoutMs: number): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const state = { isLate: false };
    const timer = setTimeout(() => {
      state.isLate = true;
      resolve();
    }, timeoutMs);
    while (this.#bytes < bytes && !this.#isOver && !state.isLate) await Promise.race([this.#wake.promise, late]);
    clearTimeout(timer);
  }

  async #read(stream: MessageStream): Promise<void> {
    for await (const message of stream.messages) {
      if (this.#isOver) return;
      if (anyTypeName(message) !== ANY.transferWindowUpdate) throw unexpected(message);
      const { update } = WindowUpdate.decode(message.value);
      if (update < 0) throw new ManagerError(Code.InvalidArgument, `stream: a window update of ${update} bytes`);
      this.#bytes += update;
      this.#wake.resolve();
      this.#wake = Promise.withResolvers<void>();
    }
  }
}

function unexpected(message: { readonly typeUrl: string }): ManagerError {
  return new ManagerError(Code.InvalidArgument, `stream: a ${JSON.stringify(anyTypeName(message))} was not expected`);
}
