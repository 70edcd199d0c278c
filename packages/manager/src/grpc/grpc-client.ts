import {
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  type CallOptions as GrpcOptions,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import type { MethodDescriptor, ServiceDescriptor } from "@trimaran/proto";
import { parseIdentifier } from "../bundles/identifier.ts";
import { Code, messageOf, StatusError } from "../errors/manager-error.ts";
import { CallScope } from "./call-scope.ts";
import { MAX_MESSAGE_BYTES, WINDOW_BYTES } from "./message-limits.ts";
import { canceled } from "./race-abort.ts";
import type { CallOptions, ServiceClient } from "./service-client.ts";
import { SERVICE_TABLES, type Services } from "./services.ts";
import { requireSocketPath } from "./unix-socket.ts";

type Method = MethodDescriptor<unknown, unknown>;
type Incoming = ClientReadableStream<unknown> | ClientDuplexStream<Buffer, unknown>;

const CHANNEL = {
  "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
  "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
  "grpc.enable_channelz": 0,
  "grpc.default_authority": "localhost",
  "grpc.enable_retries": 0, // they keep a copy of every message
  "grpc.service_config_disable_resolution": 1,
  "grpc.use_local_subchannel_pool": 1, // so that close closes
  "grpc-node.flow_control_window": WINDOW_BYTES,
};

/** A connection to a manager, or to a real containerd, for the calls of one namespace. */
export class GrpcClient implements Disposable {
  readonly #client: Client;
  readonly #namespace: string;

  /** Nothing is dialled before the first call. Throws InvalidArgument for a bad path or namespace. */
  constructor(socketPath: string, namespace: string) {
    requireSocketPath(socketPath);
    this.#namespace = parseIdentifier("namespace", namespace);
    this.#client = new Client(`unix:${socketPath}`, credentials.createInsecure(), CHANNEL);
  }

  /** A typed object with one method per RPC of a service. */
  service<Service extends ServiceDescriptor>(table: Service): ServiceClient<Service> {
    const methods = Object.entries(table.methods).map(([key, method]) => [key, this.#method(table.name, method)]);
    return Object.fromEntries(methods) as ServiceClient<Service>;
  }

  /** Open calls fail with Unavailable or Canceled. */
  [Symbol.dispose](): void {
    this.#client.close();
  }

  #method(service: string, method: Method): unknown {
    const path = `/${service}/${method.name}`;
    if (!method.serverStreaming && !method.clientStreaming) {
      return (request: object, options: CallOptions = {}) => this.#unary(path, method, request, options);
    }
    if (!method.serverStreaming) throw new TypeError(`${path}: streams of requests with one answer are not supported`);
    if (!method.clientStreaming) {
      return (request: object, options: CallOptions = {}) => this.#answers(path, method, request, options);
    }
    return (requests: AsyncIterable<object>, options: CallOptions = {}) =>
      this.#conversation(path, method, requests, options);
  }

  async #unary(path: string, method: Method, request: object, options: CallOptions): Promise<unknown> {
    using scope = new CallScope(options);
    const { signal } = scope;
    const [bytes, metadata] = [encode(method, request), this.#metadata(options)];
    return await new Promise((resolve, reject) => {
      if (signal.aborted) return reject(canceled(signal));
      const done = (error: ServiceError | null, answer: unknown) =>
        error === null ? resolve(answer) : reject(statusOf(error, signal));
      const decode = (answer: Buffer) => method.response.decode(answer);
      const call = opened(() =>
        this.#client.makeUnaryRequest(path, same, decode, bytes, metadata, deadlineOf(options), done),
      );
      signal.addEventListener("abort", () => call.cancel(), { once: true });
    });
  }

  async *#answers(path: string, method: Method, request: object, options: CallOptions): AsyncGenerator<unknown> {
    using scope = new CallScope(options);
    const [bytes, metadata] = [encode(method, request), this.#metadata(options)];
    const decode = (answer: Buffer) => method.response.decode(answer);
    if (scope.signal.aborted) throw canceled(scope.signal);
    const call = opened(() =>
      this.#client.makeServerStreamRequest(path, same, decode, bytes, metadata, deadlineOf(options)),
    );
    yield* incoming(call, scope.signal);
  }

  async *#conversation(
    path: string,
    method: Method,
    requests: AsyncIterable<object>,
    options: CallOptions,
  ): AsyncGenerator<unknown> {
    using scope = new CallScope(options);
    const { signal } = scope;
    const metadata = this.#metadata(options);
    const decode = (answer: Buffer) => method.response.decode(answer);
    if (signal.aborted) throw canceled(signal);
    const call = opened(() => this.#client.makeBidiStreamRequest(path, same, decode, metadata, deadlineOf(options)));
    const source = requests[Symbol.asyncIterator]();
    const failure: { error?: unknown } = {};
    send(call, method, source).catch((error: unknown) => {
      failure.error = error;
      call.cancel();
    });
    try {
      yield* incoming(call, signal);
    } catch (error) {
      throw failure.error ?? error;
    } finally {
      source.return?.().catch(() => {});
    }
  }

  #metadata(options: CallOptions): Metadata {
    const metadata = new Metadata();
    metadata.set("containerd-namespace", this.#namespace);
    if (options.lease === undefined) return metadata;
    try {
      metadata.set("containerd-lease", options.lease);
    } catch (cause) {
      throw new StatusError(Code.InvalidArgument, `lease ${JSON.stringify(options.lease)}: ${messageOf(cause)}`, {
        cause,
      });
    }
    return metadata;
  }
}

/** All services of the manager behind a socket. Dispose it to close the connection. */
export function connectServices(socketPath: string, namespace: string): Services & Disposable {
  const client = new GrpcClient(socketPath, namespace);
  const entries = Object.entries<ServiceDescriptor>(SERVICE_TABLES);
  const services = Object.fromEntries(entries.map(([name, table]) => [name, client.service(table)])) as Services;
  return { ...services, [Symbol.dispose]: () => client[Symbol.dispose]() };
}

function same(bytes: Buffer): Buffer {
  return bytes;
}

function encode(method: Method, request: object): Buffer {
  const bytes = method.request.encode(request);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** grpc-js throws when the client has been closed. */
function opened<Call>(make: () => Call): Call {
  try {
    return make();
  } catch (cause) {
    throw new StatusError(Code.Unavailable, messageOf(cause), { cause });
  }
}

function deadlineOf(options: CallOptions): GrpcOptions {
  return options.timeoutMs === undefined ? {} : { deadline: Date.now() + options.timeoutMs };
}

function statusOf(error: unknown, signal: AbortSignal): StatusError {
  if (signal.aborted) return canceled(signal);
  const { code, details } = error as Partial<ServiceError>;
  if (typeof code !== "number") return new StatusError(Code.Internal, messageOf(error), { cause: error });
  return new StatusError(parseCode(code), details ?? messageOf(error), { cause: error });
}

function parseCode(value: number): Code {
  return Object.values(Code).find((code) => code === value) ?? Code.Unknown;
}

/** The server's messages. Leaving the loop cancels the call. */
async function* incoming(call: Incoming, signal: AbortSignal): AsyncGenerator<unknown> {
  const onAbort = () => call.cancel();
  signal.addEventListener("abort", onAbort, { once: true });
  call.on("error", () => {}); // an error after the loop has been left has no other listener
  try {
    yield* call;
  } catch (error) {
    throw statusOf(error, signal);
  } finally {
    signal.removeEventListener("abort", onAbort);
    call.cancel();
  }
}

/** Send all messages, each when the one before has left, then half-close. */
async function send(
  call: ClientDuplexStream<Buffer, unknown>,
  method: Method,
  source: AsyncIterator<object>,
): Promise<void> {
  for (let next = await source.next(); !next.done; next = await source.next()) {
    const bytes = encode(method, next.value);
    await new Promise<void>((resolve) => void call.write(bytes, () => resolve())); // a failure shows up where answers are read
  }
  call.end();
}
