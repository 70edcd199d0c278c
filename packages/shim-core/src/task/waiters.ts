/**
 * Calls that wait for one value. An abandoned one leaves nothing behind: hundreds of Waits may be open for one task, and clients
 * go away without a word.
 */
export class Waiters<T> {
  readonly #waiting = new Set<(value: T) => void>();

  /** Resolves with the value of `settle`; rejects with the signal's reason. */
  wait(signal: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const done = (value: T): void => {
        signal.removeEventListener("abort", abandon);
        resolve(value);
      };
      const abandon = (): void => {
        this.#waiting.delete(done);
        reject(signal.reason);
      };
      signal.addEventListener("abort", abandon, { once: true });
      this.#waiting.add(done);
    });
  }

  /** How many wait. */
  get size(): number {
    return this.#waiting.size;
  }

  settle(value: T): void {
    for (const done of this.#waiting) done(value);
    this.#waiting.clear();
  }
}
