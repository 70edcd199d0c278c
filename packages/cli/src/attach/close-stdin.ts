import { setTimeout } from "node:timers/promises";
import type { ClientTask } from "@trimaran/manager";

/** upstream's shim was seen to lose a CloseIO on a busy machine, and the process then waits for ever: it is said again, to no harm. */
const CLOSE_AGAIN_MS = [100, 500, 2000, 5000] as const;

/** Tell the shim that no more input will come, until `over` aborts: when the process has ended there is nothing to close. */
export async function closeStdin(
  task: Pick<ClientTask, "closeStdin">,
  execId: string,
  over: AbortSignal,
): Promise<void> {
  for (const pauseMs of CLOSE_AGAIN_MS) {
    if (over.aborted) return;
    await task.closeStdin(execId).catch(() => {}); // gone already
    await setTimeout(pauseMs, undefined, { ref: false });
  }
}
