import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { DBusError } from "./dbus-error.ts";
import { decodeMessage, encodeMessage, MESSAGE, type Message, messageLength } from "./message.ts";
import type { DBusValue } from "./value.ts";

/** A method to call. */
export interface MethodCall {
  /** Left out where the peer is the service itself, without a bus between. */
  readonly destination?: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature?: string;
  readonly body?: readonly DBusValue[];
}

/** Who connects. */
export interface ConnectionOptions {
  /** Our uid, which the peer compares with what the kernel says. */
  readonly uid: number;
  /** Ends the attempt, and whatever waits for an answer. */
  readonly signal: AbortSignal;
}

const MAX_LINE_BYTES = 4096;
const CRLF = "\r\n";

/**
 * One connection to a bus, or to a peer. Whoever opens it disposes it. Bytes that are not D-Bus end it; then all that waits is rejected.
 * Source: D-Bus specification, "Authentication Protocol" and "Message Protocol".
 */
export class BusConnection implements Disposable {
  /** Gets each signal. */
  onSignal: (message: Message) => void = () => undefined;
  readonly #socket: Socket;
  readonly #waiting = new Map<number, PromiseWithResolvers<readonly DBusValue[]>>();
  readonly #closed = Promise.withResolvers<never>();
  readonly #welcome = Promise.withResolvers<string>();
  #isWelcome = false;
  #serial = 0;
  #unread: Buffer = Buffer.alloc(0);

  private constructor(socket: Socket, signal: AbortSignal) {
    this.#socket = socket;
    this.#closed.promise.catch(() => undefined); // nobody may be waiting
    const stop = () => this.#fail(new DBusError("no answer in time", { cause: signal.reason }));
    signal.addEventListener("abort", stop, { once: true });
    socket.on("error", (error) => this.#fail(new DBusError(error.message, { cause: error })));
    socket.on("close", () => {
      signal.removeEventListener("abort", stop);
      this.#fail(new DBusError("the connection was closed"));
    });
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    if (signal.aborted) stop();
  }

  /** Connect to a unix socket and prove who we are. Throws DBusError, and what `connect` says (ENOENT, ECONNREFUSED …). */
  static async open(path: string, options: ConnectionOptions): Promise<BusConnection> {
    const socket = connect({ path });
    try {
      await once(socket, "connect", { signal: options.signal });
    } catch (error) {
      socket.destroy();
      throw error;
    }
    using undo = new DisposableStack();
    const connection = undo.use(new BusConnection(socket, options.signal));
    await connection.#authenticate(options.uid);
    undo.move();
    return connection;
  }

  /** Call a method. Resolves with what it returns; rejects with DBusError: its `code` is the service's. */
  async call(call: MethodCall): Promise<readonly DBusValue[]> {
    const serial = ++this.#serial;
    const answer = Promise.withResolvers<readonly DBusValue[]>();
    const bytes = encodeMessage({ kind: MESSAGE.call, serial, body: [], ...call });
    this.#waiting.set(serial, answer);
    this.#socket.write(bytes);
    return await this.race(answer.promise).finally(() => this.#waiting.delete(serial));
  }

  /** Wait for something that the peer is to bring about: rejects when the connection ends, or its time. */
  async race<T>(promise: Promise<T>): Promise<T> {
    return await Promise.race([promise, this.#closed.promise]);
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  /** EXTERNAL: the kernel tells the peer our uid. */
  async #authenticate(uid: number): Promise<void> {
    this.#socket.write(`\0AUTH EXTERNAL ${Buffer.from(String(uid)).toString("hex")}${CRLF}`);
    const line = await this.race(this.#welcome.promise);
    if (!line.startsWith("OK")) throw new DBusError(`we are not let in: ${JSON.stringify(line)}`);
    this.#socket.write(`BEGIN${CRLF}`);
  }

  #receive(chunk: Buffer): void {
    this.#unread = this.#unread.length === 0 ? chunk : Buffer.concat([this.#unread, chunk]);
    try {
      if (!this.#isWelcome) this.#readLine();
      if (this.#isWelcome) this.#readMessages();
    } catch (error) {
      this.#fail(error instanceof Error ? error : new DBusError(String(error)));
    }
  }

  /** What the peer says before BEGIN is one line. */
  #readLine(): void {
    const end = this.#unread.indexOf(CRLF);
    if (end < 0 && this.#unread.length > MAX_LINE_BYTES) throw new DBusError("this is not D-Bus");
    if (end < 0) return;
    this.#isWelcome = true;
    this.#welcome.resolve(this.#unread.toString("latin1", 0, end));
    this.#unread = this.#unread.subarray(end + CRLF.length);
  }

  #readMessages(): void {
    for (let length = messageLength(this.#unread); length !== undefined; length = messageLength(this.#unread)) {
      if (length > this.#unread.length) return;
      const message = decodeMessage(this.#unread.subarray(0, length));
      this.#unread = this.#unread.subarray(length);
      this.#dispatch(message);
    }
  }

  #dispatch(message: Message): void {
    if (message.kind === MESSAGE.signal) this.onSignal(message);
    const waiting = this.#waiting.get(message.replySerial ?? 0);
    if (message.kind === MESSAGE.reply) waiting?.resolve(message.body);
    if (message.kind !== MESSAGE.error) return; // a call: nobody may call us
    const [text] = message.body;
    const code = message.errorName ?? "an error without a name";
    waiting?.reject(new DBusError(typeof text === "string" ? text : code, { code }));
  }

  #fail(error: Error): void {
    this.#closed.reject(error);
    this.#socket.destroy();
  }
}
