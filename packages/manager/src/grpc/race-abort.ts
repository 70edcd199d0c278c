import { Code, StatusError } from "../errors/manager-error.ts";

/** Why an aborted call is over: DeadlineExceeded if its time is, else Canceled. */
export function canceled(signal: AbortSignal): StatusError {
  const cause: unknown = signal.reason;
  if (cause instanceof StatusError) return cause;
  const late = cause instanceof Error && cause.name === "TimeoutError";
  return late
    ? new StatusError(Code.DeadlineExceeded, "context deadline exceeded", { cause })
    : new StatusError(Code.Canceled, "context canceled", { cause });
}

/** Settle like the promise, or fail with `canceled` as soon as the signal aborts. What the promise does later is ignored. */
export async function raceAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  promise.catch(() => {});
  // A promise of its own per race: one that lived as long as the signal would keep every race's memory until the end.
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(canceled(signal));
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
