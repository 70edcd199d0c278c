import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import type { ClientTask, ExitRecord, FifoSet, ManagerClient } from "@trimaran/manager";
import type { CliContext } from "../cli-context.ts";
import { closeStdin } from "./close-stdin.ts";
import type { SignalForwarding } from "./signal-forwarding.ts";
import { followSize, makeTerminalRaw } from "./terminal.ts";

/** A process that is not started yet, with the streams it was created with. */
export interface AttachableProcess {
  readonly client: ManagerClient;
  readonly task: ClientTask;
  /** "" for the container's first process. */
  readonly execId: string;
  readonly stdio: FifoSet;
  readonly signals: SignalForwarding;
}

const SIGKILL = 9;
/** How long output may still come after the shim has said that all of it was copied. */
const LAST_OUTPUT_MS = 2000;

/**
 * Start a process and stay with it until it ends: streams, terminal, window size, signals. `remove` deletes the process at its
 * shim, which closes the streams there even if a background child still holds them. Throws what Start throws.
 */
export async function runAttached(
  context: CliContext,
  { client, task, execId, stdio, signals }: AttachableProcess,
  remove: () => Promise<unknown>,
): Promise<ExitRecord> {
  using cleanup = new DisposableStack();
  const exit = task.wait(execId);
  exit.catch(() => {}); // looked at below, unless Start fails first
  connectOutput(context, task, execId, stdio);
  if (stdio.io.terminal) cleanup.use(makeTerminalRaw(context, client));
  const pid = await task.start(execId);
  await stdio.release();
  signals.passTo(task, execId, pid);
  if (stdio.io.terminal) cleanup.use(await followSize(context, task, execId));
  if (stdio.stdin !== undefined) cleanup.use(connectInput(context, task, execId, stdio.stdin));
  const record = await exit;
  await remove();
  await Promise.race([stdio.ended(), timeout(LAST_OUTPUT_MS)]);
  return record;
}

/** If our own reader goes away, the process ends as it would at the end of a pipe. */
function connectOutput(context: CliContext, task: ClientTask, execId: string, { stdout, stderr }: FifoSet): void {
  const { process } = context;
  const stop = () => void task.kill(SIGKILL, { execId }).catch(() => {});
  process.stdout.once("error", () => {
    stdout.unpipe(process.stdout).resume();
    stop();
  });
  process.stderr.once("error", () => stderr?.unpipe(process.stderr).resume());
  stdout.pipe(process.stdout, { end: false });
  stderr?.pipe(process.stderr, { end: false });
}

/** Our stdin to the container's; its end is passed on by CloseIO. */
function connectInput(
  context: CliContext,
  task: ClientTask,
  execId: string,
  target: NonNullable<FifoSet["stdin"]>,
): Disposable {
  const { stdin } = context;
  target.on("error", () => stdin.unpipe(target)); // it has stopped reading
  stdin.pipe(target, { end: false });
  const over = new AbortController();
  const onEnd = async () => {
    target.end();
    await once(target, "finish");
    await closeStdin(task, execId, over.signal);
  };
  stdin.once("end", onEnd);
  return {
    [Symbol.dispose]: () => {
      over.abort();
      stdin.off("end", onEnd);
      stdin.unpipe(target);
      stdin.pause();
      stdin.unref?.();
    },
  };
}

function timeout(ms: number): Promise<void> {
  return setTimeout(ms, undefined, { ref: false });
}
