import type { Descriptor } from "./descriptor.ts";

/** One step of a transfer, for people to look at. */
export interface ProgressEvent {
  /** In containerd's words: `waiting`, `downloading`, `complete`, `saved`, … */
  readonly event: string;
  /** Of a blob `<kind>-<digest>`, of an image its name; empty for the transfer itself. */
  readonly name?: string;
  readonly parents?: readonly string[];
  readonly descriptor?: Descriptor;
  /** Bytes so far, and in all; 0 if unknown. */
  readonly doneBytes?: number;
  readonly totalBytes?: number;
}

/** Called in order; the transfer waits for it, so it should be quick. */
export type ProgressListener = (event: ProgressEvent) => Promise<void>;

/** For who does not care. */
export const NO_PROGRESS: ProgressListener = () => Promise.resolve();

const INTERVAL_MS = 100;

/** Reports a blob's bytes, ten times a second at most. */
export class BlobProgress {
  readonly #listener: ProgressListener;
  readonly #event: Omit<ProgressEvent, "event" | "doneBytes">;
  #reportedAtMs = 0;

  constructor(listener: ProgressListener, event: Omit<ProgressEvent, "event" | "doneBytes">) {
    this.#listener = listener;
    this.#event = event;
  }

  /** A change of state is always reported. */
  async state(event: string, doneBytes: number): Promise<void> {
    this.#reportedAtMs = performance.now();
    await this.#listener({ ...this.#event, event, doneBytes });
  }

  /** More bytes. */
  async bytes(event: string, doneBytes: number): Promise<void> {
    if (performance.now() - this.#reportedAtMs >= INTERVAL_MS) await this.state(event, doneBytes);
  }
}
