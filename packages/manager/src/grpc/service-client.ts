import type { Init, MethodDescriptor, ServiceDescriptor } from "@trimaran/proto";

/** How one call is made. */
export interface CallOptions {
  /** What the call creates or meets joins this lease. */
  readonly lease?: string | undefined;
  /** Gives the call up with Canceled; the server learns of it. */
  readonly signal?: AbortSignal | undefined;
  /** Limit in milliseconds, above 0 and up to 2^31-1; none by default. The call fails with DeadlineExceeded then. */
  readonly timeoutMs?: number | undefined;
}

type ClientMethod<Method> =
  Method extends MethodDescriptor<infer Req, infer Res, infer ClientStreaming, infer ServerStreaming>
    ? [ClientStreaming, ServerStreaming] extends [false, false]
      ? (request: Init<Req>, options?: CallOptions) => Promise<Res>
      : [ClientStreaming, ServerStreaming] extends [true, false]
        ? (requests: AsyncIterable<Init<Req>>, options?: CallOptions) => Promise<Res>
        : [ClientStreaming, ServerStreaming] extends [false, true]
          ? (request: Init<Req>, options?: CallOptions) => AsyncIterable<Res>
          : (requests: AsyncIterable<Init<Req>>, options?: CallOptions) => AsyncIterable<Res>
    : never;

/**
 * A service as an object with one method per RPC; errors are StatusErrors. A stream begins when its iteration does, ends with
 * its loop (leaving the loop cancels the call), and can be iterated once.
 */
export type ServiceClient<Service extends ServiceDescriptor> = {
  readonly [Key in keyof Service["methods"]]: ClientMethod<Service["methods"][Key]>;
};
