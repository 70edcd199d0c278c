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
import { PLAIN } from "./plain.ts";

const NO_STDIN = { terminal: false, stdin: false };
const SIGTERM = 15;
const SIGKILL = 9;

/** A container to look into. */
export interface Look {
  readonly id: string;
  readonly runtime: string;
  readonly rootfs: string;
  /** What its shell runs first. */
  readonly script: string;
  /** What an exec's shell runs in it. */
  readonly exec: string;
  /** Told when it runs. Milliseconds. */
  readonly started: (startMs: number) => void;
}

/** What it said. */
export interface Seen {
  readonly output: string;
  readonly fromExec: string;
  readonly execMs: number;
}

/** Run a container, exec into it, end it with SIGTERM. Cleans up whatever happens. */
export async function runAndLook(client: ManagerClient, look: Look): Promise<Seen> {
  const container = await createContainer(client, {
    ...PLAIN,
    id: look.id,
    runtime: look.runtime,
    source: look.rootfs,
    args: ["sh", "-c", `${look.script}; trap 'exit 0' TERM; sleep 1000 & wait`],
    options: {},
  });
  try {
    await using stdio = await client.openStdio(NO_STDIN);
    const output = stdio.stdout ? text(stdio.stdout) : Promise.resolve("");
    const task = await createTask(client, container, stdio.io);
    const exited = task.wait();
    let ended = false;
    try {
      const begun = performance.now();
      await task.start();
      look.started(performance.now() - begun);
      await stdio.release();
      const execBegun = performance.now();
      const fromExec = await execOutput(client, container, task, look.exec);
      const execMs = performance.now() - execBegun;
      await task.kill(SIGTERM);
      const { status } = await exited;
      await task.delete();
      await stdio.ended();
      ended = true;
      if (status !== 0) throw new Error(`the container ended with ${status}`);
      return { output: await output, fromExec, execMs };
    } finally {
      if (!ended) {
        await task.kill(SIGKILL, { all: true }).catch(() => {});
        await task.delete().catch(() => {});
      }
    }
  } finally {
    await removeRecord(client, container);
  }
}

async function execOutput(
  client: ManagerClient,
  container: ClientContainer,
  task: ClientTask,
  script: string,
): Promise<string> {
  await using stdio = await client.openStdio(NO_STDIN);
  const output = stdio.stdout ? text(stdio.stdout) : Promise.resolve("");
  const request = { args: ["sh", "-c", script], terminal: false, env: [], cwd: undefined, user: undefined };
  await task.exec("look", await execProcess(client, container, request), stdio.io);
  const exited = task.wait("look");
  await task.start("look");
  await stdio.release();
  await exited;
  await task.deleteExec("look");
  await stdio.ended();
  return await output;
}
