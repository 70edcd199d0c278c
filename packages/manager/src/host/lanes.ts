/** One thing at a time per key, in the order of asking; different keys don't wait for each other. */
export class Lanes {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Do the work when everything that was asked for under this key before has ended. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key);
    const mine = (async () => {
      await before?.catch(() => {}); // its caller has the error
      return work();
    })();
    this.#last.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#last.get(key) === mine) this.#last.delete(key);
    }
  }
}
