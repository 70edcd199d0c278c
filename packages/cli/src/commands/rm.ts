import { removeContainer } from "@trimaran/manager";
import type { ManagerFlags } from "../cli-context.ts";
import { forEachId } from "../each-container.ts";
import { command } from "../report-error.ts";

export interface RmFlags extends ManagerFlags {
  readonly force: boolean;
}

/** `trimaran rm`. */
export const rm = command<RmFlags, string[]>("rm", async (context, flags, ids) => {
  await using manager = context.openManager(flags);
  return forEachId(context, "rm", ids, async (id) => {
    const record = await manager.containers.get(id);
    await removeContainer(manager.containers, manager.tasks, record, flags.force);
    return record.id;
  });
});
