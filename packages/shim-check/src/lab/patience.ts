import { setTimeout as delay } from "node:timers/promises";
import { Finding } from "./finding.ts";

const STEP_MS = 20;

/** Ask until the answer is not undefined; a Finding with `came` if it still is after `limitMs`. */
export async function until<T>(
  expected: string,
  ask: () => T | undefined | Promise<T | undefined>,
  limitMs: number,
  came: () => string = () => "not so",
): Promise<T> {
  const end = performance.now() + limitMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > end) throw new Finding(`${expected}, within ${limitMs} ms`, came());
    await delay(STEP_MS);
  }
}

/** What a promise gives, or a Finding if it takes longer than `limitMs`. */
export async function within<T>(expected: string, promise: Promise<T>, limitMs: number): Promise<T> {
  const timer = new AbortController();
  const late = delay(limitMs, undefined, { signal: timer.signal }).then(() => {
    throw new Finding(`${expected}, within ${limitMs} ms`, "nothing");
  });
  late.catch(() => undefined);
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer.abort();
    promise.catch(() => undefined);
  }
}
