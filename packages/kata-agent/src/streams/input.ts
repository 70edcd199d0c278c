import { Socket } from "node:net";
import { Code, StatusError } from "ttrpc-ts";
import { openWriter } from "./fifo.ts";

/** Input of a process, by offsets: what comes again is not written again. */
export class InputStream {
  readonly #path: string;
  readonly #onEnd: () => void;
  #socket: Socket | undefined;
  #offset = 0;
  #isClosed = false;
  readonly #begun = Promise.withResolvers<void>();
  #writing: Promise<unknown> = this.#begun.promise; // an exec's first input comes before its start

  /** `path`: a FIFO. `onEnd` is called when the host has said that no more will come, and all is written. */
  constructor(path: string, onEnd: () => void) {
    this.#path = path;
    this.#onEnd = onEnd;
  }

  /** The next byte that is wanted. */
  get offset(): number {
    return this.#offset;
  }

  /** Nobody reads any more, or the end was given. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** There is a reader now: what was written before goes there. */
  begin(): void {
    this.#begun.resolve();
    const fd = openIfRead(this.#path);
    if (fd === undefined) {
      this.#isClosed = true;
      return;
    }
    const socket = new Socket({ fd, readable: false, writable: true });
    socket.on("error", () => undefined); // EPIPE: nobody reads any more
    socket.on("close", () => {
      this.#isClosed = true;
    });
    this.#socket = socket;
  }

  /** Resolves when the pipe has taken it. Rejects with OutOfRange where something between was left out. */
  write(offset: number, data: Uint8Array, end: boolean): Promise<void> {
    const done = this.#writing.then(() => this.#write(offset, data, end));
    this.#writing = done.catch(() => undefined);
    return done;
  }

  close(): void {
    this.#isClosed = true;
    this.#begun.resolve();
    this.#socket?.destroy();
  }

  async #write(offset: number, data: Uint8Array, end: boolean): Promise<void> {
    if (offset > this.#offset)
      throw new StatusError(Code.OutOfRange, `offset ${offset}: the next byte is ${this.#offset}`);
    const fresh = data.subarray(this.#offset - offset);
    const socket = this.#socket;
    if (socket && !this.#isClosed && fresh.length > 0) await written(socket, fresh);
    if (fresh.length > 0) this.#offset += fresh.length;
    if (!end || this.#isClosed) return;
    this.#isClosed = true;
    socket?.end();
    this.#onEnd();
  }
}

/** Undefined where the process has ended already. */
function openIfRead(path: string): number | undefined {
  try {
    return openWriter(path);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENXIO") return undefined;
    throw error;
  }
}

/** Also where it fails: there is nobody to be told. */
function written(socket: Socket, data: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    socket.once("close", resolve);
    socket.write(data, () => {
      socket.off("close", resolve);
      resolve();
    });
  });
}
