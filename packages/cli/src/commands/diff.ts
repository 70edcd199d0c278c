import { findContainer } from "@trimaran/manager";
import { containerChanges } from "@trimaran/manager/changes";
import type { ManagerFlags } from "../cli-context.ts";
import { command } from "../report-error.ts";

export interface DiffFlags extends ManagerFlags {
  readonly json: boolean;
}

/** docker's letters. */
const LETTERS = { added: "A", "copied-up": "C", replaced: "C", deleted: "D" } as const;

/** `trimaran diff`. */
export const diff = command<DiffFlags, [string]>("diff", async (context, flags, [id]) => {
  await using client = await context.openClient(flags, "read");
  const container = await findContainer(client, id);
  for await (const change of containerChanges(client, container)) {
    const line = flags.json
      ? JSON.stringify(change)
      : `${LETTERS[change.kind]} ${change.path.replace(/\p{Cc}/gu, "?")}`;
    context.process.stdout.write(`${line}\n`);
  }
  return 0;
});
