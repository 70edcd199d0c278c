import { watchEvents } from "@trimaran/manager/watch";
import type { ManagerFlags } from "../cli-context.ts";
import { plainNumbers } from "../format/write-list.ts";
import { command } from "../report-error.ts";

export interface EventsFlags extends ManagerFlags {
  readonly json: boolean;
  readonly filter?: readonly string[];
}

/** `trimaran events`, until SIGINT. */
export const events = command<EventsFlags, []>("events", async (context, flags) => {
  await using client = await context.openClient(flags, "read");
  const stop = new AbortController();
  using _listening = context.signals.listen(["SIGINT", "SIGTERM"], () => stop.abort());
  for await (const event of watchEvents(client, flags.filter ?? [], stop.signal)) {
    const message = JSON.stringify(event.event ?? {}, plainNumbers);
    const text = flags.json
      ? JSON.stringify(event, plainNumbers)
      : `${event.time} ${event.namespace} ${event.topic} ${message}`;
    context.process.stdout.write(`${text}\n`);
  }
  return 0;
});
