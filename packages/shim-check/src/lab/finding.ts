import { Code, StatusError } from "ttrpc-ts";

/** A check's verdict against a shim: what the contract wants, and what came. */
export class Finding extends Error {
  override readonly name = "Finding";
  readonly expected: string;
  readonly came: string;

  constructor(expected: string, came: string, options?: ErrorOptions) {
    super(`expected ${expected}; came ${came}`, options);
    this.expected = expected;
    this.came = came;
  }
}

/** The shim lacks what a check is about, and may: it says so with code 12, or in its own words. */
export class NotOffered extends Error {
  override readonly name = "NotOffered";
}

const CODE_NAMES: ReadonlyMap<number, string> = new Map(Object.entries(Code).map(([name, code]) => [code, name]));

/** `NotFound (5)`. */
export function codeName(code: number): string {
  return `${CODE_NAMES.get(code) ?? "code"} (${code})`;
}

/** An error as a report shows it: code and words. */
export function describeError(error: unknown): string {
  if (error instanceof StatusError) return `${codeName(error.code)}: ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}

/** Any value on one line. */
export function describe(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  return JSON.stringify(value, (_key, part) => (typeof part === "bigint" ? String(part) : part)) ?? String(value);
}

/** `what` must be `expected`, compared as its description. */
export function expectEqual(what: string, came: unknown, expected: unknown): void {
  if (describe(came) !== describe(expected)) throw new Finding(`${what} ${describe(expected)}`, describe(came));
}

/** `isSo` must hold; `came` is what is instead. */
export function expectThat(expected: string, isSo: boolean, came: unknown): void {
  if (!isSo) throw new Finding(expected, typeof came === "string" ? came : describe(came));
}

/** A call must fail, with one of the codes; any will do if there is none. Code 12 means that the shim lacks the call. */
export async function expectError(
  what: string,
  call: Promise<unknown>,
  ...codes: readonly Code[]
): Promise<StatusError> {
  const wanted = codes.length === 0 ? "an error" : codes.map(codeName).join(" or ");
  const expected = `${what}: ${wanted}`;
  const outcome = await call.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  if ("value" in outcome) throw new Finding(expected, `OK ${describe(outcome.value)}`);
  const { error } = outcome;
  if (!(error instanceof StatusError)) throw error;
  const isGone = error.message === "ttrpc: closed" || error.code === Code.DeadlineExceeded;
  if (isGone || (codes.length > 0 && !codes.includes(error.code))) throw new Finding(expected, describeError(error));
  return error;
}
