import type { Codec, Init, MethodDescriptor, ServiceDescriptor } from "@trimaran/proto";
import type { ClientStream } from "./client-stream.ts";
import type { Metadata } from "./envelope.ts";

/** How one call is made. */
export interface CallOptions {
  /**
   * Limit in milliseconds, above 0 and up to 2^31-1; none by default. The call fails with DeadlineExceeded then, whatever
   * the server does. A unary call tells the server; a stream has the limit only here.
   */
  readonly timeoutMs?: number | undefined;
  readonly metadata?: Metadata | undefined;
  /** Gives the call up with Canceled. ttrpc has no cancel frame: the server never learns of it. */
  readonly signal?: AbortSignal | undefined;
}

type ClientMethod<Method> =
  Method extends MethodDescriptor<infer Req, infer Res, infer ClientStreaming, infer ServerStreaming>
    ? ClientStreaming extends true
      ? (options?: CallOptions) => ClientStream<Req, Res>
      : ServerStreaming extends true
        ? (request: Init<Req>, options?: CallOptions) => ClientStream<Req, Res>
        : (request: Init<Req>, options?: CallOptions) => Promise<Res>
    : never;

/** A service as an object with one method per RPC. */
export type ServiceClient<Service extends ServiceDescriptor> = {
  readonly [Key in keyof Service["methods"]]: ClientMethod<Service["methods"][Key]>;
};

/** What a call needs to know of its method. */
export interface Method<Req, Res> {
  readonly name: string;
  readonly request: Codec<Req>;
  readonly response: Codec<Res>;
}
