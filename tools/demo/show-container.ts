import type { ContainerRecord, FifoSet, Manager, Task } from "@trimaran/manager";
import { compareNamespaces, readNamespaces } from "./namespaces.ts";
import type { Printer } from "./print.ts";

const SIGTERM = 15;
/** Shows where it is, then stays for as long as its stdin is open, so that there is a process to look at. */
const EXEC_COMMAND = "echo host name $(hostname), processes:; ps; read line";

/** Run a container, exec into it, look at both, end it; print each step with its time. Cleans up whatever happens. */
export async function showContainer(
  manager: Manager,
  steps: Map<string, number>,
  rootfs: string,
  runtime: string,
  print: Printer,
): Promise<void> {
  const record = await manager.containers.create({
    id: "demo",
    runtime,
    image: rootfs,
    args: ["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"],
    options: { hostname: "demo" },
  });
  const took = (step: string) => steps.get(step) ?? 0;

  print.title("Start");
  const { task, pid } = await manager.tasks.create(record, await manager.containers.specText(record.id), {
    terminal: false,
    stdin: "",
    stdout: "",
    stderr: "",
  });
  let ended = false;
  try {
    print.step("bootstrap", took("bootstrap"), "the shim's `start` has answered with its address");
    print.step("create", took("create"), `namespaces, mounts, cgroup; init is pid ${pid} and waits`);
    const start = await timed(() => task.start());
    print.step("start", start.ms, "the gate is open, sh runs");
    await showExec(manager, record, task, pid, print);
    print.title("End");
    await end(task, took, print);
    ended = true;
  } finally {
    if (!ended) await forceEnd(task);
    await manager.containers.remove(record.id);
  }
}

/** The same again, without a look inside: what a container costs when the machine is warm. */
export async function showAgain(
  manager: Manager,
  steps: ReadonlyMap<string, number>,
  rootfs: string,
  runtime: string,
  print: Printer,
): Promise<void> {
  print.title("A second container, now that everything is warm");
  const record = await manager.containers.create({ id: "again", runtime, image: rootfs, args: ["true"], options: {} });
  const io = { terminal: false, stdin: "", stdout: "", stderr: "" };
  const all = await timed(async () => {
    const { task } = await manager.tasks.create(record, await manager.containers.specText(record.id), io);
    const exited = task.wait();
    const start = await timed(() => task.start());
    await exited;
    await task.delete();
    return start.ms;
  });
  await manager.containers.remove(record.id);
  const took = (step: string) => `${step} ${(steps.get(step) ?? 0).toFixed(1)}`;
  print.step(
    "total",
    all.ms,
    `${took("bootstrap")}, ${took("create")}, start ${all.value.toFixed(1)}, then exit and delete`,
  );
}

async function showExec(
  manager: Manager,
  record: ContainerRecord,
  task: Task,
  initPid: number,
  print: Printer,
): Promise<void> {
  print.title("Exec");
  await using stdio = await manager.openStdio({ terminal: false, stdin: true });
  const { process } = await manager.containers.spec(record.id);
  const output = collect(stdio);
  const exited = task.wait.bind(task, "look");
  const added = await timed(() => task.exec("look", { ...process, args: ["sh", "-c", EXEC_COMMAND] }, stdio.io));
  const started = await timed(() => task.start("look"));
  await stdio.release();
  print.step("exec", added.ms + started.ms, `pid ${started.value}: another process in the same namespaces`);
  const [host, init, exec] = await Promise.all([
    readNamespaces("self"),
    readNamespaces(initPid),
    readNamespaces(started.value),
  ]);
  stdio.stdin?.end("\n");
  const exit = await exited();
  await task.deleteExec("look");
  await stdio.ended();
  print.quote(output.text());
  if (exit.status !== 0) throw new Error(`the exec ended with ${exit.status}`);
  print.title("Namespaces (inode numbers): new for start, the same for exec");
  print.table(["", "host", "container init", "exec"], compareNamespaces(host, init, exec));
}

async function end(task: Task, took: (step: string) => number, print: Printer): Promise<void> {
  const exited = task.wait();
  const kill = await timed(async () => {
    await task.kill(SIGTERM);
    return exited;
  });
  print.step("kill", kill.ms, `SIGTERM, until its exit with status ${kill.value.status} was reported`);
  const deleted = await timed(() => task.delete());
  const shutdown = took("shutdown") + took("delete command");
  print.step("delete", deleted.ms - shutdown, "cgroup, mounts and state are gone");
  print.step("shutdown", shutdown, "the shim has ended, its `delete` command has found nothing left");
}

async function forceEnd(task: Task): Promise<void> {
  await task.kill(9, { all: true }).catch(() => {});
  await task.delete().catch(() => {});
}

async function timed<T>(work: () => Promise<T>): Promise<{ value: T; ms: number }> {
  const begun = performance.now();
  const value = await work();
  return { value, ms: performance.now() - begun };
}

function collect({ stdout, stderr }: FifoSet): { text(): string } {
  const chunks: Buffer[] = [];
  for (const stream of [stdout, stderr]) stream?.on("data", (chunk: Buffer) => chunks.push(chunk));
  return { text: () => Buffer.concat(chunks).toString("utf8") };
}
