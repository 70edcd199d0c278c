import { setTimeout as delay } from "node:timers/promises";
import { ConnectionError, RegistryError, StallError } from "./registry-error.ts";

/** How often and how soon to try again. */
export interface RetryPolicy {
  /** Tries that may fail in a row without progress, 1 and more. */
  readonly attempts: number;
  /** Wait before the second try; it doubles with each one. */
  readonly backoffMs: number;
}

const TRANSIENT_ERRNO = new Set(["ECONNRESET", "EPIPE", "ETIMEDOUT", "EAI_AGAIN", "ENETRESET", "ECONNABORTED"]);
const WAIT_LIMIT_MS = 60_000;

/** Whether the same request may well succeed in a moment. A refused connection is not such a case: another mirror may do. */
export function isTransient(error: unknown): boolean {
  if (error instanceof StallError) return true;
  if (error instanceof RegistryError) return [408, 429, 500, 502, 503, 504].includes(error.status);
  return error instanceof ConnectionError && TRANSIENT_ERRNO.has(error.errno);
}

/** Wait before try number `failures` + 1: doubling, with up to a half more by chance, or what the registry asked for. */
export async function backOff(
  policy: RetryPolicy,
  failures: number,
  error: unknown,
  signal: AbortSignal,
): Promise<void> {
  const own = policy.backoffMs * 2 ** (failures - 1) * (1 + Math.random() / 2);
  const asked = error instanceof RegistryError ? (error.retryAfterMs ?? 0) : 0;
  await delay(Math.min(Math.max(own, asked), WAIT_LIMIT_MS), undefined, { signal });
}

/** Run `body` until it works, fails for good, or has failed too often; then the last error is thrown. */
export async function withRetries<T>(policy: RetryPolicy, signal: AbortSignal, body: () => Promise<T>): Promise<T> {
  for (let failures = 1; ; failures++) {
    try {
      return await body();
    } catch (error) {
      if (failures >= policy.attempts || !isTransient(error) || signal.aborted) throw error;
      await backOff(policy, failures, error, signal);
    }
  }
}
