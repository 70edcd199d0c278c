import { Code, StatusError } from "../errors/manager-error.ts";
import type { CallOptions } from "./service-client.ts";

/** The life of one call on the client's side: the caller's signal, its deadline, and the end of its loop in one signal. */
export class CallScope implements Disposable {
  readonly signal: AbortSignal;
  readonly #over = new AbortController();

  constructor(options: CallOptions) {
    const signals = [this.#over.signal];
    if (options.signal !== undefined) signals.push(options.signal);
    if (options.timeoutMs !== undefined) signals.push(AbortSignal.timeout(options.timeoutMs));
    this.signal = signals.length === 1 ? this.#over.signal : AbortSignal.any(signals);
  }

  /** Whoever still works for the call learns that nobody waits for it. */
  [Symbol.dispose](): void {
    this.#over.abort(new StatusError(Code.Canceled, "context canceled"));
  }
}
