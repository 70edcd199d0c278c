/** Does some work when nothing has happened for a while, once; no timer runs before something happens, or after the work. */
export class QuietTime implements Disposable {
  readonly #quietMs: number;
  readonly #work: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(quietMs: number, work: () => void) {
    this.#quietMs = quietMs;
    this.#work = work;
  }

  /** Something happens. */
  touch(): void {
    if (this.#timer !== undefined) {
      this.#timer.refresh();
      return;
    }
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#work();
    }, this.#quietMs).unref();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
