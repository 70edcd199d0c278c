import { run } from "./process.ts";
import { trimaranShim } from "./shims.ts";

/**
 * Read the files of our task server once. In a guest they come over its share, and the first start of a server would wait for them longer than
 * the monitor waits for a server (10 s), if the machine below is busy.
 */
export async function warmUp(): Promise<void> {
  await run([trimaranShim(), "-info"], { timeoutMs: 60_000 });
}
