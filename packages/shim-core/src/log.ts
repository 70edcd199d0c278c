/** Fields of a log line. Never env, args or whole specs: they hold secrets. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes log lines with constant messages; values are fields. */
export class Logger {
  readonly #write: (line: string) => void;
  readonly #fields: LogFields;
  readonly #debug: boolean;

  constructor(write: (line: string) => void, options: { debug?: boolean; fields?: LogFields } = {}) {
    this.#write = write;
    this.#fields = options.fields ?? {};
    this.#debug = options.debug ?? false;
  }

  /** The same log with more fields. */
  with(fields: LogFields): Logger {
    return new Logger(this.#write, { debug: this.#debug, fields: { ...this.#fields, ...fields } });
  }

  error(msg: string, fields: LogFields): void {
    this.#line("error", msg, fields);
  }

  warning(msg: string, fields: LogFields): void {
    this.#line("warning", msg, fields);
  }

  info(msg: string, fields: LogFields): void {
    this.#line("info", msg, fields);
  }

  debug(msg: string, fields: LogFields): void {
    if (this.#debug) this.#line("debug", msg, fields);
  }

  #line(level: string, msg: string, fields: LogFields): void {
    const entries = Object.entries({ ...this.#fields, ...fields }).filter(([, value]) => value !== undefined);
    const plain = Object.fromEntries(
      entries.map(([key, value]) => [key, value instanceof Error ? explain(value) : value]),
    );
    this.#write(`${JSON.stringify({ time: new Date().toISOString(), level, msg, ...plain })}\n`);
  }
}

/** An error's message, with the stack where it is a bug of ours rather than an answer. */
function explain(error: Error): string {
  const isBug = error instanceof TypeError || error instanceof ReferenceError || error instanceof RangeError;
  return isBug ? (error.stack ?? error.message) : error.message;
}
