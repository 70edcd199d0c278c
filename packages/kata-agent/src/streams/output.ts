import { closeSync } from "node:fs";
import { Socket } from "node:net";
import { Code, StatusError } from "ttrpc-ts";
import { openReader } from "./fifo.ts";

/** What one stream keeps that the host has not acknowledged. Beyond it the process has to wait. */
const WINDOW_BYTES = 256 * 1024;

/** What a read gives. */
export interface OutputChunk {
  readonly data: Uint8Array;
  readonly end: boolean;
}

/** Output of a process, by offsets, kept until the host has asked for what comes after it. */
export class OutputStream {
  readonly #fd: number;
  #socket: Socket | undefined;
  #chunks: Buffer[] = [];
  /** Offset of the first byte that is kept. */
  #begin = 0;
  #keptBytes = 0;
  #hasEnded = false;
  readonly #waiting = new Set<() => void>();

  /** `path`: a FIFO, which nobody writes to yet. */
  constructor(path: string) {
    this.#fd = openReader(path);
  }

  get offset(): number {
    return this.#begin;
  }

  /** Offset after the last byte that has come. */
  get reached(): number {
    return this.#begin + this.#keptBytes;
  }

  /** There is a writer now. */
  begin(): void {
    const socket = new Socket({ fd: this.#fd, readable: true, writable: false });
    socket.on("data", (chunk: Buffer) => this.#arrived(chunk));
    socket.on("close", () => this.#ended());
    socket.on("error", () => undefined); // "close" follows
    this.#socket = socket;
  }

  /**
   * Output from an offset on, once there is some, and whether that was all. What is before it is forgotten. Rejects with OutOfRange on an
   * offset that is gone, or not reached yet; with the signal's reason.
   */
  async read(offset: number, maxBytes: number, signal: AbortSignal): Promise<OutputChunk> {
    this.#acknowledge(offset);
    while (this.#keptBytes === 0 && !this.#hasEnded) await this.#change(signal);
    const data = this.#take(maxBytes);
    return { data, end: this.#hasEnded && data.length === this.#keptBytes };
  }

  close(): void {
    if (this.#socket) this.#socket.destroy();
    else closeSync(this.#fd);
    this.#ended();
  }

  #acknowledge(offset: number): void {
    if (offset < this.#begin || offset > this.reached)
      throw new StatusError(Code.OutOfRange, `offset ${offset}: ${this.#begin} to ${this.reached} are kept`);
    let dropBytes = offset - this.#begin;
    this.#begin = offset;
    this.#keptBytes -= dropBytes;
    for (let first = this.#chunks[0]; first && dropBytes > 0; first = this.#chunks[0]) {
      if (dropBytes < first.length) this.#chunks[0] = first.subarray(dropBytes);
      else this.#chunks.shift();
      dropBytes -= Math.min(dropBytes, first.length);
    }
    if (this.#keptBytes < WINDOW_BYTES) this.#socket?.resume();
  }

  #take(maxBytes: number): Buffer {
    const all = this.#chunks.length === 1 ? (this.#chunks[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#chunks);
    this.#chunks = all.length > 0 ? [all] : [];
    return all.subarray(0, maxBytes);
  }

  #arrived(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#keptBytes += chunk.length;
    if (this.#keptBytes >= WINDOW_BYTES) this.#socket?.pause();
    this.#wake();
  }

  #ended(): void {
    this.#hasEnded = true;
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }

  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
        this.#waiting.delete(done);
        signal.removeEventListener("abort", abandon);
        resolve();
      };
      const abandon = (): void => {
        this.#waiting.delete(done);
        reject(signal.reason);
      };
      if (signal.aborted) return reject(signal.reason);
      signal.addEventListener("abort", abandon, { once: true });
      this.#waiting.add(done);
    });
  }
}
