import { resolve } from "node:path";
import type { Command, Context } from "../context.ts";
import { type Flags, UsageError } from "../flags.ts";
import { type MakeOptions, makeContainer } from "../make.ts";
import { PassingMonitor } from "../passing-monitor.ts";

/** Make a container that waits for `start`. Its init is nobody's child when this returns, so the caller's subreaper may wait for it. */
export const create: Command = async (context, flags, words) => {
  const options = toMakeOptions(context, flags, words, true);
  await using monitor = await PassingMonitor.open(context.kernel.tools.native, context.monitorProgram);
  const { init } = await makeContainer(context, monitor, options);
  init.openGate(); // from here on the FIFO is what it waits for
  return 0;
};

/** What `create` and `run` share. Throws UsageError. */
export function toMakeOptions(
  { cwd }: Context,
  flags: Flags,
  words: readonly string[],
  detached: boolean,
): MakeOptions {
  if (flags.has("no-pivot"))
    throw new UsageError("--no-pivot: not supported: the root is always changed by pivot_root");
  const consoleSocket = flags.text("console-socket");
  const pidFile = flags.text("pid-file");
  return {
    id: onlyId(words),
    bundle: resolve(cwd, flags.text("bundle") ?? "."),
    consoleSocket: consoleSocket === undefined ? undefined : resolve(cwd, consoleSocket),
    pidFile: pidFile === undefined ? undefined : resolve(cwd, pidFile),
    preserve: flags.integer("preserve-fds") ?? 0,
    newKeyring: !flags.has("no-new-keyring"),
    detached,
  };
}

/** The one argument of most commands. Throws UsageError. */
export function onlyId(words: readonly string[], most = 1): string {
  const [id] = words;
  if (id === undefined) throw new UsageError("a container's id is needed");
  if (words.length > most) throw new UsageError(`unexpected argument ${JSON.stringify(words[most])}`);
  return id;
}
