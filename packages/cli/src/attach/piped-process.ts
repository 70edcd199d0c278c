import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { type ClientContainer, execProcess, type ManagerClient, requireTask } from "@trimaran/manager";
import { closeStdin } from "./close-stdin.ts";

/** How a process in a container has ended, and what it said on stderr (64 KiB of it at most). */
export interface PipedExit {
  readonly status: number;
  readonly stderr: string;
}

const STDERR_LIMIT_BYTES = 64 * 1024;
/** How long stderr may still come after all of stdout has. */
const LAST_WORDS_MS = 2000;

/** Run a further process as root in a container, with its stdin from and its stdout to streams of ours; both are ended. */
export async function runPiped(
  client: ManagerClient,
  container: ClientContainer,
  args: readonly string[],
  { input, output }: { readonly input?: Readable; readonly output?: Writable },
): Promise<PipedExit> {
  const task = await requireTask(client, container.id);
  const request = { args, terminal: false, env: [], cwd: "/", user: "0:0" };
  const process = await execProcess(client, container, request);
  const execId = `exec-${randomBytes(6).toString("hex")}`;
  await using stdio = await client.openStdio({ terminal: false, stdin: input !== undefined });
  await task.exec(execId, process, stdio.io);
  try {
    const exit = task.wait(execId);
    const over = new AbortController();
    exit.finally(() => over.abort()).catch(() => {}); // looked at below, unless Start fails first
    const said: Buffer[] = [];
    stdio.stderr?.on("data", (chunk: Buffer) => {
      if (said.reduce((sum, { length }) => sum + length, 0) < STDERR_LIMIT_BYTES) said.push(chunk);
    });
    const copied = output === undefined ? stdio.stdout.resume() : pipeline(stdio.stdout, output);
    await task.start(execId);
    await stdio.release();
    if (input !== undefined && stdio.stdin !== undefined) {
      // We hold the FIFO's other end as well, so one that ends early is known by its exit, not by an error here.
      await Promise.race([feed(input, stdio.stdin), exit]);
      void closeStdin(task, execId, over.signal);
    }
    const { status } = await exit;
    await task.deleteExec(execId);
    await copied;
    await Promise.race([stdio.ended(), delay(LAST_WORDS_MS, undefined, { ref: false })]);
    return { status, stderr: Buffer.concat(said).toString("utf8").trim() };
  } catch (error) {
    await task.kill(9, { execId }).catch(() => {});
    await task.deleteExec(execId).catch(() => {});
    throw error;
  }
}

/** All of the input, and its end; less if the stream is destroyed meanwhile. */
async function feed(input: Readable, target: Socket): Promise<void> {
  const closed = new Promise<void>((resolve) => target.once("error", () => resolve()).once("close", () => resolve()));
  for await (const chunk of input) {
    if (target.destroyed) return;
    if (!target.write(chunk)) await Promise.race([once(target, "drain"), closed]);
  }
  await Promise.race([new Promise<void>((resolve) => target.end(resolve)), closed]);
}
