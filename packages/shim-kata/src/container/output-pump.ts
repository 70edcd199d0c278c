import { constants, openSync } from "node:fs";
import { Socket } from "node:net";
import type { Output } from "./remote-process.ts";

/** One output stream of a process in the guest: see `RemoteProcess.read`. */
export type OutputSource = (offset: number) => Promise<Output>;

/** Copies a process's output from the guest into a pipe on the host. What the pipe has not taken yet, the guest keeps. */
export class OutputPump {
  /** Resolves when all is copied, or the guest has ended. */
  readonly ended: Promise<void>;
  readonly #source: OutputSource;
  readonly #pipe: Socket | undefined;
  #offset: number;
  #hasReader = true;
  readonly #waiting = new Set<() => void>();

  /** `path`: of the pipe; undefined where nobody reads any more: then it is read away. `offset`: what the pipe has had before. */
  constructor(source: OutputSource, path: string | undefined, offset: number) {
    this.#source = source;
    this.#offset = offset;
    this.#pipe = path === undefined ? undefined : openPipe(path);
    this.#hasReader = this.#pipe !== undefined;
    this.#pipe?.on("error", () => undefined); // EPIPE: nobody reads any more
    this.#pipe?.once("close", () => {
      this.#hasReader = false;
    });
    this.ended = this.#copy()
      .catch(() => undefined) // the guest has ended, or lies: whoever waits for its exit is told why
      .then(() => this.#finish());
  }

  /** Offset after the last byte that the pipe has taken. */
  get offset(): number {
    return this.#offset;
  }

  /** Wait until the pipe has had all before an offset, as long as it gets on: not longer than the limit without progress. */
  async reached(offset: number, limitMs: number): Promise<void> {
    let hasEnded = false;
    void this.ended.then(() => {
      hasEnded = true;
    });
    while (this.#offset < offset && !hasEnded) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const before = this.#offset;
      const timer = setTimeout(resolve, limitMs);
      this.#waiting.add(resolve);
      await Promise.race([promise, this.ended]);
      this.#waiting.delete(resolve);
      clearTimeout(timer);
      if (this.#offset === before) return;
    }
  }

  async #copy(): Promise<void> {
    for (;;) {
      const { offset, data, end } = await this.#source(this.#offset);
      if (data.length > 0) await this.#write(data);
      this.#offset = offset + data.length;
      for (const wake of this.#waiting) wake();
      if (end) return;
    }
  }

  #write(data: Uint8Array): Promise<void> {
    const pipe = this.#pipe;
    if (!pipe || !this.#hasReader) return Promise.resolve();
    return new Promise((resolve) => {
      pipe.once("close", resolve);
      pipe.write(data, () => {
        pipe.off("close", resolve);
        resolve();
      });
    });
  }

  #finish(): Promise<void> {
    const pipe = this.#pipe;
    if (!pipe || pipe.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      pipe.once("close", () => resolve());
      pipe.destroy();
    });
  }
}

function openPipe(path: string): Socket | undefined {
  try {
    const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
    return new Socket({ fd, readable: false, writable: true });
  } catch {
    return undefined; // ENXIO: its reader is gone; ENOENT: the monitor is
  }
}
