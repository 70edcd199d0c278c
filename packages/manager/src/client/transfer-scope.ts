import { holdLease } from "../transfer/own-lease.ts";
import { NO_PROGRESS, type ProgressListener } from "../transfer/progress.ts";
import type { TransferContext } from "../transfer/transfer-context.ts";
import type { ManagerClient } from "./manager-client.ts";

/** How a transfer is watched and ended. */
export interface TransferOptions {
  readonly progress?: ProgressListener | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Do a transfer under a lease of its own, so that nothing of it is collected before an image or a container names it. */
export async function inTransfer<T>(
  { services }: ManagerClient,
  { progress = NO_PROGRESS, signal = new AbortController().signal }: TransferOptions,
  work: (context: TransferContext) => Promise<T>,
): Promise<T> {
  await using lease = await holdLease(services, undefined);
  return await work({ services, lease: lease.id, signal, progress });
}

/** For looking at images: nothing is created, so no lease is needed. */
export function readingContext({ services }: ManagerClient): TransferContext {
  return { services, lease: "", signal: new AbortController().signal, progress: NO_PROGRESS };
}
