import { randomBytes } from "node:crypto";
import {
  type ContainerRecord,
  type Manager,
  mergeEnv,
  type OciProcess,
  requireTask,
  type Task,
} from "@trimaran/manager";
import { runAttached } from "../attach/attached-process.ts";
import { SignalForwarding } from "../attach/signal-forwarding.ts";
import type { CliContext, ManagerFlags } from "../cli-context.ts";
import { ExitError, startFailureCode } from "../exit-code.ts";
import { resolveEnv } from "../flags/run-flags.ts";
import { command } from "../report-error.ts";

export interface ExecFlags extends ManagerFlags {
  readonly tty: boolean;
  readonly interactive: boolean;
  readonly detach: boolean;
  readonly env?: readonly string[];
  readonly user?: string;
  readonly cwd?: string;
}

const NO_IO = { stdin: "", stdout: "", stderr: "" } as const;

/** `trimaran exec`. */
export const exec = command<ExecFlags, string[]>("exec", async (context, flags, [id = "", ...args]) => {
  await using manager = context.openManager(flags);
  const record = await manager.containers.get(id);
  const task = requireTask(record.id, await manager.tasks.get(record));
  try {
    const process = await execProcess(context, manager, record, flags, args);
    const execId = `exec-${randomBytes(6).toString("hex")}`;
    if (flags.detach) return await execDetached(task, execId, process);
    return await execHere(context, manager, flags, task, execId, process);
  } finally {
    task.disconnect();
  }
});

/** The container's own process, with what is asked for changed: same capabilities, limits and environment. */
async function execProcess(
  { environment }: CliContext,
  manager: Manager,
  record: ContainerRecord,
  flags: ExecFlags,
  args: readonly string[],
): Promise<OciProcess> {
  const { process } = await manager.containers.spec(record.id);
  return {
    ...process,
    args: [...args],
    terminal: flags.tty,
    env: mergeEnv(process.env, flags.tty ? ["TERM=xterm"] : [], resolveEnv(flags.env ?? [], environment)),
    cwd: flags.cwd ?? process.cwd,
    user: flags.user === undefined ? process.user : await manager.containers.lookupUser(record, flags.user),
  };
}

async function execDetached(task: Task, execId: string, process: OciProcess): Promise<number> {
  await task.exec(execId, process, { ...NO_IO, terminal: process.terminal });
  await startOrDelete(task, execId, () => task.start(execId));
  return 0;
}

async function execHere(
  context: CliContext,
  manager: Manager,
  flags: ExecFlags,
  task: Task,
  execId: string,
  process: OciProcess,
): Promise<number> {
  using signals = new SignalForwarding(context.signals);
  await using stdio = await manager.openStdio({ terminal: flags.tty, stdin: flags.interactive });
  await task.exec(execId, process, stdio.io);
  const attached = { manager, task, execId, stdio, signals };
  const remove = () => task.deleteExec(execId).catch(() => {}); // the container may have ended with it
  return (await startOrDelete(task, execId, () => runAttached(context, attached, remove))).status;
}

async function startOrDelete<T>(task: Task, execId: string, start: () => Promise<T>): Promise<T> {
  try {
    return await start();
  } catch (error) {
    await task.deleteExec(execId).catch(() => {});
    throw new ExitError(startFailureCode(error), error);
  }
}
