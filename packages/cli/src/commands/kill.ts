import { requireTask } from "@trimaran/manager";
import type { ManagerFlags } from "../cli-context.ts";
import { forEachId } from "../each-container.ts";
import { command } from "../report-error.ts";

export interface KillFlags extends ManagerFlags {
  readonly signal: number;
  readonly all: boolean;
}

/** `trimaran kill`. */
export const kill = command<KillFlags, string[]>("kill", async (context, flags, ids) => {
  await using manager = context.openManager(flags);
  return forEachId(context, "kill", ids, async (id) => {
    const record = await manager.containers.get(id);
    const task = requireTask(record.id, await manager.tasks.get(record));
    try {
      await task.kill(flags.signal, { all: flags.all });
      return record.id;
    } finally {
      task.disconnect();
    }
  });
});
