/**
 * Values from many to one reader, in order. The reader takes them as an async iterable, once; it ends after `end` when all are
 * taken, and throws after `fail`. Unbounded: who adds much waits for `below` now and then.
 */
export class AsyncQueue<T> implements AsyncIterable<T> {
  readonly #values: T[] = [];
  #wake: (() => void) | undefined;
  readonly #writers = new Set<() => void>();
  #end: { readonly error?: unknown } | undefined;

  /** Values that nobody has taken yet. */
  get length(): number {
    return this.#values.length;
  }

  /** Whether values still are accepted. */
  get isOpen(): boolean {
    return this.#end === undefined;
  }

  /** Add a value; after the end nothing happens. */
  push(value: T): void {
    if (this.#end !== undefined) return;
    this.#values.push(value);
    this.#wake?.();
  }

  end(): void {
    this.#end ??= {};
    this.#wake?.();
    this.#wakeWriters();
  }

  /** Wait until the reader has left fewer than `limit` values, or nothing is accepted any more. */
  async below(limit: number): Promise<void> {
    while (this.isOpen && this.#values.length >= limit) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#writers.add(resolve);
      await promise;
    }
  }

  /** Like `end`, but the reader gets the error after the last value. */
  fail(error: unknown): void {
    this.#end ??= { error };
    this.#wake?.();
    this.#wakeWriters();
  }

  /** By hand, not as a generator: a value that is there costs one promise, and many thousands go through here in a second. */
  [Symbol.asyncIterator](): AsyncIterator<T, void> {
    return {
      next: () => this.#next(),
      return: async () => {
        this.end();
        this.#values.length = 0;
        return { value: undefined, done: true };
      },
    };
  }

  async #next(): Promise<IteratorResult<T, void>> {
    while (this.#values.length === 0 && this.#end === undefined) await this.#waken();
    if (this.#writers.size > 0) this.#wakeWriters();
    const value = this.#values.shift();
    if (value !== undefined) return { value, done: false };
    const end = this.#end;
    this.#end = {}; // an error is thrown once
    if (end !== undefined && "error" in end) throw end.error;
    return { value: undefined, done: true };
  }

  #wakeWriters(): void {
    for (const resolve of this.#writers) resolve();
    this.#writers.clear();
  }

  async #waken(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    await promise;
    this.#wake = undefined;
  }
}
