import type { EventEmitter } from "node:events";
import type { ServerUnaryCall } from "@grpc/grpc-js";
import { Code, StatusError } from "../errors/manager-error.ts";
import type { ServiceCall } from "./service-call.ts";

/** What calls of all kinds have in common in grpc-js. */
export type GrpcCall = EventEmitter & Pick<ServerUnaryCall<unknown, Buffer>, "metadata" | "cancelled" | "getDeadline">;

/** A repeated header reaches us as one, joined by commas; the first value counts. */
function firstOf(call: GrpcCall, key: string): string | undefined {
  return call.metadata.get(key)[0]?.toString().split(", ", 1)[0];
}

/** One call on the server's side, from its first handler to its status. */
export class OpenCall implements Disposable {
  readonly call: ServiceCall;
  readonly #grpc: GrpcCall;
  readonly #controller = new AbortController();
  readonly #onCancelled = () => this.abort(this.#isLate() ? late() : gone());

  constructor(grpc: GrpcCall) {
    this.#grpc = grpc;
    this.call = {
      namespace: firstOf(grpc, "containerd-namespace"),
      lease: firstOf(grpc, "containerd-lease"),
      signal: this.#controller.signal,
    };
    grpc.on("cancelled", this.#onCancelled);
    if (grpc.cancelled) this.#onCancelled();
  }

  /** Nobody waits for the answer any more. */
  abort(reason: StatusError): void {
    this.#controller.abort(reason);
  }

  /** The handler has answered: what comes from grpc-js now is of no interest. */
  [Symbol.dispose](): void {
    this.#grpc.off("cancelled", this.#onCancelled);
  }

  #isLate(): boolean {
    const deadline = this.#grpc.getDeadline();
    return Date.now() >= (deadline instanceof Date ? deadline.getTime() : deadline);
  }
}

function late(): StatusError {
  return new StatusError(Code.DeadlineExceeded, "context deadline exceeded");
}

function gone(): StatusError {
  return new StatusError(Code.Canceled, "context canceled");
}
