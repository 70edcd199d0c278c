import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import type { CliContext } from "./cli-context.ts";
import { FAILED } from "./exit-code.ts";

/** How a shim's own program ended. */
export interface ShimProgramEnd {
  readonly code: number;
  /** What it wrote, where it was caught. */
  readonly stdout: string;
}

/**
 * Run a program of a shim's, which lies beside us: this command knows no shim's insides, and does not have to load them. `input`: its stdin,
 * default ours. Its stderr is ours, and so is its stdout unless `catches` is set. Signals are passed on.
 */
export async function runShimProgram(
  context: CliContext,
  name: string,
  args: readonly string[],
  { input, catches = false }: { readonly input?: string; readonly catches?: boolean } = {},
): Promise<ShimProgramEnd> {
  const program = join(dirname(context.binDirectory), "lib/trimaran", name);
  const stdio = [input === undefined ? "inherit" : "pipe", catches ? "pipe" : "inherit", "inherit"] as const;
  const child = spawn(context.nodeBinary, [program, ...args], { stdio: [...stdio], env: context.environment });
  using _signals = context.signals.listen(["SIGINT", "SIGTERM"], (signal) => child.kill(signal));
  const chunks: Buffer[] = [];
  child.stdout?.on("data", (chunk: Buffer) => chunks.push(chunk));
  child.stdin?.on("error", () => {}).end(input); // it may have failed before it has read all
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.on("error", reject).on("close", (code) => resolve(code ?? FAILED));
  return { code: await promise, stdout: Buffer.concat(chunks).toString("utf8") };
}
