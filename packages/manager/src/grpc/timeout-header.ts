import { Code, StatusError } from "../errors/manager-error.ts";

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };
/** What Node's timers can do; 24 days. */
const MAX_MS = 2 ** 31 - 1;

/**
 * The `grpc-timeout` header in milliseconds, rounded up; undefined for none, and for more than 24 days. Throws InvalidArgument.
 * Source: gRPC over HTTP/2, "Timeout".
 */
export function parseTimeoutMs(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(header) ?? [];
  const factor = UNIT_MS[unit ?? ""];
  if (digits === undefined || factor === undefined) {
    throw new StatusError(Code.InvalidArgument, `grpc-timeout ${JSON.stringify(header)}: not a timeout`);
  }
  const timeoutMs = Math.ceil(Number(digits) * factor);
  return timeoutMs > MAX_MS ? undefined : timeoutMs;
}

/** The `grpc-timeout` header for milliseconds: at most eight digits, so long times are in seconds. */
export function formatTimeout(timeoutMs: number): string {
  return timeoutMs < 1e8 ? `${Math.ceil(timeoutMs)}m` : `${Math.ceil(timeoutMs / 1000)}S`;
}
