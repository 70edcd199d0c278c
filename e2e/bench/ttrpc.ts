import { join } from "node:path";
import { runOk } from "../harness/process.ts";

/** Rates of unary calls, from `packages/ttrpc-ts/bench/unary.ts --json`. */
export interface TtrpcRate {
  /** What ttrpc-ts is: server or client; the other side is Go's, and so is the rival. */
  readonly role: string;
  readonly inFlight: number;
  /** Calls per second. */
  readonly ours: number;
  readonly go: number;
  /** Median of the pairs' ratios. Above 1 ours is faster. */
  readonly ratio: number;
}

/** ttrpc-ts against Go's library, in turn. */
export async function compareTtrpc(): Promise<readonly TtrpcRate[]> {
  const program = join(import.meta.dirname, "../../packages/ttrpc-ts/bench/unary.ts");
  const stdout = await runOk([process.execPath, program, "--json", "--rounds", "5"], { timeoutMs: 300_000 });
  process.stderr.write("ttrpc\n");
  return JSON.parse(stdout) as TtrpcRate[];
}
