import type { Init, MethodDescriptor, ServiceDescriptor } from "@trimaran/proto";
import type { ServiceCall } from "./service-call.ts";

type Awaitable<T> = T | Promise<T>;

/**
 * What serves one method. Whatever it throws becomes a status (`toStatus`). A stream of answers is pulled one message at a
 * time, as fast as the client reads, and returned from (`finally` runs) when the client has gone; what waits inside of it
 * must heed `call.signal`. A stream of requests ends when the client has said its last, and throws when it has gone.
 */
export type Handler<Method> =
  Method extends MethodDescriptor<infer Req, infer Res, infer ClientStreaming, infer ServerStreaming>
    ? [ClientStreaming, ServerStreaming] extends [false, false]
      ? (request: Req, call: ServiceCall) => Awaitable<Init<Res>>
      : [ClientStreaming, ServerStreaming] extends [true, false]
        ? (requests: AsyncIterable<Req>, call: ServiceCall) => Awaitable<Init<Res>>
        : [ClientStreaming, ServerStreaming] extends [false, true]
          ? (request: Req, call: ServiceCall) => AsyncIterable<Init<Res>>
          : (requests: AsyncIterable<Req>, call: ServiceCall) => AsyncIterable<Init<Res>>
    : never;

/** An object with one handler per method of a service. */
export type Implementation<Service extends ServiceDescriptor> = {
  readonly [Key in keyof Service["methods"]]: Handler<Service["methods"][Key]>;
};
