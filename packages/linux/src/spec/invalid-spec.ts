/**
 * A `config.json`, exec process or mount list that cannot be honoured. `field` is the path in the document
 * (`linux.namespaces[2].type`), `reason` what is wrong with it. The message reads `process.args: at least one argument`, or
 * with the offending value `linux.namespaces[2].type "foo": unknown`.
 */
export class InvalidSpec extends Error {
  override readonly name = "InvalidSpec";
  readonly field: string;
  readonly reason: string;
  constructor(field: string, reason: string, value?: unknown) {
    super(`${field}${value === undefined ? "" : ` ${excerpt(value)}`}: ${reason}`);
    this.field = field;
    this.reason = reason;
  }
}

/** A value for a message: JSON, at most 100 characters. */
function excerpt(value: unknown): string {
  const text = typeof value === "bigint" ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length <= 100 ? text : `${text.slice(0, 100)}…`;
}
