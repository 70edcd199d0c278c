/** Calls back once if it is armed for too long. Nothing runs while it is not armed. */
export class StallTimer {
  readonly limitMs: number;
  readonly #stalled: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(limitMs: number, stalled: () => void) {
    this.limitMs = limitMs;
    this.#stalled = stalled;
  }

  /** From now on somebody waits for the other side; if that is so already, the time begins anew. */
  arm(): void {
    if (this.#timer === undefined) this.#timer = setTimeout(this.#stalled, this.limitMs);
    else this.#timer.refresh();
  }

  /** Nobody waits any more. */
  disarm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
