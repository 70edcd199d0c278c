type Methods = Readonly<Record<string, (request: never, context: never) => unknown>>;

/** What a task server is at, besides calls that wait for somebody else: it does not go in good order meanwhile. */
export class Work {
  #count = 0;

  get isNone(): boolean {
    return this.#count === 0;
  }

  /** Do something that counts until its promise is settled. */
  during<T>(job: () => T): T {
    const result = job();
    if (!(result instanceof Promise)) return result; // done already
    this.#count += 1;
    const settled = () => {
      this.#count -= 1;
    };
    result.then(settled, settled);
    return result;
  }

  /** The same methods, counted; the one `apart` waits for somebody else. */
  counting<M extends Methods>(methods: M, apart: keyof M): M {
    const entries = Object.entries(methods).map(([name, handler]) => {
      const counted = (request: never, context: never) => this.during(() => handler(request, context));
      return [name, name === apart ? handler : counted];
    });
    return Object.fromEntries(entries) as M;
  }
}
