import type { ContainerProcess } from "../host/container-process.ts";
import { unreadProgram } from "./connect.ts";
import { hasReader, type StdioUris } from "./uris.ts";

/** A client that is gone, or stuck, delays the news of an exit by this much, once. */
const LIMIT_MS = 250;
const UNREAD = unreadProgram();

/**
 * Wait until the client has read what a process wrote before it ended, within the bound; what its children write later does not count.
 * ctr closes its FIFOs as soon as it hears of the exit, read or not: on a busy machine we can be quicker with the news than it is with
 * opening them. Upstream is too slow to need this.
 */
export async function consumed(process: ContainerProcess, stdio: StdioUris): Promise<void> {
  if (!hasReader(stdio)) return;
  const until = performance.now() + LIMIT_MS;
  for (let pauseMs = 1; performance.now() < until; pauseMs *= 2) {
    const { errno, value } = await process.run(UNREAD).catch(() => ({ errno: 0, value: 0n })); // the monitor is gone
    if (errno !== 0 || value === 0n) return;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}
