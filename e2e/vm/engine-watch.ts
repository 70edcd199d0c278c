import { Writable } from "node:stream";

/** How V8 begins when one of its own checks fails. */
const FATAL = "# Fatal error in ";

/**
 * Passes output on, and notes whether V8 has ended a process of the guest by itself: under emulation its compiler has been seen to end in "Check
 * failed: it->second.Size() > offset" (Node 26.10), in one of some hundred processes. That says nothing about what is tested.
 */
export class EngineWatch extends Writable {
  readonly #target: Writable;
  #tail = "";
  hasFailed = false;

  constructor(target: Writable) {
    super();
    this.#target = target;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    const text = this.#tail + chunk.toString("latin1");
    this.hasFailed ||= text.includes(FATAL);
    this.#tail = text.slice(-FATAL.length);
    this.#target.write(chunk, done);
  }

  [Symbol.dispose](): void {
    this.end();
  }
}
