/** A command line that cannot be understood. The message is for whoever typed it. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** What a flag takes: nothing, one text (the last one wins), or a text each time it is given. */
export type FlagKind = "boolean" | "text" | "list";

/** Long names to kinds. */
export type FlagTable = Readonly<Record<string, FlagKind>>;

/** Flags as given, and what is no flag. */
export interface Parsed {
  readonly flags: Flags;
  readonly rest: readonly string[];
}

/** Values by long name. */
export class Flags {
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(values: ReadonlyMap<string, readonly string[]>) {
    this.#values = values;
  }

  /** A boolean flag; absent is false. */
  has(name: string): boolean {
    return this.#values.get(name)?.at(-1) === "true";
  }

  /** A text flag; absent or empty is undefined. */
  text(name: string): string | undefined {
    return this.#values.get(name)?.at(-1) || undefined;
  }

  /** Each value of a list. */
  list(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  /** A whole number of at least `least`; absent is undefined. Throws UsageError. */
  integer(name: string, least = 0): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const number = Number(text);
    if (!/^-?[0-9]+$/.test(text) || !Number.isSafeInteger(number) || number < least)
      throw new UsageError(`--${name} ${JSON.stringify(text)}: not a whole number from ${least} on`);
    return number;
  }
}

/**
 * Flags up to the first word that is none, as runc's parser has it: `--name value`, `--name=value`, `-n value`; one dash or two; booleans
 * also as `--name=false`. `--` ends them. Throws UsageError.
 */
export function parseFlags(
  words: readonly string[],
  table: FlagTable,
  short: Readonly<Record<string, string>>,
): Parsed {
  const values = new Map<string, string[]>();
  let at = 0;
  for (; at < words.length; at++) {
    const word = words[at] ?? "";
    if (word === "--") {
      at++;
      break;
    }
    const [, given = "", inline] = /^--?([A-Za-z][A-Za-z0-9-]*)(?:=(.*))?$/s.exec(word) ?? [];
    if (given === "") break;
    const name = Object.hasOwn(short, given) ? (short[given] ?? given) : given;
    const kind = Object.hasOwn(table, name) ? table[name] : undefined;
    if (kind === undefined) throw new UsageError(`flag provided but not defined: -${given}`);
    const value = kind === "boolean" ? parseBoolean(given, inline ?? "true") : (inline ?? words[++at]);
    if (value === undefined) throw new UsageError(`flag needs an argument: -${given}`);
    values.set(name, kind === "list" ? [...(values.get(name) ?? []), value] : [value]);
  }
  return { flags: new Flags(values), rest: words.slice(at) };
}

function parseBoolean(name: string, text: string): string {
  if (text === "true" || text === "1") return "true";
  if (text === "false" || text === "0") return "false";
  throw new UsageError(`--${name} ${JSON.stringify(text)}: not true or false`);
}
