import { Code, StatusError } from "ttrpc-ts";

/** What a promise gives. Rejects with Unavailable when it takes longer. */
export async function within<T>(limitMs: number, promise: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const fail = () => late.reject(new StatusError(Code.Unavailable, "the guest does not answer"));
  const timer = setTimeout(fail, limitMs);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
