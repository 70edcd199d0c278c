import { findContainer, requireTask } from "@trimaran/manager";
import type { ManagerFlags } from "../cli-context.ts";
import { forEachId } from "../each-container.ts";
import { command } from "../report-error.ts";

/** `trimaran resume`. */
export const resume = command<ManagerFlags, string[]>("resume", async (context, flags, ids) => {
  await using client = await context.openClient(flags, "write");
  return await forEachId(context, "resume", ids, async (idOrPrefix) => {
    const { id } = await findContainer(client, idOrPrefix);
    const task = await requireTask(client, id);
    await task.resume();
    return id;
  });
});
