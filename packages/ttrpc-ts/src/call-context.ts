import type { ttrpc } from "@trimaran/proto";
import { deadlineError, type StatusError } from "./status.ts";

/** What a handler knows of its call. `D` is what the connection was served with. */
export interface CallContext<D = unknown> {
  readonly service: string;
  readonly method: string;
  readonly streamId: number;
  readonly data: D;
  /** Values by lower-case key. */
  readonly metadata: ReadonlyMap<string, readonly string[]>;
  /** When the client stops waiting, on the clock of performance.now(); negative or past if it already has. */
  readonly deadlineMs?: number;
  /** Aborts at the deadline, and when the connection or the server is closed. Costs nothing until it is read. */
  readonly signal: AbortSignal;
}

/** The context of one call, and what the connection does with it. */
export class Call<D> implements CallContext<D> {
  readonly service: string;
  readonly method: string;
  readonly streamId: number;
  readonly data: D;
  declare readonly deadlineMs?: number;
  readonly #pairs: readonly ttrpc.KeyValue[];
  #controller: AbortController | undefined;
  #ended: StatusError | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(streamId: number, request: ttrpc.Request, data: D) {
    this.service = request.service;
    this.method = request.method;
    this.streamId = streamId;
    this.data = data;
    this.#pairs = request.metadata;
    if (request.timeoutNano !== 0n) this.deadlineMs = performance.now() + Number(request.timeoutNano) / 1e6;
    if (request.timeoutNano < 0n) this.#ended = deadlineError();
  }

  get metadata(): ReadonlyMap<string, readonly string[]> {
    const map = new Map<string, string[]>();
    for (const { key, value } of this.#pairs) {
      const values = map.get(key.toLowerCase());
      if (values === undefined) map.set(key.toLowerCase(), [value]);
      else values.push(value);
    }
    return map;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#ended !== undefined) this.#controller.abort(this.#ended);
    return this.#controller.signal;
  }

  /** Call back at the deadline, if there is one ahead: a handler that has begun with an expired one may still succeed. */
  atDeadline(callback: () => void): void {
    if (this.deadlineMs === undefined || this.#ended !== undefined) return;
    const leftMs = Math.min(this.deadlineMs - performance.now(), 2 ** 31 - 1);
    this.#timer = setTimeout(callback, Math.max(0, leftMs));
  }

  /** The call is over; a reason aborts what still runs. */
  end(reason?: StatusError): void {
    clearTimeout(this.#timer);
    if (reason === undefined) return;
    this.#ended ??= reason;
    this.#controller?.abort(this.#ended);
  }
}
