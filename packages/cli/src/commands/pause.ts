import type { ManagerFlags } from "../cli-context.ts";
import { forEachTask } from "../each-container.ts";
import { command } from "../report-error.ts";

/** `trimaran pause`. */
export const pause = command<ManagerFlags, string[]>("pause", (context, flags, ids) =>
  forEachTask(context, flags, "pause", ids, (task) => task.pause()),
);
