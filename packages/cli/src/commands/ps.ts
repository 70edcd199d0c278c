import { type ContainerSummary, listContainers } from "@trimaran/manager";
import type { ManagerFlags } from "../cli-context.ts";
import { command } from "../report-error.ts";
import { table } from "../table.ts";

export interface PsFlags extends ManagerFlags {
  readonly all: boolean;
  readonly quiet: boolean;
  readonly json: boolean;
}

/** `trimaran ps`. */
export const ps = command<PsFlags, []>("ps", async (context, flags) => {
  await using manager = context.openManager(flags);
  const containers = await listContainers(manager.containers, manager.tasks);
  const shown = containers.filter(({ state }) => flags.all || (state !== "stopped" && state !== "new"));
  const { stdout, stderr } = context.process;
  if (flags.json) for (const summary of shown) stdout.write(`${JSON.stringify(toJson(summary))}\n`);
  else if (flags.quiet) for (const { record } of shown) stdout.write(`${record.id}\n`);
  else stdout.write(table(["ID", "STATE", "PID", "RUNTIME", "IMAGE", "COMMAND"], shown.map(toRow)));
  const hidden = containers.length - shown.length;
  if (shown.length === 0 && hidden > 0 && !flags.quiet && !flags.json) {
    stderr.write(
      `${hidden} that ${hidden === 1 ? "is" : "are"} not running in namespace ${manager.namespace}: trimaran ps -a\n`,
    );
  }
  return 0;
});

function toRow({ record, state, pid, exitStatus }: ContainerSummary): string[] {
  const shown = exitStatus === undefined ? state : `exited (${exitStatus})`;
  return [record.id, shown, pid === undefined ? "-" : String(pid), record.runtime, record.image, record.args.join(" ")];
}

/** Keys that are always there, and `pid` and `exitStatus` where there is one. */
function toJson({ record, state, pid, exitStatus }: ContainerSummary) {
  const { id, runtime, image, args, createdAt } = record;
  return { id, runtime, state, pid, exitStatus, image, command: args, createdAt };
}
