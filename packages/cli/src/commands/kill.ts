import { findContainer, requireTask } from "@trimaran/manager";
import type { ManagerFlags } from "../cli-context.ts";
import { forEachId } from "../each-container.ts";
import { command } from "../report-error.ts";

export interface KillFlags extends ManagerFlags {
  readonly signal: number;
  readonly all: boolean;
}

/** `trimaran kill`. */
export const kill = command<KillFlags, string[]>("kill", async (context, flags, ids) => {
  await using client = await context.openClient(flags, "write");
  return await forEachId(context, "kill", ids, async (idOrPrefix) => {
    const { id } = await findContainer(client, idOrPrefix);
    const task = await requireTask(client, id);
    await task.kill(flags.signal, { all: flags.all });
    return id;
  });
});
