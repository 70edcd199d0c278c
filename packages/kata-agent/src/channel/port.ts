import { constants, openSync, readdirSync, readFileSync, readSync, writeSync } from "node:fs";
import { Duplex } from "node:stream";
import { lazyNative } from "@trimaran/linux";
import { channelFromStream, type FrameChannel } from "ttrpc-ts";
import { answerGreeting } from "./conversation.ts";
import type { Conversations } from "./conversations.ts";

// asm-generic/fcntl.h
const F_SETFL = 4;
const F_SETOWN = 8;
const O_ASYNC = 0o20000;
const READ_BYTES = 64 * 1024;
/** The port is full: the host will take something soon, and nothing tells when. */
const RETRY_MS = 1;

/** The device of a virtio-serial port by its name. Throws where there is none. */
export function findPort(name: string): string {
  const folder = "/sys/class/virtio-ports";
  for (const device of readdirSync(folder))
    if (readFileSync(`${folder}/${device}/name`, "utf8").trim() === name) return `/dev/${device}`;
  throw new Error(`no virtio port is called ${name}`);
}

/**
 * A port of the guest. libuv does not poll such a device, and a blocking read would sit in its thread pool for ever: so the kernel sends
 * SIGIO when there is something to read and when the host comes and goes, and all reads and writes are non-blocking. Source: Linux's
 * drivers/char/virtio_console.c.
 */
export class Port implements Conversations {
  readonly #fd: number;
  readonly #buffer = Buffer.allocUnsafe(READ_BYTES);
  readonly #signalled = (): void => this.#current?.look();
  #current: PortStream | undefined;
  #isClosed = false;

  /** Open a device such as `/dev/vport0p1`. */
  constructor(device: string) {
    const flags = constants.O_RDWR | constants.O_NONBLOCK;
    this.#fd = openSync(device, flags);
    process.on("SIGIO", this.#signalled);
    const native = lazyNative();
    native.check("fcntl", [this.#fd, F_SETOWN, process.pid], device);
    native.check("fcntl", [this.#fd, F_SETFL, flags | O_ASYNC], device);
  }

  async begin(onConversation: (channel: FrameChannel) => void): Promise<void> {
    void this.#converse(onConversation);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    process.off("SIGIO", this.#signalled);
    this.#current?.destroy();
  }

  async #converse(onConversation: (channel: FrameChannel) => void): Promise<void> {
    while (!this.#isClosed) {
      const stream = new PortStream(this.#fd, this.#buffer);
      this.#current = stream;
      const gone = new Promise<void>((resolve) => stream.once("close", resolve));
      if (await answerGreeting(stream)) {
        onConversation(channelFromStream(stream));
        stream.resume(); // it was paused until somebody listens
      } else stream.destroy();
      await gone;
    }
  }
}

/** One conversation: from the host's coming to its going. */
class PortStream extends Duplex {
  readonly #fd: number;
  readonly #buffer: Buffer;
  #isWanted = false;
  #hasHost = false;
  #retry: NodeJS.Timeout | undefined;

  constructor(fd: number, buffer: Buffer) {
    super({ allowHalfOpen: false });
    this.#fd = fd;
    this.#buffer = buffer;
  }

  /** There may be something to read. */
  look(): void {
    while (this.#isWanted && !this.destroyed) {
      const count = this.#readSome();
      if (count === undefined) return;
      if (count === 0) {
        if (this.#hasHost) this.push(null);
        return; // without a host: SIGIO tells of its coming
      }
      this.#isWanted = this.push(Buffer.from(this.#buffer.subarray(0, count)));
    }
  }

  override _read(): void {
    this.#isWanted = true;
    this.look();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    let at = 0;
    const go = (): void => {
      try {
        while (at < chunk.length) at += writeSync(this.#fd, chunk, at);
        done();
      } catch (error) {
        if (!isAgain(error)) return done(error instanceof Error ? error : new Error(String(error)));
        this.#retry = setTimeout(go, RETRY_MS);
      }
    };
    go();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#retry);
    done(error);
  }

  /** Undefined: nothing now. 0: the host is not there. */
  #readSome(): number | undefined {
    try {
      const count = readSync(this.#fd, this.#buffer);
      this.#hasHost ||= count > 0;
      return count;
    } catch (error) {
      if (!isAgain(error)) throw error;
      this.#hasHost = true;
      return undefined;
    }
  }
}

function isAgain(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EAGAIN";
}
