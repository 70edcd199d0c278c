import { Code, StatusError } from "./status.ts";

/** What a message costs besides its bytes. */
const OVERHEAD_BYTES = 256;
/** Default bound of what one stream may hold undelivered. */
export const STREAM_BUFFER_BYTES: number = 8 * 1024 * 1024;

interface Waiter {
  readonly resolve: (bytes: Uint8Array | undefined) => void;
  readonly reject: (error: StatusError) => void;
}

/**
 * Messages of one stream that nobody has taken yet. Bounded: a message beyond the bound ends the stream with
 * ResourceExhausted instead of stopping the connection's reader.
 */
export class Inbox {
  readonly #limitBytes: number;
  #messages: Uint8Array[] = [];
  #taken = 0;
  #heldBytes = 0;
  #end: { readonly error: StatusError | undefined } | undefined;
  #waiters: Waiter[] = [];

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get ended(): boolean {
    return this.#end !== undefined;
  }

  /** Returns the error that has ended the stream if the message does not fit. Dropped after the end. */
  push(message: Uint8Array): StatusError | undefined {
    if (this.#end !== undefined) return undefined;
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) {
      waiter.resolve(message);
      return undefined;
    }
    this.#heldBytes += message.length + OVERHEAD_BYTES;
    if (this.#heldBytes > this.#limitBytes) {
      const error = new StatusError(Code.ResourceExhausted, "ttrpc: stream buffer full");
      this.#drop();
      this.end(error);
      return error;
    }
    this.#messages.push(message);
    return undefined;
  }

  /** No more will come; what is held can still be taken. The first end counts. */
  end(error?: StatusError): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    for (const waiter of this.#waiters) {
      if (error === undefined) waiter.resolve(undefined);
      else waiter.reject(error);
    }
    this.#waiters = [];
  }

  /** The next message, or undefined at the end. Rejects with the error that the stream ended with. */
  take(): Promise<Uint8Array | undefined> {
    const message = this.#messages[this.#taken];
    if (message !== undefined) {
      this.#taken++;
      this.#heldBytes -= message.length + OVERHEAD_BYTES;
      if (this.#taken === this.#messages.length || this.#taken >= 1024) {
        this.#messages = this.#messages.slice(this.#taken);
        this.#taken = 0;
      }
      return Promise.resolve(message);
    }
    if (this.#end?.error !== undefined) return Promise.reject(this.#end.error);
    if (this.#end !== undefined) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  #drop(): void {
    this.#messages = [];
    this.#taken = 0;
    this.#heldBytes = 0;
  }
}
