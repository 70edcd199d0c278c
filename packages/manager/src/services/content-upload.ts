import { containerd, type contentV1 } from "@trimaran/proto";
import type { Implementation } from "../grpc/implementation.ts";
import type { ServiceCall } from "../grpc/service-call.ts";

type Request = containerd.services.content.v1.WriteContentRequest;
type Write = Implementation<typeof contentV1>["write"];

const { WRITE, COMMIT } = containerd.services.content.v1.WriteAction;

/** A blob that one service of the manager writes through another, for the same caller: one message at a time. */
export class ContentUpload implements AsyncDisposable {
  readonly #ref: string;
  readonly #requests: RequestQueue;
  readonly #answers: AsyncIterator<unknown>;
  #offset = 0n;

  constructor(write: Write, ref: string, call: ServiceCall) {
    this.#ref = ref;
    this.#requests = new RequestQueue();
    this.#answers = write(this.#requests, call)[Symbol.asyncIterator]();
  }

  /** Append; the first one drops what an earlier upload has left. */
  async write(data: Uint8Array): Promise<void> {
    await this.#exchange({ action: WRITE, offset: this.#offset, data });
    this.#offset += BigInt(data.length);
  }

  /** Make it a blob. Throws AlreadyExists if there is one of that digest. */
  async commit(expected: string, labels: Readonly<Record<string, string>>): Promise<void> {
    const total = this.#offset;
    await this.#exchange({ action: COMMIT, offset: total, total, expected, labels: { ...labels } });
  }

  /** Ends the stream; what is not committed stays as an ingest. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#requests.end();
    await this.#answers.return?.();
  }

  async #exchange(fields: Partial<Request>): Promise<void> {
    const empty = {
      action: WRITE,
      ref: this.#ref,
      total: 0n,
      expected: "",
      offset: 0n,
      data: Buffer.alloc(0),
      labels: {},
    };
    this.#requests.push({ ...empty, ...fields });
    const answer = await this.#answers.next();
    if (answer.done) throw new Error("content: the stream has ended early");
  }
}

/** Requests for somebody who takes them one by one, and at once. */
class RequestQueue implements AsyncIterable<Request> {
  #pending: Request[] = [];
  #isEnded = false;
  #wake = () => {};

  push(request: Request): void {
    this.#pending.push(request);
    this.#wake();
  }

  end(): void {
    this.#isEnded = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Request> {
    for (;;) {
      const next = this.#pending.shift();
      if (next !== undefined) yield next;
      else if (this.#isEnded) return;
      else await this.#arrival();
    }
  }

  #arrival(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    return promise;
  }
}
