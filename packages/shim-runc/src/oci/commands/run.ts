import type { Command } from "../context.ts";
import { attend } from "../foreground.ts";
import { makeContainer } from "../make.ts";
import { PassingMonitor } from "../passing-monitor.ts";
import { toMakeOptions } from "./create.ts";
import { removeIfThere } from "./delete.ts";
import { runPoststart, start } from "./start.ts";

/** create and start; without --detach also wait, hand the exit code on, and delete. */
export const run: Command = async (context, flags, words) => {
  const detached = flags.has("detach");
  const options = toMakeOptions(context, flags, words, detached);
  await using monitor = await PassingMonitor.open(context.kernel.tools.native, context.monitorProgram);
  const { init, record, spec } = await makeContainer(context, monitor, options);
  if (detached) {
    init.openGate();
    await monitor[Symbol.asyncDispose]();
    return await start(context, flags, [options.id]);
  }
  try {
    if (spec.process === undefined) throw new Error("cannot start a container without a process in its config");
    init.openGate();
    await init.execed();
    await runPoststart(context, record, spec); // `delete --force` may have taken the record away
    return await attend(init, spec.process.terminal && options.consoleSocket === undefined ? init : undefined);
  } finally {
    if (!flags.has("keep")) await removeIfThere(context, options.id);
  }
};
