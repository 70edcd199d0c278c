import type { MethodDescriptor } from "@trimaran/proto";
import type { CallContext } from "./call-context.ts";
import type { StatusError } from "./status.ts";

/** One method as the server runs it. */
export interface Route<D> {
  readonly method: MethodDescriptor<unknown, unknown>;
  readonly handler: (first: unknown, second: unknown, third?: CallContext<D>) => unknown;
}

/** What a connection needs from its server. */
export interface ServerPort<D> {
  /** Throws Unimplemented. */
  readonly route: (service: string, method: string) => Route<D>;
  readonly toStatus: (error: unknown) => StatusError;
  readonly streamBufferBytes: number;
}

/** One connection that is being served. */
export interface ServerConnection {
  /** Calls whose handlers run. */
  readonly activeCalls: number;
  /** Resolves, never rejects, when the connection is gone. */
  readonly closed: Promise<void>;
  /** Abort all calls and close. */
  close(): void;
}
