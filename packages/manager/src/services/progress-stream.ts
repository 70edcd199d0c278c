import { setTimeout as delay } from "node:timers/promises";
import { containerd } from "@trimaran/proto";
import { toWire } from "../transfer/descriptor.ts";
import type { ProgressEvent, ProgressListener } from "../transfer/progress.ts";
import type { MessageStream } from "./message-stream.ts";

const { Progress } = containerd.types.transfer;
const TYPE = "containerd.types.transfer.Progress";
/** A client that does not read what it asked for misses some of it, but does not hold up the transfer. */
const PENDING_LIMIT = 8;
const FLUSH_MS = 1_000;

/** Progress as messages on a client's stream. It only feeds a display: what the client does not take in time is left out. */
export function progressTo(stream: MessageStream): ProgressListener {
  return async (event) => {
    if (stream.pending < PENDING_LIMIT) await stream.send(TYPE, encode(event));
  };
}

/** Close it, but do not wait for ever: nobody needs progress after the end. */
export async function closeProgress(stream: MessageStream): Promise<void> {
  const late = new AbortController();
  await Promise.race([stream.close(), delay(FLUSH_MS, undefined, { signal: late.signal }).catch(() => {})]);
  late.abort();
}

function encode({ event, name = "", parents = [], descriptor, doneBytes = 0, totalBytes = 0 }: ProgressEvent): Buffer {
  const desc = descriptor === undefined ? undefined : toWire(descriptor);
  return Progress.encode({ event, name, parents, progress: doneBytes, total: totalBytes, desc });
}
