import { constants, type ServerHttp2Stream } from "node:http2";
import { callTrace } from "@trimaran/proto";
import { Code, StatusError } from "../errors/manager-error.ts";
import { frameHead, MessageParts, readMessages } from "./message-frames.ts";
import { canceled, raceAbort } from "./race-abort.ts";
import type { ServiceCall } from "./service-call.ts";
import { parseTimeoutMs } from "./timeout-header.ts";

const { HTTP2_HEADER_STATUS, HTTP2_HEADER_CONTENT_TYPE } = constants;
const HEADERS = { [HTTP2_HEADER_STATUS]: 200, [HTTP2_HEADER_CONTENT_TYPE]: "application/grpc" };

/** What a stream of answers may have waiting for its client. */
const PENDING_BYTES = 128 * 1024;

/** One call, as one stream of HTTP/2: messages in, messages out, and a status at the end. */
export class ServerCall {
  readonly #stream: ServerHttp2Stream;
  readonly #controller = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #ended = false;
  /** Ends the wait for the one message. */
  #giveUp: ((reason: StatusError) => void) | undefined;
  readonly #service: ServiceCall;
  readonly #timeout: string | undefined;

  /** `rawHeaders` are names and values in turn. */
  constructor(stream: ServerHttp2Stream, rawHeaders: readonly string[]) {
    this.#stream = stream;
    stream.on("error", () => {}); // "close" follows
    stream.on("close", () => {
      if (!this.#ended) this.abort(gone());
    });
    this.#service = {
      namespace: firstOf(rawHeaders, "containerd-namespace"),
      lease: firstOf(rawHeaders, "containerd-lease"),
      signal: this.#controller.signal,
      trace: callTrace((key) => firstOf(rawHeaders, key)),
    };
    this.#timeout = firstOf(rawHeaders, "grpc-timeout");
  }

  /** What the service gets to know; the time begins to run, once. Throws InvalidArgument for a bad timeout. */
  begin(): ServiceCall {
    const timeoutMs = parseTimeoutMs(this.#timeout);
    if (timeoutMs !== undefined) {
      const late = () => this.abort(new StatusError(Code.DeadlineExceeded, "context deadline exceeded"));
      this.#timer ??= setTimeout(late, timeoutMs);
    }
    return this.#service;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Nobody waits for the answer any more. After the end nothing happens. */
  abort(reason: StatusError): void {
    if (!this.#ended) this.#controller.abort(reason);
    this.#giveUp?.(reason);
    clearTimeout(this.#timer);
  }

  /** The client's messages, to its last. Throws when the client goes before that. */
  async *requests(): AsyncGenerator<Buffer> {
    // Not destroyed on return: answers go through the same object.
    const messages = readMessages(this.#stream.iterator({ destroyOnReturn: false }), Code.Canceled);
    try {
      for (let next = await this.#race(messages.next()); !next.done; next = await this.#race(messages.next())) {
        yield next.value;
      }
    } catch (error) {
      throw this.signal.aborted ? canceled(this.signal) : error;
    } finally {
      messages.return(undefined).catch(() => {}); // when it waits for the client, at the end of the stream
    }
    // A reset ends the messages, too, as a half-close does; but only a reset closes the stream before the answer has ended.
    if (this.#stream.closed && !this.#ended) throw gone();
  }

  /** The one message of the client; what comes after it is dropped. Without iterators: most calls are of this kind. */
  request(): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const parts = new MessageParts();
    const stream = this.#stream;
    this.#giveUp = reject;
    const take = (chunk: Buffer) => {
      try {
        parts.push(chunk);
        const message = parts.takeMessage();
        if (message === undefined) return;
        resolve(message);
      } catch (error) {
        reject(error);
      }
      stream.off("data", take);
      stream.resume();
    };
    stream.on("data", take);
    stream.once("end", () => {
      if (parts.lengthBytes > 0) reject(new StatusError(Code.Canceled, "stream ends within a message"));
      else reject(stream.closed ? gone() : new StatusError(Code.Internal, "request has no message"));
    });
    return promise;
  }

  /** Resolves when no more than a little waits for the client: a slow reader slows the writer down, and nothing piles up. */
  async send(message: Uint8Array): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#write(message, () => resolve()); // if it fails, the stream closes, which ends the race
    // Small messages are not waited for one by one: what comes together goes out in one write.
    if (this.#stream.writableLength > PENDING_BYTES) await this.#race(promise);
  }

  /** The last message, and OK. */
  finish(message?: Uint8Array): void {
    if (message !== undefined) this.#write(message, () => {});
    this.end(0, "");
  }

  /** The status. What the client still sends is dropped. */
  end(code: number, message: string): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    const status = { "grpc-status": String(code), ...(message === "" ? {} : { "grpc-message": encodeURI(message) }) };
    if (stream.headersSent) {
      stream.once("wantTrailers", () => stream.sendTrailers(status));
      stream.end();
    } else {
      stream.respond({ ...HEADERS, ...status }, { endStream: true });
    }
    stream.resume();
  }

  #race<T>(promise: Promise<T>): Promise<T> {
    return raceAbort(promise, this.signal);
  }

  #write(message: Uint8Array, done: (error?: Error | null) => void): void {
    const stream = this.#stream;
    const head = frameHead(message.length);
    if (stream.destroyed || stream.closed) throw canceled(this.signal);
    if (!stream.headersSent) stream.respond(HEADERS, { waitForTrailers: true });
    stream.cork();
    stream.write(head);
    stream.write(message, done);
    stream.uncork();
  }
}

function gone(): StatusError {
  return new StatusError(Code.Canceled, "context canceled");
}

/** If a key is repeated, the first value counts. Node takes the bytes for Latin-1; clients mean UTF-8. */
function firstOf(rawHeaders: readonly string[], key: string): string | undefined {
  const at = rawHeaders.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === key);
  const value = at < 0 ? undefined : rawHeaders[at + 1];
  return value === undefined ? undefined : Buffer.from(value, "latin1").toString();
}
