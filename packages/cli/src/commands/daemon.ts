import type { DaemonFlags } from "../cli-context.ts";
import { command } from "../report-error.ts";

/** `trimaran daemon`. */
export const daemon = command<DaemonFlags, []>("daemon", async (context, flags) => {
  const stop = Promise.withResolvers<NodeJS.Signals>();
  using _listening = context.signals.listen(["SIGTERM", "SIGINT"], stop.resolve);
  await using _daemon = await context.openDaemon(flags);
  await stop.promise;
  return 0;
});
