import { Code, type ContainerRecord, hasCode, type Manager, ManagerError, type TaskIo } from "@trimaran/manager";
import { runAttached } from "../attach/attached-process.ts";
import { SignalForwarding } from "../attach/signal-forwarding.ts";
import type { CliContext } from "../cli-context.ts";
import { ExitError, startFailureCode } from "../exit-code.ts";
import { type RunFlags, resolveEnv } from "../flags/run-flags.ts";
import { command } from "../report-error.ts";

/** `trimaran run`. */
export const run = command<RunFlags, string[]>("run", async (context, flags, [image = "", ...args]) => {
  if (flags.detach && (flags.interactive || flags.tty)) {
    throw new ManagerError(Code.InvalidArgument, "--detach: nobody would be at the other end of -i or -t");
  }
  await using manager = context.openManager(flags);
  const record = await createContainer(context, manager, flags, image, args);
  using signals = new SignalForwarding(context.signals); // from here on there is something to take back
  try {
    return flags.detach
      ? await runDetached(context, manager, record)
      : await runHere(context, manager, flags, record, signals);
  } catch (error) {
    // It never ran, so there is nothing to keep; unless its shim would not let go of it.
    if ((await manager.tasks.get(record)) === undefined) await manager.containers.remove(record.id);
    throw new ExitError(startFailureCode(error), error);
  }
});

function createContainer(
  { environment }: CliContext,
  manager: Manager,
  flags: RunFlags,
  image: string,
  args: readonly string[],
): Promise<ContainerRecord> {
  return manager.containers.create({
    id: flags.name,
    runtime: flags.runtime,
    image,
    direct: flags.rootfsRw,
    args,
    autoRemove: flags.rm,
    options: {
      terminal: flags.tty,
      env: resolveEnv(flags.env ?? [], environment),
      mounts: flags.mount,
      memoryLimitBytes: flags.memory,
      cpus: flags.cpus,
      pidsLimit: flags.pidsLimit,
      user: flags.user,
      cwd: flags.cwd,
      hostname: flags.hostname,
      hostNetwork: flags.netHost,
      readOnly: flags.readOnly,
      privileged: flags.privileged,
      capAdd: flags.capAdd,
      capDrop: flags.capDrop,
    },
  });
}

async function runDetached(context: CliContext, manager: Manager, record: ContainerRecord): Promise<number> {
  const log = `file://${manager.containers.logPath(record.id)}`;
  const io: TaskIo = { terminal: false, stdin: "", stdout: log, stderr: log };
  const { task } = await manager.tasks.create(record, await manager.containers.specText(record.id), io);
  try {
    await task.start();
  } catch (error) {
    await task.delete().catch(() => {});
    throw error;
  }
  task.disconnect();
  context.process.stdout.write(`${record.id}\n`);
  return 0;
}

async function runHere(
  context: CliContext,
  manager: Manager,
  flags: RunFlags,
  record: ContainerRecord,
  signals: SignalForwarding,
): Promise<number> {
  await using stdio = await manager.openStdio({ terminal: flags.tty, stdin: flags.interactive });
  const { task } = await manager.tasks.create(record, await manager.containers.specText(record.id), stdio.io);
  try {
    const exit = await runAttached(context, { manager, task, execId: "", stdio, signals }, () => task.delete());
    if (flags.rm) await manager.containers.remove(record.id);
    return exit.status;
  } catch (error) {
    await task.kill(9, { all: true }).catch(() => {});
    await task.delete().catch(ignoreNotFound);
    throw error;
  }
}

function ignoreNotFound(error: unknown): void {
  if (!hasCode(error, Code.NotFound)) throw error;
}
