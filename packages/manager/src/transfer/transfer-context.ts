import type { CallOptions } from "../grpc/service-client.ts";
import type { Services } from "../grpc/services.ts";
import type { ProgressListener } from "./progress.ts";

/** The services that images go in and out through; each is bound to one namespace. */
export type TransferServices = Pick<Services, "content" | "images" | "snapshots" | "diff" | "leases" | "namespaces">;

/** What every transfer works with. */
export interface TransferContext {
  readonly services: TransferServices;
  /** What the transfer creates or meets joins it, so that nothing is collected before an image names it. */
  readonly lease: string;
  readonly signal: AbortSignal;
  readonly progress: ProgressListener;
}

/** The options of each call that a transfer makes. */
export function callOptions({ lease, signal }: TransferContext): CallOptions {
  return { lease, signal };
}
