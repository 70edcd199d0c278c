import { setImmediate } from "node:timers/promises";
import {
  type ConnectionInjector,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { Code, StatusError } from "../errors/manager-error.ts";
import type { BoundMethod, BoundService } from "./bound-service.ts";
import { MESSAGE_LIMITS } from "./message-limits.ts";
import { canceled, raceAbort } from "./race-abort.ts";
import { type GrpcCall, OpenCall } from "./server-call.ts";
import type { ServiceCall } from "./service-call.ts";
import { toStatus } from "./status.ts";
import { listenOnSocket } from "./unix-socket.ts";

/** What a server is made of. */
export interface GrpcServerOptions {
  /** Path of the unix socket, at most 104 bytes. */
  readonly path: string;
  readonly services: readonly BoundService[];
  /** Told of every error that becomes Internal, that is of bugs; `method` is `/package.Service/Method`. */
  readonly report: (error: unknown, method: string) => void;
}

/**
 * Serve containerd's gRPC API on a unix socket, mode 0660, until the result is disposed: open calls are aborted then, and
 * their handlers waited for. Throws InvalidArgument for a path that is too long, else the system's error.
 */
export async function serveGrpc(options: GrpcServerOptions): Promise<AsyncDisposable> {
  await using undo = new AsyncDisposableStack();
  const server = undo.use(new GrpcServer(options.report));
  for (const method of options.services.flatMap((service) => [...service.values()])) server.register(method);
  undo.use(await listenOnSocket(options.path, (socket) => server.injector.injectConnection(socket)));
  return undo.move();
}

type Answering = ServerWritableStream<unknown, Buffer> | ServerDuplexStream<unknown, Buffer>;
type Asking = ServerReadableStream<unknown, Buffer> | ServerDuplexStream<unknown, Buffer>;
type GrpcHandler = Parameters<typeof Server.prototype.register<unknown, Buffer>>[1];
type Done = sendUnaryData<Buffer>;
type Fail = (status: { readonly code: Code; readonly details: string }) => void;

/** grpc-js's server with our codec, our cancellation and our errors. */
class GrpcServer implements AsyncDisposable {
  readonly #server = unlimitedResets(new Server(MESSAGE_LIMITS));
  readonly injector: ConnectionInjector = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
  readonly #report: GrpcServerOptions["report"];
  readonly #open = new Map<OpenCall, Promise<void>>();

  constructor(report: GrpcServerOptions["report"]) {
    this.#report = report;
  }

  register(method: BoundMethod): void {
    const { clientStreaming, serverStreaming } = method.descriptor;
    if (serverStreaming) {
      const plain = (call: ServerWritableStream<unknown, Buffer>) => this.#stream(method, call, () => call.request);
      const both = (call: ServerDuplexStream<unknown, Buffer>) =>
        this.#stream(method, call, (signal) => requestsOf(call, signal));
      this.#add(method, clientStreaming ? both : plain, clientStreaming ? "bidi" : "serverStream");
      return;
    }
    const plain = (call: ServerUnaryCall<unknown, Buffer>, done: Done) =>
      this.#unary(method, call, () => call.request, done);
    const stream = (call: ServerReadableStream<unknown, Buffer>, done: Done) =>
      this.#unary(method, call, (signal) => requestsOf(call, signal), done);
    this.#add(method, clientStreaming ? stream : plain, clientStreaming ? "clientStream" : "unary");
  }

  /** Abort what is open, wait until its handlers have ended, and close the connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const call of this.#open.keys()) call.abort(new StatusError(Code.Unavailable, "server is stopping"));
    await Promise.all(this.#open.values());
    this.#server.forceShutdown();
  }

  #add(method: BoundMethod, handler: GrpcHandler, kind: string): void {
    const decode = (bytes: Buffer) => method.descriptor.request.decode(bytes);
    const isNew = this.#server.register(method.path, handler, (bytes: Buffer) => bytes, decode, kind);
    if (!isNew) throw new TypeError(`${method.path} is served twice`);
  }

  #unary(method: BoundMethod, grpc: GrpcCall, request: (signal: AbortSignal) => unknown, done: Done): void {
    const work = async (call: ServiceCall) => {
      const answer = await method.handler(request(call.signal), call);
      done(null, encode(method, answer));
    };
    this.#run(method, grpc, work, (status) => done(status));
  }

  #stream(method: BoundMethod, grpc: Answering, request: (signal: AbortSignal) => unknown): void {
    const work = async (call: ServiceCall) => {
      const answers = method.handler(request(call.signal), call) as AsyncIterable<unknown>;
      for await (const answer of answers) await write(grpc, encode(method, answer), call.signal);
      grpc.end();
    };
    this.#run(method, grpc, work, (status) => grpc.emit("error", status));
  }

  #run(method: BoundMethod, grpc: GrpcCall, work: (call: ServiceCall) => Promise<void>, fail: Fail): void {
    const open = new OpenCall(grpc);
    const failed = (error: unknown) => {
      const status = toStatus(error);
      if (status.code === Code.Internal && !open.call.signal.aborted) this.#report(error, method.path);
      fail({ code: status.code, details: status.message });
    };
    const ended = (async () => {
      using _open = open;
      await work(open.call).catch(failed);
    })().finally(() => this.#open.delete(open));
    this.#open.set(open, ended);
  }
}

/** Go's clients reset a stream as soon as they have read enough; after a thousand of those Node would end the connection. */
function unlimitedResets(server: Server): Server {
  const options: unknown = Reflect.get(server, "commonServerOptions"); // grpc-js has no public way to set them
  if (typeof options !== "object" || options === null) throw new TypeError("grpc-js keeps its HTTP/2 options elsewhere");
  Object.assign(options, { streamResetBurst: 1e9, streamResetRate: 1e9 });
  return server;
}

/** Encoded here, so that a bad answer is reported like every other bug. */
function encode(method: BoundMethod, answer: unknown): Buffer {
  const bytes = method.descriptor.response.encode(answer as object);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Resolves when the bytes have left for the client: a slow reader slows the writer down, and nothing piles up. */
function write(grpc: Answering, bytes: Buffer, signal: AbortSignal): Promise<void> {
  const sent = new Promise<void>((resolve, reject) => {
    grpc.write(bytes, (error: Error | null | undefined) => (error ? reject(error) : resolve()));
  });
  return raceAbort(sent, signal); // grpc-js calls nobody back once the client has gone
}

/** The client's messages, to its last. Throws when the client goes before that. */
async function* requestsOf(grpc: Asking, signal: AbortSignal): AsyncGenerator<unknown> {
  try {
    // Not destroyed on return: the answers of a bidirectional call go through the same object.
    yield* grpc.iterator({ destroyOnReturn: false });
  } catch (error) {
    throw signal.aborted ? canceled(signal) : error;
  }
  // A reset stream looks like one that was half-closed until Node has got to its "close".
  await setImmediate();
  if (signal.aborted) throw canceled(signal);
}
