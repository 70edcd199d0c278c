import { randomBytes } from "node:crypto";
import {
  type ClientTask,
  execProcess,
  findContainer,
  type ManagerClient,
  type OciProcess,
  requireTask,
} from "@trimaran/manager";
import { inSpan } from "@trimaran/manager/trace";
import { runAttached } from "../attach/attached-process.ts";
import { SignalForwarding } from "../attach/signal-forwarding.ts";
import type { CliContext, ManagerFlags } from "../cli-context.ts";
import { ExitError, startFailureCode } from "../exit-code.ts";
import { resolveEnv } from "../flags/run-flags.ts";
import { command } from "../report-error.ts";
import { type TraceFlags, withTrace } from "../trace/with-trace.ts";

export interface ExecFlags extends ManagerFlags, TraceFlags {
  readonly tty: boolean;
  readonly interactive: boolean;
  readonly detach: boolean;
  readonly env?: readonly string[];
  readonly user?: string;
  readonly cwd?: string;
}

const NO_IO = { stdin: "", stdout: "", stderr: "" } as const;

/** `trimaran exec`. */
export const exec = command<ExecFlags, string[]>("exec", (context, flags, [id = "", ...args]) =>
  withTrace(context, flags, `exec ${id}`, () => execIn(context, flags, id, args)),
);

async function execIn(context: CliContext, flags: ExecFlags, id: string, args: readonly string[]): Promise<number> {
  await using client = await inSpan("open the manager", () => context.openClient(flags, "write"));
  const container = await findContainer(client, id);
  const task = await requireTask(client, container.id);
  const process = await execProcess(client, container, {
    args,
    terminal: flags.tty,
    env: resolveEnv(flags.env ?? [], context.environment),
    cwd: flags.cwd,
    user: flags.user,
  });
  const execId = `exec-${randomBytes(6).toString("hex")}`;
  if (flags.detach) return await execDetached(task, execId, process);
  return await execHere(context, client, flags, task, execId, process);
}

async function execDetached(task: ClientTask, execId: string, process: OciProcess): Promise<number> {
  await task.exec(execId, process, { ...NO_IO, terminal: process.terminal });
  await startOrDelete(task, execId, () => task.start(execId));
  return 0;
}

async function execHere(
  context: CliContext,
  client: ManagerClient,
  flags: ExecFlags,
  task: ClientTask,
  execId: string,
  process: OciProcess,
): Promise<number> {
  using signals = new SignalForwarding(context.signals);
  await using stdio = await client.openStdio({ terminal: flags.tty, stdin: flags.interactive });
  await task.exec(execId, process, stdio.io);
  const attached = { client, task, execId, stdio, signals };
  const remove = () => task.deleteExec(execId).catch(() => {}); // the container may have ended with it
  return (await startOrDelete(task, execId, () => runAttached(context, attached, remove))).status;
}

async function startOrDelete<T>(task: ClientTask, execId: string, start: () => Promise<T>): Promise<T> {
  try {
    return await start();
  } catch (error) {
    await task.deleteExec(execId).catch(() => {});
    throw new ExitError(startFailureCode(error), error);
  }
}
