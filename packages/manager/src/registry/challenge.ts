/** One way to authenticate that a server offers. */
export interface Challenge {
  /** In lower case: `bearer`, `basic`. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

const LIMIT_BYTES = 16 << 10;
const TOKEN = /[A-Za-z0-9!#$%&'*+.^_`|~-]+/y;
const SEPARATOR = /[\s,]*/y;
const EQUALS = /\s*=\s*/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;
const BARE = /[^\s,"]+/y;

/**
 * The challenges of a WWW-Authenticate header, which may hold several. What cannot be understood ends the list: a server
 * that talks nonsense gets no credentials. Source: RFC 9110, 11.6.1.
 */
export function parseChallenges(header: string): Challenge[] {
  if (header.length > LIMIT_BYTES) return [];
  const scan = new Scanner(header);
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  for (;;) {
    scan.take(SEPARATOR);
    const word = scan.take(TOKEN)?.[0];
    if (word === undefined) return challenges;
    if (scan.take(EQUALS) === undefined) {
      challenges.push({ scheme: word.toLowerCase(), parameters: new Map() });
      continue;
    }
    const quoted = scan.take(QUOTED)?.[1];
    const value = quoted?.replace(/\\(.)/g, "$1") ?? scan.take(BARE)?.[0];
    const last = challenges.at(-1);
    if (value === undefined || last === undefined) return challenges;
    last.parameters.set(word.toLowerCase(), value);
  }
}

class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** A match of a sticky pattern here, or undefined; an empty match is one. */
  take(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) return undefined;
    this.#at = pattern.lastIndex;
    return match;
  }
}
