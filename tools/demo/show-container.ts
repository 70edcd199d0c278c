import {
  type ClientContainer,
  type ClientTask,
  createContainer,
  createTask,
  execProcess,
  type FifoSet,
  type ManagerClient,
  removeRecord,
} from "@trimaran/manager";
import { compareNamespaces, readNamespaces } from "./namespaces.ts";
import { PLAIN } from "./plain.ts";
import type { Printer } from "./print.ts";

const SIGTERM = 15;
const NO_IO = { terminal: false, stdin: "", stdout: "", stderr: "" };
/** Shows where it is, then stays for as long as its stdin is open, so that there is a process to look at. */
const EXEC_COMMAND = "echo host name $(hostname), processes:; ps; read line";

/** Run a container, exec into it, look at both, end it; print each step with its time. Cleans up whatever happens. */
export async function showContainer(
  client: ManagerClient,
  steps: Map<string, number>,
  rootfs: string,
  runtime: string,
  print: Printer,
): Promise<void> {
  const container = await createContainer(client, {
    ...PLAIN,
    id: "demo",
    runtime,
    source: rootfs,
    args: ["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"],
    options: { hostname: "demo" },
  });
  const took = (step: string) => steps.get(step) ?? 0;

  print.title("Start");
  const task = await createTask(client, container, NO_IO);
  const pid = (await task.status())?.pid ?? 0;
  let ended = false;
  try {
    print.step("bootstrap", took("bootstrap"), "the shim's `start` has answered with its address");
    print.step("create", took("create"), `namespaces, mounts, cgroup; init is pid ${pid} and waits`);
    const start = await timed(() => task.start());
    print.step("start", start.ms, "the gate is open, sh runs");
    await showExec(client, container, task, pid, print);
    print.title("End");
    await end(task, took, print);
    ended = true;
  } finally {
    if (!ended) await forceEnd(task);
    await removeRecord(client, container);
  }
}

/** The same again, without a look inside: what a container costs when the machine is warm. */
export async function showAgain(
  client: ManagerClient,
  steps: ReadonlyMap<string, number>,
  rootfs: string,
  runtime: string,
  print: Printer,
): Promise<void> {
  print.title("A second container, now that everything is warm");
  const container = await createContainer(client, {
    ...PLAIN,
    id: "again",
    runtime,
    source: rootfs,
    args: ["true"],
    options: {},
  });
  const all = await timed(async () => {
    const task = await createTask(client, container, NO_IO);
    const exited = task.wait();
    const start = await timed(() => task.start());
    await exited;
    await task.delete();
    return start.ms;
  });
  await removeRecord(client, container);
  const took = (step: string) => `${step} ${(steps.get(step) ?? 0).toFixed(1)}`;
  print.step(
    "total",
    all.ms,
    `${took("bootstrap")}, ${took("create")}, start ${all.value.toFixed(1)}, then exit and delete`,
  );
}

async function showExec(
  client: ManagerClient,
  container: ClientContainer,
  task: ClientTask,
  initPid: number,
  print: Printer,
): Promise<void> {
  print.title("Exec");
  await using stdio = await client.openStdio({ terminal: false, stdin: true });
  const request = { args: ["sh", "-c", EXEC_COMMAND], terminal: false, env: [], cwd: undefined, user: undefined };
  const process = await execProcess(client, container, request);
  const output = collect(stdio);
  const exited = task.wait.bind(task, "look");
  const added = await timed(() => task.exec("look", process, stdio.io));
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

async function end(task: ClientTask, took: (step: string) => number, print: Printer): Promise<void> {
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

async function forceEnd(task: ClientTask): Promise<void> {
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
