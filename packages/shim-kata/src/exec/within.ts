import { Code, StatusError } from "ttrpc-ts";

/** What a promise gives. Rejects with Unavailable when it takes longer, and calls `onLate`. */
export async function within<T>(
  limitMs: number,
  promise: Promise<T>,
  onLate: () => void = () => undefined,
): Promise<T> {
  const late = Promise.withResolvers<never>();
  const fail = (): void => {
    late.reject(new StatusError(Code.Unavailable, "the guest does not answer"));
    onLate();
  };
  const timer = setTimeout(fail, limitMs);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
