import { findContainer, removeContainer } from "@trimaran/manager";
import type { ManagerFlags } from "../cli-context.ts";
import { forEachId } from "../each-container.ts";
import { command } from "../report-error.ts";

export interface RmFlags extends ManagerFlags {
  readonly force: boolean;
}

/** `trimaran rm`. */
export const rm = command<RmFlags, string[]>("rm", async (context, flags, ids) => {
  await using client = await context.openClient(flags, "write");
  return await forEachId(context, "rm", ids, async (id) => {
    const container = await findContainer(client, id);
    await removeContainer(client, container, flags.force);
    return container.id;
  });
});
