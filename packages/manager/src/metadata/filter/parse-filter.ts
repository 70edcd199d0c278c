import { type Code, ManagerError } from "../../errors/manager-error.ts";
import { parseRe2 } from "./re2.ts";
import type { Selector } from "./selector.ts";
import { unquote } from "./unquote.ts";

const SPACE = /\s*/y;
const FIELD = /[A-Za-z0-9_]+/y;
const OPERATOR = /==|!=|~=/y;
/** Graphic characters up to a comma or white space. */
const BARE_VALUE = /[^\p{C}\p{Z},]+/uy;
const QUOTED: Readonly<Record<string, RegExp>> = {
  '"': /"(?:[^"\\\n]|\\[^\n])*"/y,
  "/": /\/(?:[^/\\\n]|\\[^\n])*\//y,
  "|": /\|(?:[^|\\\n]|\\[^\n])*\|/y,
};

/** The selectors of one filter; none for an empty text. Throws a status of that code; `field` names the input in it. */
export function parseFilter(text: string, field: string, code: Code): Selector[] {
  return text === "" ? [] : new FilterParser(text, field, code).selectors();
}

class FilterParser {
  readonly #text: string;
  readonly #field: string;
  readonly #code: Code;
  #position = 0;

  constructor(text: string, field: string, code: Code) {
    this.#text = text;
    this.#field = field;
    this.#code = code;
  }

  selectors(): Selector[] {
    const selectors = [this.#selector()];
    while (this.#position < this.#text.length) {
      if (this.#peek() !== ",") throw this.#error("a comma or the end");
      this.#position++;
      selectors.push(this.#selector());
    }
    return selectors;
  }

  #selector(): Selector {
    const path = this.#path();
    if (this.#peek() === "," || this.#peek() === "") return { path, operator: "present" };
    this.#skipSpace();
    const operator = this.#take(OPERATOR);
    if (operator === undefined) throw this.#error("an operator (== != ~=)");
    this.#skipSpace();
    if (operator === "~=") return { path, operator, pattern: this.#pattern() };
    return { path, operator: operator === "==" ? "==" : "!=", value: this.#value() };
  }

  #path(): string[] {
    const path = [this.#name()];
    while (this.#peek() === ".") {
      this.#position++;
      path.push(this.#name());
    }
    return path;
  }

  #name(): string {
    this.#skipSpace();
    const name = this.#peek() === '"' ? this.#quoted() : this.#take(FIELD);
    if (name === undefined || name === "") throw this.#error("a field");
    return name;
  }

  #value(): string {
    const value = this.#peek() === '"' ? this.#quoted() : this.#take(BARE_VALUE);
    if (value === undefined) throw this.#error("a value");
    return value;
  }

  #pattern(): RegExp {
    const start = this.#position;
    const quote = this.#peek();
    const source = quote === "/" || quote === "|" ? this.#raw(quote) : this.#value();
    const pattern = parseRe2(source);
    if (pattern instanceof RegExp) return pattern;
    this.#position = start;
    throw this.#error(`a regular expression (${pattern.problem})`);
  }

  /** The inside of slashes or bars: its backslashes are the regular expression's. */
  #raw(quote: "/" | "|"): string {
    const token = this.#take(QUOTED[quote]);
    if (token === undefined) throw this.#error(`a closing ${quote}`);
    return token.slice(1, -1);
  }

  #quoted(): string {
    const start = this.#position;
    const token = this.#take(QUOTED['"']);
    if (token === undefined) throw this.#error("a closing quote");
    const text = unquote(token.slice(1, -1));
    if (text !== undefined) return text;
    this.#position = start;
    throw this.#error("a quoted text with valid escapes");
  }

  #peek(): string {
    return this.#text.charAt(this.#position);
  }

  #skipSpace(): void {
    this.#take(SPACE);
  }

  #take(token: RegExp | undefined): string | undefined {
    if (token === undefined) return undefined;
    token.lastIndex = this.#position;
    const found = token.exec(this.#text)?.[0];
    this.#position += found?.length ?? 0;
    return found;
  }

  #error(expected: string): ManagerError {
    const place = `at ${this.#position + 1}`;
    return new ManagerError(this.#code, `${this.#field} ${JSON.stringify(this.#text)}: ${place}: expected ${expected}`);
  }
}
