import type { ServiceDescriptor } from "@trimaran/proto";
import type { FrameChannel } from "./channel.ts";
import type { Implementation } from "./implementation.ts";
import { STREAM_BUFFER_BYTES } from "./inbox.ts";
import { Connection } from "./server-connection.ts";
import type { Route, ServerConnection, ServerPort } from "./server-port.ts";
import { Code, StatusError } from "./status.ts";
import { toStatus } from "./to-status.ts";

/** How a server behaves. */
export interface ServerOptions {
  /** Picks the status of what a handler has thrown. Default: the mapping of the Go server. */
  readonly toStatus?: (error: unknown) => StatusError;
  /** Bound of what a stream may hold that its handler has not taken, 256 bytes per message included. Default 8 MiB. */
  readonly streamBufferBytes?: number;
}

/** Something that stops when the server does. */
interface Listening {
  close(): void;
}

/** Serves any number of connections. `D` is what each is served with, and what its
 * handlers find as `context.data`. */
export class Server<D = void> {
  readonly #routes = new Map<string, Map<string, Route<D>>>();
  readonly #connections = new Set<Connection<D>>();
  readonly #listeners = new Set<Listening>();
  readonly #port: ServerPort<D>;
  #stopped = false;

  constructor(options: ServerOptions = {}) {
    this.#port = {
      route: (service, method) => this.#route(service, method),
      toStatus: options.toStatus ?? toStatus,
      streamBufferBytes: options.streamBufferBytes ?? STREAM_BUFFER_BYTES,
    };
  }

  /** Serve a service. One that is registered already is replaced, also for open connections. */
  register<Service extends ServiceDescriptor>(service: Service, implementation: Implementation<Service, D>): void {
    const methods = Object.entries(service.methods).map(([key, method]): [string, Route<D>] => {
      const handlers: Readonly<Record<string, unknown>> = implementation;
      const handler = handlers[key];
      if (typeof handler !== "function") throw new TypeError(`${service.name}: no handler for ${key}`);
      return [method.name, { method, handler: handler.bind(implementation) }];
    });
    this.#routes.set(service.name, new Map(methods));
  }

  /** Serve a connection; the server owns the channel from here on. A server that was stopped closes it. */
  serve(channel: FrameChannel, data: D): ServerConnection {
    const connection = new Connection<D>(channel, data, this.#port);
    this.#connections.add(connection);
    void connection.closed.then(() => this.#connections.delete(connection));
    if (this.#stopped) connection.close();
    return connection;
  }

  /** Have something closed when the server stops. Returns a function that takes it back. */
  whenStopped(listener: Listening): () => void {
    if (this.#stopped) listener.close();
    else this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Stop gracefully: no new connections; each open one is closed when none of its calls is running any more, its last
   * reply flushed. Resolves when all are gone. A call that never ends keeps it waiting; `close` ends that too.
   */
  async shutdown(): Promise<void> {
    this.#stop();
    const connections = [...this.#connections];
    for (const connection of connections) connection.drain();
    await Promise.all(connections.map((connection) => connection.closed));
  }

  /** Stop now: running calls are aborted and get no reply. */
  close(): void {
    this.#stop();
    for (const connection of [...this.#connections]) connection.close();
  }

  #stop(): void {
    this.#stopped = true;
    for (const listener of this.#listeners) listener.close();
    this.#listeners.clear();
  }

  #route(service: string, method: string): Route<D> {
    const methods = this.#routes.get(service);
    if (methods === undefined) throw new StatusError(Code.Unimplemented, `service ${service}`);
    const route = methods.get(method);
    if (route === undefined) throw new StatusError(Code.Unimplemented, `method ${method}`);
    return route;
  }
}
