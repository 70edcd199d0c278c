import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { type Init, ttrpc } from "@trimaran/proto";
import { encodeFrame, type Frame, FrameReader, FrameType } from "ttrpc-ts";

/** What came next on a connection. */
export type Arrival = Frame | "closed" | "silence";

/** A connection to a shim's socket without a client's manners: any bytes go out, and frames come in as they are. */
export class RawConnection implements Disposable {
  readonly #socket: Socket;
  readonly #frames: Frame[] = [];
  readonly #reader = new FrameReader();
  #wake: () => void = () => undefined;
  #closed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#frames.push(...this.#reader.feed(chunk).map(copied));
      this.#wake();
    });
    socket.on("error", () => undefined); // a close follows
    socket.on("close", () => {
      this.#closed = true;
      this.#wake();
    });
  }

  /** Dial `unix://…`. */
  static async open(address: string): Promise<RawConnection> {
    const socket = connect({ path: address.replace(/^unix:\/\//, "") });
    await once(socket, "connect");
    return new RawConnection(socket);
  }

  send(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** The next frame, or what there was instead of it in that time. */
  async next(limitMs: number): Promise<Arrival> {
    const end = performance.now() + limitMs;
    for (;;) {
      const frame = this.#frames.shift();
      if (frame !== undefined) return frame;
      if (this.#closed) return "closed";
      const leftMs = end - performance.now();
      if (leftMs <= 0) return "silence";
      const woken = Promise.withResolvers<void>();
      this.#wake = woken.resolve;
      const stop = new AbortController();
      await Promise.race([woken.promise, delay(leftMs, undefined, { signal: stop.signal }).catch(() => undefined)]);
      stop.abort();
    }
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

/** The bytes of a unary request. */
export function requestBytes(streamId: number, request: Init<ttrpc.Request>): Uint8Array {
  return encodeFrame({ streamId, type: FrameType.Request, flags: 0, payload: ttrpc.Request.encode(request) });
}

/** A reader's frames are views of what it was fed. */
function copied(frame: Frame): Frame {
  return { ...frame, payload: Uint8Array.from(frame.payload) };
}
