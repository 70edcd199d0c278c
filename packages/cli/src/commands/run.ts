import {
  type ClientContainer,
  type ClientTask,
  Code,
  createContainer,
  createTask,
  deleteTask,
  type ManagerClient,
  ManagerError,
  removeRecord,
  type TaskIo,
} from "@trimaran/manager";
import { inSpan } from "@trimaran/manager/trace";
import { runAttached } from "../attach/attached-process.ts";
import { SignalForwarding } from "../attach/signal-forwarding.ts";
import type { CliContext } from "../cli-context.ts";
import { ExitError, startFailureCode } from "../exit-code.ts";
import type { RunFlags } from "../flags/run-flags.ts";
import { command } from "../report-error.ts";
import { withTrace } from "../trace/with-trace.ts";
import { toCreateRequest } from "./container-request.ts";

/** `trimaran run`. */
export const run = command<RunFlags, string[]>("run", (context, flags, [source = "", ...args]) =>
  withTrace(context, flags, `run ${source}`, () => runContainer(context, flags, source, args)),
);

async function runContainer(
  context: CliContext,
  flags: RunFlags,
  source: string,
  args: readonly string[],
): Promise<number> {
  if (flags.detach && (flags.interactive || flags.tty)) {
    throw new ManagerError(Code.InvalidArgument, "--detach: nobody would be at the other end of -i or -t");
  }
  await using client = await inSpan("open the manager", () => context.openClient(flags, "write"));
  const wanted = toCreateRequest(flags, context.environment, source, args);
  const container = await inSpan("create the container", () => createContainer(client, wanted));
  using signals = new SignalForwarding(context.signals); // from here on there is something to take back
  try {
    return flags.detach
      ? await runDetached(context, client, container)
      : await runHere(context, client, flags, container, signals);
  } catch (error) {
    // It never ran, so there is nothing to keep; unless its shim would not let go of it.
    await removeIfIdle(client, container);
    throw new ExitError(startFailureCode(error), error);
  }
}

async function runDetached(context: CliContext, client: ManagerClient, container: ClientContainer): Promise<number> {
  const log = `file://${container.logPath}`;
  const io: TaskIo = { terminal: false, stdin: "", stdout: log, stderr: log };
  const task = await createTask(client, container, io);
  try {
    await task.start();
  } catch (error) {
    await undoTask(client, task, container);
    throw error;
  }
  context.process.stdout.write(`${container.id}\n`);
  return 0;
}

async function runHere(
  context: CliContext,
  client: ManagerClient,
  flags: RunFlags,
  container: ClientContainer,
  signals: SignalForwarding,
): Promise<number> {
  await using stdio = await client.openStdio({ terminal: flags.tty, stdin: flags.interactive });
  const task = await createTask(client, container, stdio.io);
  try {
    const remove = () => deleteTask(client, task, container.network, !flags.rm);
    const exit = await runAttached(context, { client, task, execId: "", stdio, signals }, remove);
    if (flags.rm) await removeRecord(client, container);
    return exit.status;
  } catch (error) {
    await undoTask(client, task, container);
    throw error;
  }
}

async function undoTask(client: ManagerClient, task: ClientTask, container: ClientContainer): Promise<void> {
  await task.kill(9, { all: true }).catch(() => {});
  await deleteTask(client, task, container.network).catch(() => {}); // the first error is the one to tell
}

async function removeIfIdle(client: ManagerClient, container: ClientContainer): Promise<void> {
  const { ClientTask: Task } = await import("@trimaran/manager");
  if ((await new Task(client, container.id).status()) === undefined) await removeRecord(client, container);
}
