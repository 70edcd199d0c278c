import type { FrameChannel } from "./channel.ts";
import type { StatusError } from "./status.ts";

/** Lets senders of streams wait while the peer is slow. One per connection. */
export class Drain {
  readonly #channel: FrameChannel;
  #waiters: PromiseWithResolvers<void>[] = [];

  constructor(channel: FrameChannel) {
    this.#channel = channel;
    if ("onDrain" in channel) channel.onDrain = () => this.#wake();
  }

  /** Send, and resolve when the next may be sent. Rejects if the connection ends first. */
  async send(frame: Uint8Array): Promise<void> {
    if (this.#channel.send(frame) || !("onDrain" in this.#channel)) return;
    const waiter = Promise.withResolvers<void>();
    this.#waiters.push(waiter);
    await waiter.promise;
  }

  /** The connection is gone. */
  fail(error: StatusError): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.reject(error);
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.resolve();
  }
}
