import { COMPLETION_SCRIPTS, type Shell } from "../completion/scripts.ts";
import { command } from "../report-error.ts";

/** `trimaran completion`. */
export const completion = command<Record<string, never>, [Shell]>("completion", async (context, _flags, [shell]) => {
  context.process.stdout.write(COMPLETION_SCRIPTS[shell]);
  return 0;
});
