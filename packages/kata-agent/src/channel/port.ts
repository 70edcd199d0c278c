import { constants, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { Duplex } from "node:stream";
import { lazyNative, SyscallError } from "@trimaran/linux";
import { GreetingFinder, greetingReply } from "@trimaran/proto";
import { channelFromStream, type FrameChannel } from "ttrpc-ts";
import type { Conversations } from "./conversations.ts";

// asm-generic/fcntl.h
const F_SETFL = 4;
const F_SETOWN = 8;
const O_ASYNC = 0o20000;
// asm-generic/errno-base.h
const EINTR = 4;
const EAGAIN = 11;
const READ_BYTES = 64 * 1024;
/** The port is full: the host will take something soon, and nothing tells when. */
const RETRY_MS = 1;
/** A host that greets is there by then: that it has come the kernel's work queue notes later than what it has sent. */
const ARRIVAL_MS = 250;

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
 *
 * The host's going and coming again may be one signal, and a template is saved with a conversation that the clone's host knows nothing of: so a
 * greeting begins a new conversation wherever it comes, and the host sees to it that no conversation has its mark inside.
 */
export class Port implements Conversations {
  readonly #fd: number;
  readonly #native = lazyNative();
  readonly #buffer = Buffer.allocUnsafe(READ_BYTES);
  readonly #signalled = (): void => this.#look();
  #finder = new GreetingFinder("host");
  #current: PortStream | undefined;
  #onConversation: ((channel: FrameChannel) => void) | undefined;

  /** Open a device such as `/dev/vport0p1`. */
  constructor(device: string) {
    const flags = constants.O_RDWR | constants.O_NONBLOCK;
    this.#fd = openSync(device, flags);
    const native = this.#native;
    process.on("SIGIO", this.#signalled);
    native.check("fcntl", [this.#fd, F_SETOWN, process.pid], device);
    native.check("fcntl", [this.#fd, F_SETFL, flags | O_ASYNC], device);
  }

  async begin(onConversation: (channel: FrameChannel) => void): Promise<void> {
    this.#onConversation = onConversation;
    this.#look();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.off("SIGIO", this.#signalled);
    this.#current?.destroy();
  }

  /** Read what there is, as long as somebody wants it. */
  #look(): void {
    while (this.#onConversation && (!this.#current || this.#current.isWanted)) {
      const count = this.#readSome();
      if (count === undefined) return; // SIGIO tells when there is more
      if (count > 0) this.#take(Buffer.from(this.#buffer.subarray(0, count)));
      else {
        this.#hostIsGone();
        return;
      }
    }
  }

  #take(chunk: Buffer): void {
    const found = this.#finder.push(chunk);
    if (!found) {
      this.#current?.deliver(chunk);
      return;
    }
    this.#finder = new GreetingFinder("host");
    this.#converse(found.nonce);
    if (found.rest.length > 0) this.#take(Buffer.from(found.rest));
  }

  #converse(nonce: Uint8Array): void {
    this.#current?.destroy();
    const stream = new PortStream(this.#fd, () => this.#look());
    this.#current = stream;
    stream.write(greetingReply(nonce));
    this.#onConversation?.(channelFromStream(stream));
  }

  /** Or its greeting was faster than the news that it has come: as long as it has heard nothing, that is looked at a second time. */
  #hostIsGone(): void {
    const stream = this.#current;
    if (stream?.mayBeArriving) {
      stream.mayBeArriving = false;
      setTimeout(() => this.#look(), ARRIVAL_MS);
      return;
    }
    stream?.destroy();
    this.#current = undefined;
  }

  /** Undefined: nothing now. 0: the host is not there. Not by readSync: an error that is thrown at each end of what there is costs more than the read. */
  #readSome(): number | undefined {
    for (;;) {
      const count = this.#native.syscall("read", this.#fd, this.#buffer, this.#buffer.length);
      if (count >= 0) return count;
      if (count === -EAGAIN) return undefined;
      if (count !== -EINTR) throw new SyscallError(-count, "read");
    }
  }
}

/** One conversation: from its greeting to the next one, or to the host's going. */
class PortStream extends Duplex {
  /** Whether more may be delivered. */
  isWanted = true;
  /** Nothing has gone to the host yet. */
  mayBeArriving = true;
  readonly #fd: number;
  readonly #onWanted: () => void;
  #retry: NodeJS.Timeout | undefined;

  constructor(fd: number, onWanted: () => void) {
    super({ allowHalfOpen: false });
    this.#fd = fd;
    this.#onWanted = onWanted;
  }

  deliver(chunk: Buffer): void {
    if (!this.destroyed) this.isWanted = this.push(chunk);
  }

  override _read(): void {
    if (this.isWanted) return;
    this.isWanted = true;
    this.#onWanted();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    let at = 0;
    const go = (): void => {
      try {
        while (at < chunk.length) {
          const count = writeSync(this.#fd, chunk, at);
          if (count === 0) {
            this.#retry = setTimeout(go, RETRY_MS); // its queue is full, as it seems only now
            return;
          }
          this.mayBeArriving = false;
          at += count;
        }
        done();
      } catch (error) {
        if (isAgain(error)) this.#retry = setTimeout(go, RETRY_MS);
        else done(error instanceof Error ? error : new Error(String(error)));
      }
    };
    go();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#retry);
    this.isWanted = true; // what comes now is for nobody
    done(error);
  }
}

function isAgain(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EAGAIN";
}
