/** What a bus, or a service on it, answered instead of a result, or what is wrong with its bytes. */
export class DBusError extends Error {
  override readonly name = "DBusError";
  /** The error's name on the bus, `org.freedesktop.systemd1.UnitExists`; undefined if it is ours. */
  readonly code: string | undefined;
  constructor(message: string, options: ErrorOptions & { readonly code?: string } = {}) {
    super(message, options);
    this.code = options.code;
  }
}
