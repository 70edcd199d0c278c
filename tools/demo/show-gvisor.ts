import { text } from "node:stream/consumers";
import {
  type ClientContainer,
  type ClientTask,
  createContainer,
  createTask,
  execProcess,
  type ManagerClient,
  removeRecord,
} from "@trimaran/manager";
import type { Printer } from "./print.ts";

const RUNTIME = "io.containerd.trimaran-gvisor.v2";
const LOOK = "dmesg | head -n 3; cat /proc/version";
const EXEC = "echo from an exec:; cat /proc/version";
const NO_STDIN = { terminal: false, stdin: false };

/** The same image in a gVisor sandbox, through the other shim: what it takes for its kernel, in a container and in an exec. */
export async function showGvisor(
  client: ManagerClient,
  steps: ReadonlyMap<string, number>,
  rootfs: string,
  print: Printer,
): Promise<void> {
  print.title(`In a sandbox: ${RUNTIME}, by Debian's runsc`);
  const container = await createContainer(client, {
    id: "boxed",
    runtime: RUNTIME,
    source: rootfs,
    args: ["sh", "-c", `${LOOK}; trap 'exit 0' TERM; sleep 1000 & wait`],
    options: {},
    direct: false,
    ports: [],
    autoRemove: false,
    keepOutput: false,
    transfer: {},
  });
  await using stdio = await client.openStdio(NO_STDIN);
  const output = stdio.stdout ? text(stdio.stdout) : Promise.resolve("");
  const task = await createTask(client, container, stdio.io);
  const exited = task.wait();
  let ended = false;
  try {
    const begun = performance.now();
    await task.start();
    print.step("create", steps.get("create") ?? 0, "runsc has started a sandbox, with a kernel of its own");
    print.step("start", performance.now() - begun, "sh runs in it");
    await stdio.release();
    const fromExec = await execOutput(client, container, task);
    await task.kill(15);
    const { status } = await exited;
    await task.delete();
    await stdio.ended();
    ended = true;
    print.quote(`${await output}${fromExec}`);
    if (status !== 0) throw new Error(`the container ended with ${status}`);
  } finally {
    if (!ended) {
      await task.kill(9, { all: true }).catch(() => {});
      await task.delete().catch(() => {});
    }
    await removeRecord(client, container);
  }
}

async function execOutput(client: ManagerClient, container: ClientContainer, task: ClientTask): Promise<string> {
  await using stdio = await client.openStdio(NO_STDIN);
  const output = stdio.stdout ? text(stdio.stdout) : Promise.resolve("");
  const request = { args: ["sh", "-c", EXEC], terminal: false, env: [], cwd: undefined, user: undefined };
  await task.exec("look", await execProcess(client, container, request), stdio.io);
  const exited = task.wait("look");
  await task.start("look");
  await stdio.release();
  await exited;
  await task.deleteExec("look");
  await stdio.ended();
  return await output;
}
