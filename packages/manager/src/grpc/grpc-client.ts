import type { MethodDescriptor, ServiceDescriptor } from "@trimaran/proto";
import { parseIdentifier } from "../bundles/identifier.ts";
import { CallScope } from "./call-scope.ts";
import { ClientCall } from "./client-call.ts";
import { ClientConnection } from "./client-connection.ts";
import { canceled } from "./race-abort.ts";
import type { CallOptions, ServiceClient } from "./service-client.ts";
import { SERVICE_TABLES, type Services } from "./services.ts";
import { requireSocketPath } from "./unix-socket.ts";

type Method = MethodDescriptor<unknown, unknown>;

/** A client of a manager, or of a real containerd, for the calls of one namespace. Dispose it to close the connection. */
export class GrpcClient implements Disposable {
  readonly #connection: ClientConnection;
  readonly #namespace: string;

  /** Nothing is dialled before the first call. Throws InvalidArgument for a bad path or namespace. */
  constructor(socketPath: string, namespace: string) {
    requireSocketPath(socketPath);
    this.#namespace = parseIdentifier("namespace", namespace);
    this.#connection = new ClientConnection(socketPath);
  }

  /** A typed object with one method per RPC of a service. */
  service<Service extends ServiceDescriptor>(table: Service): ServiceClient<Service> {
    const methods = Object.entries(table.methods).map(([key, method]) => {
      const path = `/${table.name}/${method.name}`;
      const given = (request: unknown) => (method.clientStreaming ? (request as AsyncIterable<object>) : one(request));
      if (method.serverStreaming) {
        const stream = (request: unknown, options: CallOptions = {}) =>
          this.#stream(path, method, given(request), options);
        return [key, stream];
      }
      return [key, (request: unknown, options: CallOptions = {}) => this.#unary(path, method, given(request), options)];
    });
    return Object.fromEntries(methods) as ServiceClient<Service>;
  }

  /** Open calls fail with Unavailable, later ones too. */
  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }

  async #unary(path: string, method: Method, requests: AsyncIterable<object>, options: CallOptions): Promise<unknown> {
    using scope = new CallScope(options);
    const call = this.#open(path, options, scope.signal);
    return await call.answer(method, requests); // the scope ends with it
  }

  async *#stream(
    path: string,
    method: Method,
    requests: AsyncIterable<object>,
    options: CallOptions,
  ): AsyncGenerator<unknown> {
    using scope = new CallScope(options);
    const call = this.#open(path, options, scope.signal);
    yield* call.answers(method, requests);
  }

  #open(path: string, { lease, timeoutMs }: CallOptions, signal: AbortSignal): ClientCall {
    if (signal.aborted) throw canceled(signal);
    return new ClientCall(this.#connection, { path, namespace: this.#namespace, lease, timeoutMs, signal });
  }
}

/** All services of the manager behind a socket. Dispose it to close the connection. */
export function connectServices(socketPath: string, namespace: string): Services & Disposable {
  const client = new GrpcClient(socketPath, namespace);
  const entries = Object.entries<ServiceDescriptor>(SERVICE_TABLES);
  const services = Object.fromEntries(entries.map(([name, table]) => [name, client.service(table)])) as Services;
  return { ...services, [Symbol.dispose]: () => client[Symbol.dispose]() };
}

async function* one(request: unknown): AsyncGenerator<object> {
  yield request as object;
}
