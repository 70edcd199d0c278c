import type { ManagerFlags } from "../cli-context.ts";
import { forEachTask } from "../each-container.ts";
import { command } from "../report-error.ts";

/** `trimaran resume`. */
export const resume = command<ManagerFlags, string[]>("resume", (context, flags, ids) =>
  forEachTask(context, flags, "resume", ids, (task) => task.resume()),
);
