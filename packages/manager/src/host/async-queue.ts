/**
 * Values from many to one reader, in order. The reader takes them as an async iterable, once; it ends after `end` when all are
 * taken, and throws after `fail`. Unbounded: who adds looks at `length` if the reader may be slow.
 */
export class AsyncQueue<T> implements AsyncIterable<T> {
  readonly #values: T[] = [];
  #wake: (() => void) | undefined;
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
  }

  /** Like `end`, but the reader gets the error after the last value. */
  fail(error: unknown): void {
    this.#end ??= { error };
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    try {
      for (;;) {
        const value = this.#values.shift();
        if (value !== undefined) yield value;
        else if (this.#end === undefined) await this.#waken();
        else if ("error" in this.#end) throw this.#end.error;
        else return;
      }
    } finally {
      this.end();
      this.#values.length = 0;
    }
  }

  async #waken(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    await promise;
    this.#wake = undefined;
  }
}
