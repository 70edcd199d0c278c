import { type ClientContainer, findContainer, stopContainer } from "@trimaran/manager";
import type { ManagerFlags } from "../cli-context.ts";
import { forEachId } from "../each-container.ts";
import { parseSignal } from "../flags/parse-signal.ts";
import { command } from "../report-error.ts";

export interface StopFlags extends ManagerFlags {
  /** Seconds until SIGKILL. */
  readonly time: number;
  readonly signal?: number;
}

/** What the image says, where it says something that we know. */
const STOP_SIGNAL_LABEL = "io.containerd.image.config.stop-signal";

/** `trimaran stop`. */
export const stop = command<StopFlags, string[]>("stop", async (context, flags, ids) => {
  await using client = await context.openClient(flags, "write");
  return await forEachId(context, "stop", ids, async (idOrPrefix) => {
    const container = await findContainer(client, idOrPrefix);
    await stopContainer(client, container, flags.signal ?? stopSignal(container), flags.time * 1000);
    return container.id;
  });
});

function stopSignal({ record }: ClientContainer): number {
  return parseSignal(record.labels[STOP_SIGNAL_LABEL] ?? "TERM");
}
