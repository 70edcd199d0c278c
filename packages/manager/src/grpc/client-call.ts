import { type ClientHttp2Stream, constants, type IncomingHttpHeaders } from "node:http2";
import { type MethodDescriptor, traceMetadata } from "@trimaran/proto";
import { Code, StatusError } from "../errors/manager-error.ts";
import type { ClientConnection } from "./client-connection.ts";
import { CUT_OFF, frameHead, readMessages } from "./message-frames.ts";
import { canceled, raceAbort } from "./race-abort.ts";
import { formatTimeout } from "./timeout-header.ts";

type Method = MethodDescriptor<unknown, unknown>;

/** What a call says before its first message. */
export interface CallHead {
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly namespace: string;
  readonly lease: string | undefined;
  readonly timeoutMs: number | undefined;
  readonly signal: AbortSignal;
}

/** One call of a client, as one stream of HTTP/2. Both methods may be used once, one of them. */
export class ClientCall {
  readonly #connection: ClientConnection;
  readonly #signal: AbortSignal;
  readonly #stream: ClientHttp2Stream;
  /** Undefined when the connection ends before the server has said how the call has. */
  readonly #status: Promise<IncomingHttpHeaders | undefined>;
  #sendError: { readonly error: unknown } | undefined;

  /** Throws Unavailable if the connection was closed. */
  constructor(connection: ClientConnection, head: CallHead) {
    this.#connection = connection;
    this.#signal = head.signal;
    this.#stream = connection.request(headersOf(head));
    const { promise, resolve } = Promise.withResolvers<IncomingHttpHeaders | undefined>();
    this.#status = promise;
    const read = (headers: IncomingHttpHeaders) => {
      if (headers["grpc-status"] !== undefined) resolve(headers);
    };
    this.#stream.on("error", () => {}); // "close" follows
    this.#stream.on("response", read);
    this.#stream.on("trailers", read);
    this.#stream.on("close", () => resolve(undefined));
  }

  /** The one answer. */
  async answer(method: Method, requests: AsyncIterable<object>): Promise<unknown> {
    let answer: { readonly message: unknown } | undefined;
    for await (const message of this.answers(method, requests)) answer = { message };
    if (answer === undefined) throw new StatusError(Code.Internal, "answer has no message");
    return answer.message;
  }

  /** All answers. Leaving the loop cancels the call. */
  async *answers(method: Method, requests: AsyncIterable<object>): AsyncGenerator<unknown> {
    const source = requests[Symbol.asyncIterator]();
    this.#send(method, source).catch((error: unknown) => this.#giveUp(error));
    const messages = readMessages(this.#stream.iterator({ destroyOnReturn: false }), Code.Unavailable);
    try {
      for (let next = await this.#race(messages.next()); !next.done; next = await this.#race(messages.next())) {
        yield method.response.decode(next.value);
      }
      requireOk(await this.#race(this.#status), this.#gone());
    } catch (error) {
      throw await this.#reasonOf(error);
    } finally {
      this.#cancel();
      messages.return(undefined).catch(() => {});
      source.return?.().catch(() => {});
    }
  }

  /** Each message when the one before has left, then a half-close. */
  async #send(method: Method, source: AsyncIterator<object>): Promise<void> {
    for (let next = await source.next(); !next.done; next = await source.next()) {
      const bytes = method.request.encode(next.value);
      const head = frameHead(bytes.length);
      if (this.#stream.destroyed || this.#stream.closed) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#stream.cork();
      this.#stream.write(head);
      this.#stream.write(bytes, () => resolve()); // a failure shows up where answers are read
      this.#stream.uncork();
      await promise;
    }
    this.#stream.end();
  }

  /** What is to be sent has failed: that is the call's error then, not the cancellation that follows. */
  #giveUp(error: unknown): void {
    this.#sendError = { error };
    this.#cancel();
  }

  /** Node half-closes a stream before it resets it, which must not look like the proper end of the requests. */
  #cancel(): void {
    if (this.#stream.closed || this.#stream.destroyed) return;
    if (!this.#stream.writableEnded) this.#stream.write(CUT_OFF);
    this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  async #reasonOf(error: unknown): Promise<unknown> {
    if (this.#sendError !== undefined) return this.#sendError.error;
    if (error instanceof StatusError) return error;
    if (this.#signal.aborted) return canceled(this.#signal);
    // The stream broke: what the server said before counts, if it said something.
    try {
      requireOk(await this.#race(this.#status), this.#gone());
    } catch (reason) {
      return reason;
    }
    return error;
  }

  #race<T>(promise: Promise<T>): Promise<T> {
    return raceAbort(promise, this.#signal);
  }

  #gone(): StatusError {
    const { path, lastError } = this.#connection;
    const why = lastError?.message ?? "the connection has ended";
    return new StatusError(Code.Unavailable, `${path}: ${why}: unavailable`, { cause: lastError });
  }
}

/** Header values are bytes: what is not ASCII goes as UTF-8. */
function headersOf({ path, namespace, lease, timeoutMs }: CallHead) {
  return {
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    "containerd-namespace": namespace,
    ...(lease === undefined ? {} : { "containerd-lease": Buffer.from(lease).toString("latin1") }),
    ...(timeoutMs === undefined ? {} : { "grpc-timeout": formatTimeout(timeoutMs) }),
    ...traceMetadata(),
  };
}

function requireOk(status: IncomingHttpHeaders | undefined, gone: StatusError): void {
  if (status === undefined) throw gone;
  const code = Number(status["grpc-status"]);
  if (code !== 0) throw new StatusError(parseCode(code), decodeText(String(status["grpc-message"] ?? "")));
}

function parseCode(value: number): Code {
  return Object.values(Code).find((code) => code === value) ?? Code.Unknown;
}

function decodeText(encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch {
    return encoded;
  }
}
