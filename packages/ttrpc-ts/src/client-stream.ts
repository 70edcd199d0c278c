import type { Codec, Init } from "@trimaran/proto";
import type { Method } from "./call-options.ts";
import type { Drain } from "./drain.ts";
import { dataFrame, endFrame } from "./envelope.ts";
import { type Frame, FrameType, oversizedError } from "./frame.ts";
import type { Inbox } from "./inbox.ts";
import { answerOf, endsDirection, hasMessage, type PendingCall, protocolError } from "./pending-call.ts";
import { Code, StatusError } from "./status.ts";

/** A call with a stream in one direction or both. Iterate over it to the end, or leave the loop to give it up. */
export interface ClientStream<Req, Res> extends AsyncIterable<Res> {
  /** Resolves when the next message may be sent. Rejects with FailedPrecondition after closeSend or the stream's end. */
  send(message: Init<Req>): Promise<void>;
  /** No more messages from here; those of the server still come. Nothing happens if the stream is over. */
  closeSend(): void;
  /** The one answer of a method that only the client streams on. */
  response(): Promise<Res>;
}

/** What a stream needs from its connection. */
export interface StreamPort {
  readonly streamId: number;
  readonly drain: Drain;
  readonly inbox: Inbox;
  /** Send without waiting. */
  readonly post: (frame: Uint8Array) => void;
  /** The id is dead: the connection forgets it. */
  readonly forget: () => void;
}

export class ClientStreamCall<Req, Res> implements PendingCall, ClientStream<Req, Res> {
  readonly #port: StreamPort;
  readonly #request: Codec<Req>;
  readonly #response: Codec<Res>;
  readonly #serverStreaming: boolean;
  #maySend: boolean;
  unwatch: (() => void) | undefined;

  constructor(port: StreamPort, method: Method<Req, Res>, clientStreaming: boolean, serverStreaming: boolean) {
    this.#port = port;
    this.#request = method.request;
    this.#response = method.response;
    this.#serverStreaming = serverStreaming;
    this.#maySend = clientStreaming;
  }

  async send(message: Init<Req>): Promise<void> {
    if (!this.#maySend) throw new StatusError(Code.FailedPrecondition, "ttrpc: stream closed");
    const frame = dataFrame(this.#port.streamId, this.#request.encode(message));
    await this.#port.drain.send(frame);
  }

  closeSend(): void {
    if (!this.#maySend) return;
    this.#maySend = false;
    this.#port.post(endFrame(this.#port.streamId));
  }

  async response(): Promise<Res> {
    const bytes = await this.#port.inbox.take();
    if (bytes === undefined) throw protocolError();
    return this.#decode(bytes);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Res, void, undefined> {
    try {
      for (let bytes = await this.#port.inbox.take(); bytes !== undefined; bytes = await this.#port.inbox.take()) {
        yield this.#decode(bytes);
      }
    } finally {
      this.#end();
    }
  }

  onFrame(frame: Frame): boolean {
    if (frame.oversizedBytes !== undefined) this.#end(oversizedError(frame.oversizedBytes));
    else if (frame.type === FrameType.Response) this.#answer(answerOf(frame));
    else if (frame.type !== FrameType.Data) return false;
    else if (this.#serverStreaming) return this.#data(frame);
    else this.#end(protocolError());
    return true;
  }

  fail(error: StatusError): void {
    this.#end(error);
  }

  #data(frame: Frame): boolean {
    if (hasMessage(frame) && this.#port.inbox.push(frame.payload) !== undefined) {
      this.#end();
      return true;
    }
    if (!endsDirection(frame)) return false;
    this.#end();
    return true;
  }

  #answer(answer: Uint8Array | StatusError): void {
    if (answer instanceof StatusError) {
      this.#end(answer);
      return;
    }
    if (!this.#serverStreaming || answer.length > 0) this.#port.inbox.push(answer);
    this.#end();
  }

  #decode(bytes: Uint8Array): Res {
    try {
      return this.#response.decode(bytes);
    } catch (cause) {
      throw new StatusError(Code.Internal, "ttrpc: malformed message in the stream", { cause });
    }
  }

  /** After this the id is dead on both sides: nothing is sent any more. */
  #end(error?: StatusError): void {
    this.#maySend = false;
    this.unwatch?.();
    this.unwatch = undefined;
    this.#port.inbox.end(error);
    this.#port.forget();
  }
}
