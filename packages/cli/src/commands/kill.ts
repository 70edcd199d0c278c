import type { ManagerFlags } from "../cli-context.ts";
import { forEachTask } from "../each-container.ts";
import { command } from "../report-error.ts";

export interface KillFlags extends ManagerFlags {
  readonly signal: number;
  readonly all: boolean;
}

/** `trimaran kill`. */
export const kill = command<KillFlags, string[]>("kill", (context, flags, ids) =>
  forEachTask(context, flags, "kill", ids, (task) => task.kill(flags.signal, { all: flags.all })),
);
