import type { Codec, Init } from "@trimaran/proto";
import type { Drain } from "./drain.ts";
import { dataFrame } from "./envelope.ts";
import type { Frame } from "./frame.ts";
import type { Inbox } from "./inbox.ts";
import { endsDirection, hasMessage } from "./pending-call.ts";
import { Code, StatusError } from "./status.ts";

/** The server's end of a stream. Iterate over it for the client's messages. */
export interface ServerStream<Req, Res> extends AsyncIterable<Req> {
  /** Resolves when the next message may be sent. Rejects with FailedPrecondition after the stream's end. */
  send(message: Init<Res>): Promise<void>;
}

export class ServerStreamCall<Req, Res> implements ServerStream<Req, Res> {
  readonly #streamId: number;
  readonly #request: Codec<Req>;
  readonly #response: Codec<Res>;
  readonly #drain: Drain;
  readonly #inbox: Inbox;
  #live = true;

  constructor(streamId: number, codecs: { request: Codec<Req>; response: Codec<Res> }, drain: Drain, inbox: Inbox) {
    this.#streamId = streamId;
    this.#request = codecs.request;
    this.#response = codecs.response;
    this.#drain = drain;
    this.#inbox = inbox;
  }

  async send(message: Init<Res>): Promise<void> {
    if (!this.#live) throw new StatusError(Code.FailedPrecondition, "ttrpc: stream closed");
    await this.#drain.send(dataFrame(this.#streamId, this.#response.encode(message)));
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Req, void, undefined> {
    for (let bytes = await this.#inbox.take(); bytes !== undefined; bytes = await this.#inbox.take()) {
      yield this.#decode(bytes);
    }
  }

  /** Data from the client. Returns the error that ends the stream, if it does. */
  onData(frame: Frame): StatusError | undefined {
    if (hasMessage(frame)) {
      if (this.#inbox.ended) return new StatusError(Code.InvalidArgument, "ttrpc: data after the end of the direction");
      const full = this.#inbox.push(frame.payload);
      if (full !== undefined) return full;
    }
    if (endsDirection(frame)) this.#inbox.end();
    return undefined;
  }

  /** The stream is over: no more sends, and the handler's iteration ends. */
  end(reason?: StatusError): void {
    this.#live = false;
    this.#inbox.end(reason);
  }

  #decode(bytes: Uint8Array): Req {
    try {
      return this.#request.decode(bytes);
    } catch (cause) {
      throw new StatusError(Code.Internal, `ttrpc: error unmarshalling payload: ${reason(cause)}`, { cause });
    }
  }
}

/** The text of whatever was thrown. */
export function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
