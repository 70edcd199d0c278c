import { proposeCompletions, run, type StricliProcess } from "@stricli/core";
import { buildCli, imageVerbs, verbsWithCommands } from "./app.ts";
import { firstPositional, flagShape, splitArguments } from "./argument-split.ts";
import type { CliContext } from "./cli-context.ts";
import { FAILED } from "./exit-code.ts";
import { managerFlags } from "./flags/manager-flags.ts";

/** What the shells' completion scripts call. */
const COMPLETE = "__complete";

/** Parse a command line and do what it says. The result is the exit code. */
export async function runCli(args: readonly string[], context: Omit<CliContext, "setExitCode">): Promise<number> {
  const { stdout, stderr } = context.process;
  const process: StricliProcess & CliContext["process"] = { stdout, stderr, env: context.environment };
  let exitCode: number | undefined;
  const setExitCode = (code: number) => {
    exitCode = code;
  };
  const whole = { ...context, process, setExitCode };
  if (args[0] === COMPLETE) {
    const [verb, partial = ""] = args.slice(1);
    // Where a route has a default command stricli proposes for that alone.
    const verbs = verb === "images" && args.length === 3 ? [...imageVerbs] : [];
    const found = await proposeCompletions(buildCli(), args.slice(1), whole);
    const words = [...verbs.filter((name) => name.startsWith(partial)), ...found.map(({ completion }) => completion)];
    for (const word of words) stdout.write(`${word}\n`);
    return 0;
  }
  await run(buildCli(), arrange(args), whole);
  return exitCode ?? (process.exitCode ? FAILED : 0); // stricli's own codes are for command lines that it cannot read
}

/** Flags before the verb go behind it, and what belongs to the container's command is fenced off. */
export function arrange(args: readonly string[]): string[] {
  const verbAt = firstPositional(args, flagShape(managerFlags, {}));
  if (verbAt === undefined) return [...args];
  const wordCount = args[verbAt] === "images" && imageVerbs.has(args[verbAt + 1] ?? "") ? 2 : 1;
  const words = args.slice(verbAt, verbAt + wordCount);
  const [verb = ""] = words;
  const rest = [...args.slice(0, verbAt), ...args.slice(verbAt + wordCount)];
  const known = Object.entries(verbsWithCommands).find(([name]) => name === verb)?.[1];
  return [...words, ...(known === undefined ? rest : splitArguments(rest, flagShape(known.flags, known.aliases)))];
}
