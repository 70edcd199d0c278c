import { Code, hasCode } from "../errors/manager-error.ts";
import type { TransferServices } from "./transfer-context.ts";

const LIFETIME_MS = 24 * 3600 * 1000;

/** A lease for one transfer. */
export interface HeldLease extends AsyncDisposable {
  readonly id: string;
}

/**
 * The lease that a transfer works under: the caller's, which stays, or one of our own until the result is disposed. Ours expires
 * after a day, should we be killed.
 */
export async function holdLease(services: TransferServices, callers: string | undefined): Promise<HeldLease> {
  if (callers !== undefined && callers !== "") return { id: callers, [Symbol.asyncDispose]: async () => {} };
  const labels = { "containerd.io/gc.expire": new Date(Date.now() + LIFETIME_MS).toISOString() };
  const { lease } = await services.leases.create({ labels });
  const id = lease?.id ?? "";
  return {
    id,
    [Symbol.asyncDispose]: async () => {
      await services.leases.delete({ id }).catch((error: unknown) => {
        if (!hasCode(error, Code.NotFound)) throw error;
      });
    },
  };
}
