import type { Init, MethodDescriptor, ServiceDescriptor } from "@trimaran/proto";
import type { CallOptions, Method, ServiceClient } from "./call-options.ts";
import type { FrameChannel } from "./channel.ts";
import { type ClientStream, ClientStreamCall } from "./client-stream.ts";
import { Drain } from "./drain.ts";
import { type Metadata, requestFrame } from "./envelope.ts";
import { Flag, type Frame } from "./frame.ts";
import { Inbox, STREAM_BUFFER_BYTES } from "./inbox.ts";
import { earlyError, type PendingCall, watch } from "./pending-call.ts";
import { closedError, type StatusError } from "./status.ts";
import { UnaryCall } from "./unary-call.ts";

/** How a client behaves. */
export interface ClientOptions {
  /** Bound of what a stream may hold that nobody has taken, 256 bytes per message included. Default 8 MiB. */
  readonly streamBufferBytes?: number;
  /** Of every call that brings none of its own; a function is asked at each call. */
  readonly metadata?: Metadata | (() => Metadata);
}

const MAX_STREAM_ID = 2 ** 32 - 1;

/** The client's side of one connection. It owns the channel. */
export class Client {
  /** Resolves, never rejects, when the connection is gone. */
  readonly closed: Promise<void>;
  readonly #channel: FrameChannel;
  readonly #drain: Drain;
  readonly #streamBufferBytes: number;
  readonly #metadata: (() => Metadata) | undefined;
  readonly #calls = new Map<number, PendingCall>();
  #nextId = 1;
  #closedError: StatusError | undefined;

  constructor(channel: FrameChannel, options: ClientOptions = {}) {
    this.#channel = channel;
    const { metadata } = options;
    this.#metadata = typeof metadata === "object" ? () => metadata : metadata;
    this.#streamBufferBytes = options.streamBufferBytes ?? STREAM_BUFFER_BYTES;
    this.#drain = new Drain(channel);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    channel.onFrame = (frame) => this.#deliver(frame);
    channel.onClose = (error) => {
      this.#fail(closedError(error));
      resolve();
    };
  }

  /** Calls that wait for an answer. */
  get openCalls(): number {
    return this.#calls.size;
  }

  /** One unary call. Rejects with StatusError: the server's, or `ttrpc: closed`, DeadlineExceeded, Canceled. */
  call<Req, Res>(
    method: Method<Req, Res>,
    request: Init<Req>,
    options: CallOptions & { readonly service: string },
  ): Promise<Res> {
    return new Promise<Res>((resolve, reject) => {
      const error = this.#closedError ?? earlyError(options);
      if (error !== undefined) {
        reject(error);
        return;
      }
      const head = this.#head(options.service, method.name, options, options.timeoutMs);
      const id = this.#nextId;
      const frame = requestFrame(id, 0, head, method.request.encode(request)); // may throw: no state yet
      const call = new UnaryCall(method.response, resolve, reject);
      this.#open(id, call, frame);
      if (!this.#calls.has(id)) return; // the send itself may have ended the connection
      call.unwatch = watch(options, (reason) => {
        this.#calls.delete(id);
        call.fail(reason);
      });
    });
  }

  /** Open a stream. For a method on which the client streams, `request` is not sent; for others it is the one message. */
  stream<Req, Res>(
    method: MethodDescriptor<Req, Res>,
    request: Init<Req> | undefined,
    options: CallOptions & { readonly service: string },
  ): ClientStream<Req, Res> {
    const error = this.#closedError ?? earlyError(options);
    if (error !== undefined) throw error;
    const { clientStreaming, serverStreaming } = method;
    const id = this.#nextId;
    const payload = clientStreaming || request === undefined ? undefined : method.request.encode(request);
    const head = this.#head(options.service, method.name, options, undefined);
    const frame = requestFrame(id, clientStreaming ? Flag.RemoteOpen : Flag.RemoteClosed, head, payload);
    const port = {
      streamId: id,
      drain: this.#drain,
      inbox: new Inbox(this.#streamBufferBytes),
      post: (bytes: Uint8Array) => void this.#channel.send(bytes),
      forget: () => void this.#calls.delete(id),
    };
    const call = new ClientStreamCall(port, method, clientStreaming, serverStreaming);
    this.#open(id, call, frame);
    call.unwatch = watch(options, (reason) => call.fail(reason));
    return call;
  }

  /** A typed object with one method per RPC of a service. */
  service<Service extends ServiceDescriptor>(descriptor: Service): ServiceClient<Service> {
    const service = descriptor.name;
    const methods = Object.entries(descriptor.methods).map(([key, method]) => {
      if (method.clientStreaming) {
        return [key, (options?: CallOptions) => this.stream(method, undefined, { ...options, service })];
      }
      if (method.serverStreaming) {
        return [key, (request: object, options?: CallOptions) => this.stream(method, request, { ...options, service })];
      }
      const plain = { service };
      return [
        key,
        (request: object, options?: CallOptions) =>
          this.call(method, request, options === undefined ? plain : { ...options, service }),
      ];
    });
    return Object.fromEntries(methods) as ServiceClient<Service>;
  }

  /** Close the connection; open calls fail with `ttrpc: closed`. */
  close(): void {
    this.#fail(closedError());
    this.#channel.close();
  }

  #head(service: string, method: string, options: CallOptions, timeoutMs: number | undefined) {
    return { service, method, timeoutMs, metadata: options.metadata ?? this.#metadata?.() };
  }

  #open(id: number, call: PendingCall, frame: Uint8Array): void {
    this.#nextId = id + 2;
    this.#calls.set(id, call);
    this.#channel.send(frame);
    // Ids are never used again: after the last one the connection takes no more calls.
    if (this.#nextId > MAX_STREAM_ID) this.#closedError = closedError(new Error("stream ids are used up"));
  }

  /** Frames of calls that nobody waits for any more are dropped. */
  #deliver(frame: Frame): void {
    const call = this.#calls.get(frame.streamId);
    if (call?.onFrame(frame) === true) this.#calls.delete(frame.streamId);
  }

  #fail(error: StatusError): void {
    this.#closedError ??= error;
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const call of calls) call.fail(error);
    this.#drain.fail(error);
  }
}
