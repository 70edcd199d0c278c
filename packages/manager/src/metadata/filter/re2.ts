import { messageOf } from "../../errors/manager-error.ts";

/** What RE2 does not have, and a filter of a real containerd could not use either. */
const REFUSED: readonly (readonly [RegExp, string])[] = [
  [/(?<!\\)(?:\\\\)*\(\?(?:[=!]|<[=!])/, "look-around is not supported"],
  [/(?<!\\)(?:\\\\)*\\(?:[1-9]|k<)/, "back-references are not supported"],
];
const CLASSES: Readonly<Record<string, string>> = {
  alnum: "0-9A-Za-z",
  alpha: "A-Za-z",
  digit: "0-9",
  lower: "a-z",
  punct: "!-\\/:-@\\[-`{-~",
  space: "\\t-\\r ",
  upper: "A-Z",
  word: "0-9A-Za-z_",
  xdigit: "0-9A-Fa-f",
};

/**
 * A regular expression in RE2's syntax as one of JavaScript's, unanchored. The common ground, and of RE2's own: flags in front,
 * `\A`, `\z`, `(?P<name>`, `[[:class:]]`. Otherwise what is wrong with it.
 */
export function parseRe2(source: string): RegExp | { readonly problem: string } {
  const refused = REFUSED.find(([pattern]) => pattern.test(source));
  if (refused !== undefined) return { problem: refused[1] };
  const [, flags = "", body = ""] = /^(?:\(\?([ims]+)\))?([\s\S]*)$/.exec(source) ?? [];
  try {
    return new RegExp(translate(body), [...new Set(flags)].join(""));
  } catch (error) {
    return { problem: messageOf(error) };
  }
}

function translate(body: string): string {
  return body.replace(/\\[\s\S]|\(\?P<|\[:([a-z]+):\]/g, (token, name: string | undefined) => {
    if (token === "\\A") return "^";
    if (token === "\\z") return "$";
    if (token === "(?P<") return "(?<";
    return name === undefined ? token : (CLASSES[name] ?? token);
  });
}
