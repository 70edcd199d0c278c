import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { FAILED } from "../exit-code.ts";
import { command } from "../report-error.ts";

/**
 * `trimaran kata …`: a program of the shim's own, beside us. This command knows no shim's insides, and does not have to load them. Standard
 * streams are ours; it says itself what went wrong.
 */
export const kata = command<Record<never, never>, string[]>("kata", async (context, _flags, ...[args]) => {
  const program = join(dirname(context.binDirectory), "lib/trimaran/trimaran-kata.js");
  const child = spawn(context.nodeBinary, [program, ...args], { stdio: "inherit", env: context.environment });
  using _signals = context.signals.listen(["SIGINT", "SIGTERM"], (name) => child.kill(name));
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.on("error", reject).on("exit", (code) => resolve(code ?? FAILED));
  return await promise;
});
