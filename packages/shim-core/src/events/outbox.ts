import type { Logger } from "../log.ts";
import type { Notebook } from "../pod/notebook.ts";

/** Delivers one encoded Envelope; rejects with a RetryableError where the daemon is away, with anything else where it refuses. */
export type Forward = (envelope: Uint8Array) => Promise<void>;

const PREFIX = "event/";
/** Beyond this many undelivered events the oldest is dropped: a daemon that is away for days must not fill the monitor. */
const LIMIT = 2048;
/** All notes of a monitor have 4 MiB; TaskCreate has the rootfs's mounts in it, which may be long. */
const LIMIT_BYTES = 2 * 1024 * 1024;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 5000;

/**
 * A pod's events, in order, until the daemon has taken them. Each is a note, of the monitor as a rule, before it is sent, so a killed task
 * server loses none. Order is kept by sending one at a time.
 */
export class Outbox {
  readonly #notebook: Notebook;
  readonly #forward: Forward;
  readonly #log: Logger;
  readonly #pending: { readonly key: string; readonly envelope: Uint8Array }[] = [];
  #pendingBytes = 0;
  #next = 0;
  #sending: Promise<void> | undefined;
  #closed = false;
  /** Cuts the pause before the next try short. */
  #wake: () => void = () => undefined;

  constructor(notebook: Notebook, forward: Forward, log: Logger) {
    this.#notebook = notebook;
    const { notes } = notebook;
    this.#forward = forward;
    this.#log = log;
    for (const key of [...notes.keys()].filter((name) => name.startsWith(PREFIX)).sort()) {
      const envelope = notes.get(key);
      if (envelope) this.#push(key, envelope);
      this.#next = Number.parseInt(key.slice(PREFIX.length), 10) + 1;
    }
    this.#pump();
  }

  /** Keep the envelope and send it as soon as all before it are gone. */
  add(envelope: Uint8Array): void {
    const key = PREFIX + String(this.#next++).padStart(12, "0");
    this.#notebook.note(key, () => envelope);
    this.#push(key, envelope);
    while (this.#pending.length > LIMIT || (this.#pendingBytes > LIMIT_BYTES && this.#pending.length > 1))
      this.#drop("event dropped: too many undelivered");
    this.#pump();
    this.#wake(); // something has happened, so the daemon may be back
  }

  get isEmpty(): boolean {
    return this.#pending.length === 0;
  }

  /** Resolves when nothing is left to send, or the time is over. */
  async flushed(limitMs: number): Promise<void> {
    if (!this.#sending) return;
    this.#wake();
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, limitMs);
    });
    await Promise.race([this.#sending, over]);
    clearTimeout(timer);
  }

  close(): void {
    this.#closed = true;
    this.#wake();
  }

  #pump(): void {
    if (this.#sending || this.#pending.length === 0) return;
    this.#sending = this.#send().finally(() => {
      this.#sending = undefined;
      if (!this.#closed) this.#pump();
    });
  }

  async #send(): Promise<void> {
    let pauseMs = FIRST_PAUSE_MS;
    for (let first = this.#pending[0]; first && !this.#closed; first = this.#pending[0]) {
      try {
        await this.#forward(first.envelope);
      } catch (error) {
        if (error instanceof RetryableError) {
          await this.#pause(pauseMs);
          pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
          continue;
        }
        this.#log.warning("event refused", { error });
      }
      pauseMs = FIRST_PAUSE_MS;
      if (this.#pending[0] === first) this.#shift();
    }
  }

  #pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    this.#wake = () => {
      clearTimeout(timer);
      resolve();
    };
    return promise;
  }

  #drop(why: string): void {
    this.#log.error(why, {});
    this.#shift();
  }

  #push(key: string, envelope: Uint8Array): void {
    this.#pending.push({ key, envelope });
    this.#pendingBytes += envelope.length;
  }

  #shift(): void {
    const gone = this.#pending.shift();
    if (!gone) return;
    this.#pendingBytes -= gone.envelope.length;
    this.#notebook.note(gone.key, undefined);
  }
}

/** The daemon is not there now. */
export class RetryableError extends Error {
  override readonly name = "RetryableError";
}
