import type { Init } from "@trimaran/proto";
import { containerd } from "@trimaran/proto";
import { Code, ManagerError } from "../errors/manager-error.ts";
import { AsyncQueue } from "../host/async-queue.ts";
import { callOptions, type TransferContext } from "./transfer-context.ts";

type WriteContentRequest = containerd.services.content.v1.WriteContentRequest;
type WriteContentResponse = containerd.services.content.v1.WriteContentResponse;

/** The actions of `Content.Write`. */
export const ACTION = containerd.services.content.v1.WriteAction;

/** One `Content.Write` call, a message and its answer at a time. Disposing it gives the call up; the ingest stays. */
export class WriteCall implements AsyncDisposable {
  readonly #requests = new AsyncQueue<Init<WriteContentRequest>>();
  readonly #answers: AsyncIterator<WriteContentResponse>;

  constructor(context: TransferContext) {
    const answers = context.services.content.write(this.#requests, callOptions(context));
    this.#answers = answers[Symbol.asyncIterator]();
  }

  async exchange(request: Init<WriteContentRequest>): Promise<WriteContentResponse> {
    this.#requests.push(request);
    const next = await this.#answers.next();
    if (next.done !== true) return next.value;
    throw new ManagerError(Code.Internal, "content write: the store has ended the call without an answer");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#requests.end();
    await this.#answers.return?.();
  }
}
