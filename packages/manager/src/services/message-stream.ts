import { type google, packAny } from "@trimaran/proto";
import { AsyncQueue } from "../host/async-queue.ts";

type Any = google.protobuf.Any;

/** Messages that may wait for a slow client before who sends them waits, too. */
const QUEUE_LIMIT = 16;

/** The server's end of one open Streaming.Stream call. */
export class MessageStream {
  /** What the client sends; to be iterated once. Ends with its half-close, throws when it has gone. */
  readonly messages: AsyncIterable<Any>;
  readonly #outgoing = new AsyncQueue<Any>();
  readonly #flushed = Promise.withResolvers<void>();

  constructor(messages: AsyncIterable<Any>) {
    this.messages = messages;
  }

  /** Whether the client is there, and nobody has closed the stream. */
  get isOpen(): boolean {
    return this.#outgoing.isOpen;
  }

  /** Messages that the client has not taken yet. */
  get pending(): number {
    return this.#outgoing.length;
  }

  /** Send, at the client's speed. To a client that has gone nothing is sent. */
  async send(typeName: string, value: Uint8Array): Promise<void> {
    this.#outgoing.push(packAny(typeName, value));
    await this.#outgoing.below(QUEUE_LIMIT);
  }

  /** Send no more; the call ends well when the client has taken all. Resolves then, or when the client has gone. */
  async close(): Promise<void> {
    this.#outgoing.end();
    await this.#flushed.promise;
  }

  /** End the call with an error, after what was sent. */
  fail(error: unknown): void {
    this.#outgoing.fail(error);
  }

  /** Before the first answer: `signal` aborts when the client goes away, and ends the stream. */
  bind(signal: AbortSignal): Disposable {
    const end = () => this.#outgoing.end();
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
    return {
      [Symbol.dispose]: () => {
        signal.removeEventListener("abort", end);
        end();
        this.#flushed.resolve();
      },
    };
  }

  /** Whatever is sent, until the stream is closed. Read by the call, once. */
  get answers(): AsyncIterable<Any> {
    return this.#outgoing;
  }
}
