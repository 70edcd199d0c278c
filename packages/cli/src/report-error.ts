import { ManagerError, messageOf, StatusError } from "@trimaran/manager";
import type { CliContext } from "./cli-context.ts";
import { ExitError, FAILED } from "./exit-code.ts";

/** A command's work; what it returns is the exit code, nothing is 0. */
export type Action<Flags, Args extends readonly string[]> = (
  context: CliContext,
  flags: Flags,
  args: Args,
) => Promise<number | undefined>;

/** Wrap a command for stricli: its errors become one sentence on stderr and an exit code. */
export function command<Flags, Args extends readonly string[]>(verb: string, action: Action<Flags, Args>) {
  return async function (this: CliContext, flags: Flags, ...args: Args): Promise<void> {
    try {
      this.setExitCode((await action(this, flags, args)) ?? 0);
    } catch (error) {
      this.process.stderr.write(`${describeError(verb, error)}\n`);
      this.setExitCode(error instanceof ExitError ? error.exitCode : FAILED);
    }
  };
}

/** `trimaran: VERB: SENTENCE`, and the next command to type, if there is one. A bug of ours shows its stack. */
export function describeError(verb: string, error: unknown): string {
  const cause = error instanceof ExitError ? error.cause : error;
  const known = cause instanceof StatusError || cause instanceof RangeError || hasErrno(cause);
  const text = known || !(cause instanceof Error) ? oneLine(messageOf(cause)) : (cause.stack ?? cause.message);
  const hint = cause instanceof ManagerError && cause.hint !== undefined ? `\n  try: ${cause.hint}` : "";
  return `trimaran: ${verb}: ${text}${hint}`;
}

function hasErrno(error: unknown): boolean {
  return error instanceof Error && "code" in error;
}

/** A newline in a name must not forge a line. */
function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, "; ");
}
