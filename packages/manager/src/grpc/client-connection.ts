import { type ClientHttp2Session, type ClientHttp2Stream, connect, type OutgoingHttpHeaders } from "node:http2";
import { createConnection } from "node:net";
import { Code, StatusError } from "../errors/manager-error.ts";
import { WINDOW_BYTES } from "./message-limits.ts";

/** A connection that is made when it is needed, and made again when the server has gone and come back. */
export class ClientConnection implements Disposable {
  readonly path: string;
  #session: ClientHttp2Session | undefined;
  #disposed = false;
  /** Why the last connection ended, if it did by an error. */
  lastError: Error | undefined;

  constructor(path: string) {
    this.path = path;
  }

  /** Throws Unavailable after dispose. */
  request(headers: OutgoingHttpHeaders): ClientHttp2Stream {
    if (this.#disposed) throw new StatusError(Code.Unavailable, `${this.path}: the client is closed: unavailable`);
    if (this.#session === undefined || this.#session.closed || this.#session.destroyed) this.#session = this.#connect();
    return this.#session.request(headers);
  }

  /** Twice is harmless. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#session?.destroy();
  }

  #connect(): ClientHttp2Session {
    this.lastError = undefined;
    const session = connect("http://localhost", {
      createConnection: () => createConnection(this.path),
      settings: { initialWindowSize: WINDOW_BYTES, enablePush: false },
      maxSessionMemory: 1024, // MiB
    });
    session.on("connect", () => session.setLocalWindowSize(WINDOW_BYTES));
    session.on("error", (error: Error) => {
      this.lastError = error;
    });
    return session;
  }
}
