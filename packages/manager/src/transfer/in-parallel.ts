import { eachLimited } from "../host/each-limited.ts";
import type { TransferContext } from "./transfer-context.ts";

/** As many at a time as containerd has by default. */
const PARALLEL = 3;

/** Do the work for each item, three at a time; the first failure ends the others' work, and is thrown when all have ended. */
export async function inParallel<T>(
  context: TransferContext,
  items: readonly T[],
  work: (context: TransferContext, item: T) => Promise<void>,
): Promise<void> {
  const failure = new AbortController();
  const shared = { ...context, signal: AbortSignal.any([context.signal, failure.signal]) };
  const errors: unknown[] = [];
  await eachLimited(PARALLEL, items, async (item) => {
    if (errors.length > 0) return;
    try {
      await work(shared, item);
    } catch (error) {
      errors.push(error);
      failure.abort();
    }
  });
  if (errors.length > 0) throw errors[0];
}
