import type { Duplex } from "node:stream";
import type { FrameChannel } from "./channel.ts";
import { type Frame, FrameReader } from "./frame.ts";
import { Code, StatusError } from "./status.ts";

/** How much may wait for a slow peer. */
export interface StreamChannelOptions {
  /** From this many queued bytes on `send` returns false. Default 1 MiB. */
  readonly highWaterBytes?: number;
  /** A peer that lets this many bytes wait is cut off. Default 64 MiB, above the high-water mark. */
  readonly limitBytes?: number;
  /** How long `close` waits for a slow peer to take the last bytes. Default 2000. */
  readonly closeTimeoutMs?: number;
}

const COALESCE_BYTES = 64 * 1024;

class StreamChannel implements FrameChannel {
  onDrain: () => void = () => {};
  #onFrame: (frame: Frame) => void = () => {};
  #onClose: (error?: Error) => void = () => {};
  readonly #duplex: Duplex;
  readonly #options: Required<StreamChannelOptions>;
  readonly #reader = new FrameReader();
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #slow = false;
  #closing = false;
  /** Set once it is over; `error` is undefined for a plain end of file. */
  #end: { readonly error: Error | undefined } | undefined;

  constructor(duplex: Duplex, options: Required<StreamChannelOptions>) {
    this.#duplex = duplex;
    this.#options = options;
    duplex.on("drain", () => this.#drained());
    duplex.once("end", () => this.#finish());
    duplex.once("error", (error) => this.#finish(error));
    duplex.once("close", () => this.#finish());
  }

  get onFrame(): (frame: Frame) => void {
    return this.#onFrame;
  }

  /** Reading begins when somebody listens. */
  set onFrame(handler: (frame: Frame) => void) {
    this.#onFrame = handler;
    if (this.#duplex.listenerCount("data") === 0) this.#duplex.on("data", (chunk: Uint8Array) => this.#read(chunk));
  }

  get onClose(): (error?: Error) => void {
    return this.#onClose;
  }

  set onClose(handler: (error?: Error) => void) {
    this.#onClose = handler;
    const end = this.#end;
    if (end !== undefined) queueMicrotask(() => handler(end.error));
  }

  send(frame: Uint8Array): boolean {
    if (this.#closing || this.#end !== undefined) return true;
    if (this.#queue.length === 0) process.nextTick(() => this.#flush());
    this.#queue.push(frame);
    this.#queuedBytes += frame.length;
    const waiting = this.#queuedBytes + this.#duplex.writableLength;
    if (waiting > this.#options.limitBytes) this.#cutOff(waiting);
    this.#slow ||= waiting > this.#options.highWaterBytes;
    return !this.#slow;
  }

  close(): void {
    if (this.#closing || this.#end !== undefined) return;
    this.#flush();
    this.#closing = true;
    const timer = setTimeout(() => this.#duplex.destroy(), this.#options.closeTimeoutMs);
    timer.unref();
    // Not end(): a half-closed connection makes the Go peer drop replies. The callback runs when all before it is written.
    this.#duplex.write("", () => this.#duplex.destroy());
    this.#duplex.once("close", () => clearTimeout(timer));
  }

  #read(chunk: Uint8Array): void {
    for (const frame of this.#reader.feed(chunk)) {
      if (this.#end !== undefined || this.#closing) return;
      this.#onFrame(frame);
    }
  }

  /** All frames of one turn go out in one write. */
  #flush(): void {
    const frames = this.#queue;
    const bytes = this.#queuedBytes;
    this.#queue = [];
    this.#queuedBytes = 0;
    if (this.#duplex.destroyed || this.#end !== undefined) return;
    const [only] = frames;
    if (frames.length === 1) this.#duplex.write(only);
    else if (bytes <= COALESCE_BYTES && frames.length > 0) this.#duplex.write(Buffer.concat(frames, bytes));
    else {
      this.#duplex.cork();
      for (const frame of frames) this.#duplex.write(frame);
      this.#duplex.uncork();
    }
    if (this.#slow && !this.#duplex.writableNeedDrain) this.#drained();
  }

  #drained(): void {
    if (!this.#slow || this.#end !== undefined) return;
    this.#slow = false;
    this.onDrain();
  }

  #cutOff(waiting: number): void {
    const text = `ttrpc: ${waiting} bytes wait for a peer that does not read`;
    this.#finish(new StatusError(Code.ResourceExhausted, text));
  }

  #finish(error?: Error): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#duplex.on("error", () => {}); // an error after the first says nothing new
    this.#duplex.destroy();
    this.#onClose(error);
  }
}

/**
 * Frames over any byte stream: a socket, a pair of pipes, a virtio port. Reading never waits for writing. The channel
 * owns the stream and destroys it at the end.
 */
export function channelFromStream(duplex: Duplex, options: StreamChannelOptions = {}): FrameChannel {
  const { highWaterBytes = 1 << 20, limitBytes = 64 << 20, closeTimeoutMs = 2000 } = options;
  return new StreamChannel(duplex, { highWaterBytes, limitBytes, closeTimeoutMs });
}
