import { type Application, type Command, text_en } from "@stricli/core";
import type { CliContext } from "../cli-context.ts";

/** What a manual page says of a command, taken from the definition that `--help` is made of. */
export interface CommandShape {
  /** `images push`. */
  readonly name: string;
  readonly brief: string;
  readonly description: string;
  /** What follows the name in general: `[FLAGS] ID...`. */
  readonly synopsis: string;
  /** What may follow the name, say. */
  readonly examples: readonly string[];
  readonly flags: readonly FlagShape[];
}

export interface FlagShape {
  /** `memory`, `cap-add`. */
  readonly name: string;
  readonly letter: string | undefined;
  /** Undefined for one that is on or off. */
  readonly placeholder: string | undefined;
  readonly brief: string;
  readonly defaultText: string | undefined;
  readonly isRepeatable: boolean;
}

/** What stricli keeps of a flag; its own types hide that behind the flag's value. */
interface RawFlag {
  readonly kind: string;
  readonly brief: string;
  readonly placeholder?: string;
  readonly default?: unknown;
  readonly variadic?: unknown;
  readonly hidden?: boolean;
}

type Root = Application<CliContext>["root"];

/** All commands by their words, those of a group (`images`) after it. A group's own default command has the group's name. */
export function commandShapes({ root }: Application<CliContext>): CommandShape[] {
  return shapesBelow(root, []);
}

function shapesBelow(target: Root, words: readonly string[]): CommandShape[] {
  if (!("getAllEntries" in target)) return [toShape(target, words)];
  const own = target.getDefaultCommand();
  return [
    ...(own === undefined ? [] : [toShape(own, words)]),
    ...target
      .getAllEntries()
      .filter(({ hidden }) => !hidden)
      .flatMap(({ name, target: inner }) =>
        inner === own ? [] : shapesBelow(inner as Root, [...words, name.original]),
      ),
  ];
}

function toShape(command: Command<CliContext>, words: readonly string[]): CommandShape {
  const parameters = command.parameters as {
    readonly flags?: Readonly<Record<string, RawFlag>>;
    readonly aliases?: Readonly<Record<string, string>>;
  };
  const { flags = {}, aliases = {} } = parameters;
  const usages = usagesOf(command);
  const general = usages.find((usage) => usage.startsWith("[FLAGS]"));
  return {
    name: words.join(" "),
    brief: command.brief,
    description: command.fullDescription ?? "",
    synopsis: general ?? (Object.keys(flags).length > 0 ? "[FLAGS]" : (usages.at(-1) ?? "")),
    examples: usages.filter((usage) => usage !== general && !/^[A-Z]+$/.test(usage)),
    flags: Object.entries(flags)
      .filter(([, flag]) => flag.hidden !== true)
      .map(([name, flag]) => toFlag(name, flag, aliases)),
  };
}

/** stricli keeps them to itself, but prints them: the lines below its first one, up to an empty one. */
function usagesOf(command: Command<CliContext>): string[] {
  const help = command.formatHelp({
    prefix: ["COMMAND"],
    config: {
      caseStyle: "convert-camel-to-kebab",
      useAliasInUsageLine: false,
      onlyRequiredInUsageLine: false,
    },
    text: text_en,
    additionalFlags: [],
    includeArgumentEscapeSequenceFlag: false,
    includeHidden: false,
    ansiColor: false,
  });
  const lines = help.split("\n").slice(1);
  const usages = lines.slice(0, lines.indexOf("")).map((line) => line.trim().replace(/^COMMAND ?/, ""));
  return usages.filter((usage) => usage !== "--help");
}

function toFlag(name: string, flag: RawFlag, aliases: Readonly<Record<string, string>>): FlagShape {
  return {
    name: name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`),
    letter: Object.keys(aliases).find((letter) => aliases[letter] === name),
    placeholder: flag.kind === "boolean" ? undefined : (flag.placeholder ?? "VALUE"),
    brief: flag.brief,
    defaultText: typeof flag.default === "string" && flag.default !== "" ? flag.default : undefined,
    isRepeatable: flag.variadic !== undefined,
  };
}
