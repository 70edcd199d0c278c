import {
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { Socket } from "node:net";
import { Code, StatusError } from "../errors/manager-error.ts";
import type { BoundMethod, BoundService } from "./bound-service.ts";
import { WINDOW_BYTES } from "./message-limits.ts";
import { raceAbort } from "./race-abort.ts";
import { ServerCall } from "./server-call.ts";
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
  const server = undo.use(new GrpcServer(options));
  undo.use(await listenOnSocket(options.path, (socket) => server.take(socket)));
  return undo.move();
}

/**
 * gRPC over node:http2. Go's clients reset a stream as soon as they have read enough: the limit of Node against floods of resets
 * would end a connection after a thousand reads, and who reaches the socket is trusted anyway.
 */
const SESSION = {
  settings: { initialWindowSize: WINDOW_BYTES },
  streamResetBurst: 1e9,
  streamResetRate: 1e9,
  maxSessionMemory: 1024, // MiB; at the limit new streams are refused
};
/** From the end of the last handler to the end of connections that do not close: their statuses are on the way. */
const LINGER_MS = 250;

class GrpcServer implements AsyncDisposable {
  readonly #methods: ReadonlyMap<string, BoundMethod>;
  readonly #report: GrpcServerOptions["report"];
  readonly #sessions = new Set<ServerHttp2Session>();
  /** Calls with all that works for them. */
  readonly #open = new Map<ServerCall, Promise<unknown>>();

  /** Throws TypeError if a method is served twice. */
  constructor({ services, report }: GrpcServerOptions) {
    const methods = services.flatMap((service) => [...service.values()]);
    this.#methods = new Map(methods.map((method) => [method.path, method]));
    if (this.#methods.size < methods.length) throw new TypeError("a service is served twice");
    this.#report = report;
  }

  /** Serve a connection. */
  take(socket: Socket): void {
    socket.on("error", () => {});
    const session = performServerHandshake(socket, SESSION);
    session.on("error", () => {});
    session.on("connect", () => session.setLocalWindowSize(WINDOW_BYTES));
    session.on("stream", (stream, headers, _flags, rawHeaders) => this.#serve(stream, headers, rawHeaders));
    session.on("close", () => this.#sessions.delete(session));
    this.#sessions.add(session);
  }

  /** Abort what is open, wait until its handlers have ended, and close the connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const call of this.#open.keys()) call.abort(new StatusError(Code.Unavailable, "server is stopping"));
    await Promise.all(this.#open.values());
    await Promise.all([...this.#sessions].map(close));
  }

  #serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, rawHeaders: readonly string[]): void {
    if (headers[":method"] !== "POST" || !headers["content-type"]?.startsWith("application/grpc")) {
      stream.on("error", () => {});
      stream.respond({ ":status": 415 }, { endStream: true });
      return;
    }
    const call = new ServerCall(stream, rawHeaders);
    const path = headers[":path"] ?? "";
    const method = this.#methods.get(path);
    if (method === undefined) {
      call.end(Code.Unimplemented, `unknown method ${path}: not implemented`);
      return;
    }
    const handlers: Promise<unknown>[] = [];
    const answered = this.#answer(call, method, handlers).catch((error: unknown) => this.#fail(call, method, error));
    const ended = answered.then(() => Promise.allSettled(handlers)).finally(() => this.#open.delete(call));
    this.#open.set(call, ended);
  }

  /** What still runs when the client has its answer, because the call was aborted, is added to `handlers`. */
  async #answer(call: ServerCall, method: BoundMethod, handlers: Promise<unknown>[]): Promise<void> {
    const { descriptor, handler } = method;
    const service = call.begin();
    const request = descriptor.clientStreaming ? decoded(call, method) : decode(method, await call.request());
    if (!descriptor.serverStreaming) {
      const answer = handler(request, service);
      if (!(answer instanceof Promise)) return call.finish(encode(method, answer));
      handlers.push(answer);
      return call.finish(encode(method, await raceAbort(answer, call.signal)));
    }
    const answers = (handler(request, service) as AsyncIterable<unknown>)[Symbol.asyncIterator]();
    try {
      for (let next = await raceAbort(answers.next(), call.signal); !next.done; ) {
        await call.send(encode(method, next.value));
        next = await raceAbort(answers.next(), call.signal);
      }
      call.finish();
    } finally {
      handlers.push(answers.return?.() ?? Promise.resolve());
    }
  }

  #fail(call: ServerCall, method: BoundMethod, error: unknown): void {
    const status = toStatus(error);
    if (status.code === Code.Internal && !call.signal.aborted) this.#report(error, method.path);
    call.end(status.code, status.message);
  }
}

/** Bad bytes are the client's fault, and Internal all the same: gRPC has no other code for them. */
function decode({ descriptor }: BoundMethod, bytes: Buffer): unknown {
  try {
    return descriptor.request.decode(bytes);
  } catch (cause) {
    throw new StatusError(Code.Internal, "request is malformed", { cause });
  }
}

async function* decoded(call: ServerCall, method: BoundMethod): AsyncGenerator<unknown> {
  for await (const bytes of call.requests()) yield decode(method, bytes);
}

/** Encoded where a bad answer is reported like every other bug. */
function encode({ descriptor }: BoundMethod, answer: unknown): Uint8Array {
  return descriptor.response.encode(answer as object);
}

async function close(session: ServerHttp2Session): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  session.once("close", resolve);
  if (session.destroyed) return;
  session.close();
  const timer = setTimeout(() => session.destroy(), LINGER_MS);
  await promise;
  clearTimeout(timer);
}
