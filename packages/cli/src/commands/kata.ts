import { command } from "../report-error.ts";
import { runShimProgram } from "../shim-program.ts";

/** `trimaran kata …`: standard streams are ours; it says itself what went wrong. */
export const kata = command<Record<never, never>, string[]>(
  "kata",
  async (context, _flags, ...[args]) => (await runShimProgram(context, "trimaran-kata.js", args)).code,
);
