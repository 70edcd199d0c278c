import type { Init, MethodDescriptor, ServiceDescriptor } from "@trimaran/proto";
import type { CallContext } from "./call-context.ts";
import type { ServerStream } from "./server-stream.ts";

type Awaitable<T> = T | Promise<T>;

/**
 * What serves one method. A unary one gets the request and returns the response. One on which only the client streams
 * gets the stream and returns the response; one on which the server streams sends on the stream and returns at its end.
 * Whatever it throws goes through the server's `toStatus`.
 */
export type Handler<Method, D> =
  Method extends MethodDescriptor<infer Req, infer Res, infer ClientStreaming, infer ServerStreaming>
    ? [ClientStreaming, ServerStreaming] extends [false, false]
      ? (request: Req, context: CallContext<D>) => Awaitable<Init<Res>>
      : [ClientStreaming, ServerStreaming] extends [true, false]
        ? (stream: ServerStream<Req, Res>, context: CallContext<D>) => Awaitable<Init<Res>>
        : [ClientStreaming, ServerStreaming] extends [false, true]
          ? (request: Req, stream: ServerStream<Req, Res>, context: CallContext<D>) => Awaitable<void>
          : (stream: ServerStream<Req, Res>, context: CallContext<D>) => Awaitable<void>
    : never;

/** An object with one handler per method of a service. */
export type Implementation<Service extends ServiceDescriptor, D = unknown> = {
  readonly [Key in keyof Service["methods"]]: Handler<Service["methods"][Key], D>;
};
