/** What the splitter must know of a command: which of its flags stand alone. Names without dashes, as typed. */
export interface FlagShape {
  readonly booleans: ReadonlySet<string>;
}

/** The shape of stricli flags: camelCase names become kebab-case, aliases stay. */
export function flagShape(
  flags: Readonly<Record<string, { readonly kind: string }>>,
  aliases: Readonly<Record<string, string>>,
): FlagShape {
  const kebab = (name: string) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const alone = Object.keys(flags).filter((name) => flags[name]?.kind === "boolean");
  const short = Object.keys(aliases).filter((alias) => alone.includes(aliases[alias] ?? ""));
  return { booleans: new Set([...alone, ...alone.map(kebab), ...short, "help", "h", "help-all", "H"]) };
}

/**
 * Put `--` in front of the first word that is no flag, so that what follows it belongs to the container's command even if it
 * looks like a flag: `-t IMAGE ls -l` becomes `-t -- IMAGE ls -l`. An `--` that is there already is left alone.
 */
export function splitArguments(args: readonly string[], shape: FlagShape): string[] {
  const at = firstPositional(args, shape);
  return at === undefined ? [...args] : [...args.slice(0, at), "--", ...args.slice(at)];
}

/** The index of the first word that is neither a flag nor a flag's value; undefined if there is none, or an `--` comes first. */
export function firstPositional(args: readonly string[], shape: FlagShape): number | undefined {
  for (let at = 0; at < args.length; at++) {
    const word = args[at] ?? "";
    if (word === "--") return undefined;
    if (!word.startsWith("-") || word === "-") return at;
    if (takesNextWord(word, shape)) at++;
  }
  return undefined;
}

function takesNextWord(word: string, { booleans }: FlagShape): boolean {
  if (word.includes("=")) return false;
  if (word.startsWith("--")) return !booleans.has(word.slice(2));
  return !booleans.has(word.slice(-1)); // of a batch like -it only the last letter can take a value
}
