/** Lines beyond these are dropped, the oldest first. */
const LIMIT_LINES = 1000;
const LIMIT_BYTES = 256 * 1024;

/** What the agent has logged and the host has not fetched yet. */
export class LogBuffer {
  readonly #lines: string[] = [];
  #bytes = 0;
  /** Number of the last line. */
  #last = 0;
  readonly #waiting = new Set<() => void>();

  add(line: string): void {
    this.#lines.push(line);
    this.#bytes += line.length;
    this.#last++;
    while (this.#lines.length > LIMIT_LINES || this.#bytes > LIMIT_BYTES) this.#drop();
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /** The lines after that number, once there are some; those before are forgotten. */
  async read(
    after: number,
    signal: AbortSignal,
  ): Promise<{ readonly last: number; readonly lines: readonly string[] }> {
    while (this.#lines.length > 0 && this.#last - this.#lines.length < after) this.#drop();
    while (this.#lines.length === 0) {
      signal.throwIfAborted();
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const abandon = (): void => reject(signal.reason);
      signal.addEventListener("abort", abandon, { once: true });
      this.#waiting.add(resolve);
      await promise.finally(() => {
        this.#waiting.delete(resolve);
        signal.removeEventListener("abort", abandon);
      });
    }
    return { last: this.#last, lines: [...this.#lines] };
  }

  #drop(): void {
    this.#bytes -= this.#lines.shift()?.length ?? 0;
  }
}
