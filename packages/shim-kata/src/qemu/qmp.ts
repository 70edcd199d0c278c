import type { Socket } from "node:net";
import { Code, StatusError } from "ttrpc-ts";
import { connectWhenThere } from "./connect.ts";

/** What QEMU says by itself: `SHUTDOWN`, `STOP`, `RESUME`, `MIGRATION`, … */
export interface QmpEvent {
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** QEMU refused a command. */
export class QmpError extends Error {
  override readonly name = "QmpError";
  readonly command: string;
  /** QEMU's class: `GenericError`, `CommandNotFound`, … */
  readonly kind: string;
  constructor(command: string, kind: string, message: string) {
    super(`qmp ${command}: ${message}`);
    this.command = command;
    this.kind = kind;
  }
}

/** A message of QEMU's is far smaller; a longer one is no QEMU's that we want to talk to. */
const LINE_LIMIT_BYTES = 1024 * 1024;
const COMMAND_LIMIT_MS = 10_000;

interface Pending {
  readonly command: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/**
 * QEMU's control channel: commands in, answers and events out. A guest that has broken out owns QEMU, so what comes is bounded and checked;
 * anything that is no QMP ends the connection. Dispose it: QEMU lives on. Source: docs/interop/qmp-spec.txt of QEMU.
 */
export class Qmp {
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  readonly #greeting = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<Error>();
  #buffered: Buffer[] = [];
  #bufferedBytes = 0;
  #nextId = 1;
  #end: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#greeting.promise.catch(() => undefined);
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => this.#close(unavailable(error.message)));
    socket.on("close", () => this.#close(unavailable("the connection has ended")));
  }

  /**
   * Connect to the socket of a QEMU that is running or about to: until it listens, or `signal` says that it never will. Throws Unavailable, or
   * the signal's reason.
   */
  static async open(path: string, signal: AbortSignal): Promise<Qmp> {
    const qmp = new Qmp(await connectWhenThere(path, signal));
    const stop = () => qmp.#close(toError(signal.reason));
    signal.addEventListener("abort", stop, { once: true });
    try {
      await qmp.#greeting.promise;
      await qmp.execute("qmp_capabilities");
      return qmp;
    } catch (error) {
      qmp[Symbol.dispose]();
      throw error;
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  /** Resolves with the reason when the connection has ended. */
  get closed(): Promise<Error> {
    return this.#closed.promise;
  }

  /** Be told of every event from now on. Dispose the result to end that. */
  listen(listener: (event: QmpEvent) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  /**
   * The next event that `wanted` accepts. Call it before the command that causes the event. Throws Unavailable when the connection ends first,
   * or the signal's reason.
   */
  async nextEvent(wanted: (event: QmpEvent) => boolean, signal: AbortSignal): Promise<QmpEvent> {
    const { promise, resolve, reject } = Promise.withResolvers<QmpEvent>();
    using _listening = this.listen((event) => {
      if (wanted(event)) resolve(event);
    });
    const stop = () => reject(toError(signal.reason));
    signal.addEventListener("abort", stop, { once: true });
    void this.#closed.promise.then(reject);
    try {
      return await promise;
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  /** Run a command; the result is QEMU's `return`. Throws QmpError if it refuses, Unavailable if it ends or does not answer in time. */
  async execute(
    command: string,
    parameters: Readonly<Record<string, unknown>> = {},
    timeoutMs = COMMAND_LIMIT_MS,
  ): Promise<unknown> {
    if (this.#end) throw this.#end;
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#pending.set(id, { command, resolve, reject });
    const late = setTimeout(() => this.#fail(id, unavailable(`${command}: no answer in ${timeoutMs} ms`)), timeoutMs);
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: parameters, id })}\n`);
    try {
      return await promise;
    } finally {
      clearTimeout(late);
      this.#pending.delete(id);
    }
  }

  [Symbol.dispose](): void {
    this.#close(unavailable("closed by us"));
  }

  #fail(id: number, error: Error): void {
    this.#pending.get(id)?.reject(error);
  }

  #close(why: Error): void {
    if (this.#end) return;
    this.#end = why;
    this.#socket.destroy();
    this.#greeting.reject(why);
    this.#closed.resolve(why);
    for (const id of this.#pending.keys()) this.#fail(id, why);
  }

  #receive(chunk: Buffer): void {
    let rest = chunk;
    for (let end = rest.indexOf(10); end >= 0 && !this.#end; end = rest.indexOf(10)) {
      this.#line(Buffer.concat([...this.#buffered, rest.subarray(0, end)]));
      this.#buffered = [];
      this.#bufferedBytes = 0;
      rest = rest.subarray(end + 1);
    }
    this.#bufferedBytes += rest.length;
    if (this.#bufferedBytes > LINE_LIMIT_BYTES) this.#close(unavailable("a message is longer than 1 MiB"));
    else if (rest.length > 0) this.#buffered.push(rest);
  }

  #line(line: Buffer): void {
    const message = parseMessage(line);
    if (message === undefined) this.#close(unavailable("a message is no JSON object"));
    else if ("QMP" in message) this.#greeting.resolve();
    else if (typeof message.event === "string") this.#event(message.event, message.data);
    else this.#answer(message);
  }

  #event(name: string, data: unknown): void {
    for (const listener of this.#listeners) listener({ name, data: isRecord(data) ? data : {} });
  }

  #answer({ id, return: value, error }: Record<string, unknown>): void {
    const pending = typeof id === "number" ? this.#pending.get(id) : undefined;
    if (!pending || typeof id !== "number") return; // an answer that came too late
    if (!isRecord(error)) pending.resolve(value);
    else this.#fail(id, new QmpError(pending.command, String(error.class), String(error.desc).slice(0, 500)));
  }
}

function parseMessage(line: Buffer): Record<string, unknown> | undefined {
  try {
    const message: unknown = JSON.parse(line.toString());
    return isRecord(message) ? message : undefined;
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function toError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}

function unavailable(message: string): StatusError {
  return new StatusError(Code.Unavailable, `qmp: ${message}`);
}
