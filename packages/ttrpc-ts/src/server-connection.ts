import { type MethodDescriptor, ttrpc } from "@trimaran/proto";
import { Call } from "./call-context.ts";
import type { FrameChannel } from "./channel.ts";
import { Drain } from "./drain.ts";
import { endFrame, errorFrame, responseFrame } from "./envelope.ts";
import { Flag, type Frame, FrameType, oversizedError } from "./frame.ts";
import { Inbox } from "./inbox.ts";
import type { Route, ServerConnection, ServerPort } from "./server-port.ts";
import { reason, ServerStreamCall } from "./server-stream.ts";
import { Code, canceledError, deadlineError, StatusError } from "./status.ts";

type Running<D> = { readonly call: Call<D>; readonly stream: ServerStreamCall<unknown, unknown> | undefined };

export class Connection<D> implements ServerConnection {
  readonly closed: Promise<void>;
  readonly #channel: FrameChannel;
  readonly #port: ServerPort<D>;
  readonly #data: D;
  readonly #drain: Drain;
  readonly #running = new Map<number, Running<D>>();
  #lastId = 0;
  #draining = false;

  constructor(channel: FrameChannel, data: D, port: ServerPort<D>) {
    this.#channel = channel;
    this.#data = data;
    this.#port = port;
    this.#drain = new Drain(channel);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    channel.onFrame = (frame) => this.#deliver(frame);
    channel.onClose = (error) => {
      this.#abort(canceledError(error));
      resolve();
    };
  }

  get activeCalls(): number {
    return this.#running.size;
  }

  close(): void {
    this.#abort(new StatusError(Code.FailedPrecondition, "ttrpc: server closed"));
    this.#channel.close();
  }

  /** Close as soon as no handler runs; the last reply is flushed. */
  drain(): void {
    this.#draining = true;
    if (this.#running.size === 0) this.#channel.close();
  }

  #deliver(frame: Frame): void {
    const id = frame.streamId;
    if (frame.oversizedBytes !== undefined) this.#oversized(frame, frame.oversizedBytes);
    else if (id % 2 === 0) this.#refuse(id, "StreamID must be odd for client initiated streams");
    else if (frame.type === FrameType.Request) this.#request(frame);
    else if (frame.type === FrameType.Data) this.#onData(frame);
  }

  #refuse(id: number, text: string): void {
    this.#channel.send(errorFrame(id, new StatusError(Code.InvalidArgument, text)));
  }

  #oversized(frame: Frame, lengthBytes: number): void {
    if (frame.type !== FrameType.Request && frame.type !== FrameType.Data) return;
    const error = oversizedError(lengthBytes);
    const running = this.#running.get(frame.streamId);
    if (running !== undefined) this.#cancel(running, error);
    else this.#channel.send(errorFrame(frame.streamId, error));
  }

  #request(frame: Frame): void {
    const id = frame.streamId;
    if (id <= this.#lastId) {
      this.#refuse(id, "StreamID cannot be re-used and must increment");
      return;
    }
    this.#lastId = id;
    let request: ttrpc.Request;
    try {
      request = ttrpc.Request.decode(frame.payload);
    } catch (cause) {
      this.#refuse(id, `unmarshal request error: ${reason(cause)}`);
      return;
    }
    this.#start(frame, request);
  }

  #start(frame: Frame, request: ttrpc.Request): void {
    const id = frame.streamId;
    try {
      const { method, handler } = this.#port.route(request.service, request.method);
      const call = new Call(id, request, this.#data);
      const streaming = method.clientStreaming || method.serverStreaming;
      const message = method.clientStreaming ? undefined : decodePayload(method, request.payload);
      const stream = streaming ? this.#openStream(id, method, frame.flags) : undefined;
      const running = { call, stream };
      this.#running.set(id, running);
      this.#run(running, method, () => {
        if (stream === undefined) return handler(message, call);
        return method.clientStreaming ? handler(stream, call) : handler(message, stream, call);
      });
    } catch (error) {
      this.#channel.send(errorFrame(id, this.#port.toStatus(error)));
    }
  }

  #openStream(id: number, method: Route<D>["method"], flags: number): ServerStreamCall<unknown, unknown> {
    const inbox = new Inbox(this.#port.streamBufferBytes);
    if (!method.clientStreaming || (flags & Flag.RemoteClosed) !== 0) inbox.end();
    return new ServerStreamCall(id, method, this.#drain, inbox);
  }

  /** A handler that returns a plain value is answered at once; timers and promises are only for the others. */
  #run(running: Running<D>, method: Route<D>["method"], handle: () => unknown): void {
    let result: unknown;
    try {
      result = handle();
    } catch (error) {
      this.#finish(running, this.#failure(running, error));
      return;
    }
    if (!isThenable(result)) {
      this.#finish(running, this.#success(running, method, result));
      return;
    }
    running.call.atDeadline(() => this.#cancel(running, deadlineError()));
    result.then(
      (value) => this.#finish(running, this.#success(running, method, value)),
      (error) => this.#finish(running, this.#failure(running, error)),
    );
  }

  #success(running: Running<D>, method: Route<D>["method"], value: unknown): Uint8Array {
    if (method.serverStreaming) return endFrame(running.call.streamId);
    try {
      const message = method.response.encode(value as object);
      return responseFrame(running.call.streamId, message);
    } catch (error) {
      return this.#failure(running, error);
    }
  }

  #failure(running: Running<D>, error: unknown): Uint8Array {
    return errorFrame(running.call.streamId, this.#port.toStatus(error));
  }

  /** Send the last frame of a call, unless the call is over already. */
  #finish(running: Running<D>, frame: Uint8Array): void {
    const id = running.call.streamId;
    if (this.#running.get(id) !== running) return;
    this.#running.delete(id);
    running.call.end();
    running.stream?.end();
    this.#channel.send(frame);
    if (this.#draining && this.#running.size === 0) this.#channel.close();
  }

  /** End a call from outside of its handler. */
  #cancel(running: Running<D>, error: StatusError): void {
    this.#finish(running, errorFrame(running.call.streamId, error));
    running.call.end(error);
  }

  #onData(frame: Frame): void {
    const running = this.#running.get(frame.streamId);
    if (running === undefined) {
      this.#refuse(frame.streamId, "StreamID is no longer active");
      return;
    }
    const error = running.stream?.onData(frame); // Data for a unary call means nothing: dropped
    if (error !== undefined) this.#cancel(running, error);
  }

  #abort(error: StatusError): void {
    const running = [...this.#running.values()];
    this.#running.clear();
    for (const { call, stream } of running) {
      stream?.end(error);
      call.end(error);
    }
    this.#drain.fail(error);
  }
}

function decodePayload(method: MethodDescriptor<unknown, unknown>, payload: Uint8Array): unknown {
  try {
    return method.request.decode(payload);
  } catch (cause) {
    throw new StatusError(Code.Internal, `ttrpc: error unmarshalling payload: ${reason(cause)}`, { cause });
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}
