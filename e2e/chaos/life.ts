import assert from "node:assert/strict";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import {
  type ClientContainer,
  ClientTask,
  Code,
  createTask,
  findContainer,
  hasCode,
  removeRecord,
} from "@trimaran/manager";
import { openReadStdio, type ReadStdio, recordContainer, runExec } from "../harness/engine-client.ts";
import { PATIENCE } from "../harness/patience.ts";
import { CutOff, type Fleet } from "./fleet.ts";

/** A container that waits for its word: what it says before and after, and how it ends, is known. */
export interface LiveContainer {
  readonly id: string;
  readonly task: ClientTask;
  /** As the engine shows it. */
  readonly pid: number;
  /** A strike that it need not survive was for it: it must only be gone in the end. */
  isStruck: boolean;
}

/** How a life went. */
export type Outcome = "whole" | "struck" | "forgotten";

/** What a life needs of the driver. */
export interface Stage {
  readonly fleet: Fleet;
  /** Containers that run now: what strikes may hit. */
  readonly alive: Set<LiveContainer>;
  newId(): string;
  random(): number;
}

const LINES = 300;
const END_LIMIT_MS = 60_000 * PATIENCE;
const FIFO_LIMIT_MS = 10_000 * PATIENCE;

const count = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => `${from + n}\n`).join("");

/** Create, start, execs, output on both sides of a word, the exit: everything acknowledged must be as it should. Throws what was lost. */
export async function live(stage: Stage, n: number): Promise<Outcome> {
  const status = n % 200;
  const args = ["sh", "-c", `seq 1 ${LINES}; read word; seq ${LINES + 1} ${2 * LINES}; echo $word; exit ${status}`];
  const born = await birth(stage, args);
  await using stdio = born.stdio;
  const { container, live: own } = born;
  const { fleet } = stage;
  stage.alive.add(own);
  try {
    for (let execs = stage.random() * 3; execs > 1; execs--) await oneExec(stage, container, own, n);
    await delay(stage.random() * 300);
    stage.alive.delete(own); // an end while the engine is away is still to be known, so only that may happen from here on
    const { presence } = fleet;
    await say(stdio, `word-${n}\n`, own);
    const ended = await waitForEnd(fleet, own.task, presence);
    const said = `${count(1, LINES)}${count(LINES + 1, 2 * LINES)}word-${n}\n`;
    await fleet.askAgain(() => own.task.delete(false));
    const text = await within(FIFO_LIMIT_MS, stdio.text(), `${own.id}: no end of its output`);
    if (!own.isStruck) {
      if (ended !== "forgotten") assert.equal(ended, status, `${own.id}: exit status`);
      assert.equal(text, said, `${own.id}: output`);
    }
    return own.isStruck ? "struck" : ended === "forgotten" ? ended : "whole";
  } catch (error) {
    if (!own.isStruck) throw new Error(`${own.id} is lost`, { cause: error });
    return "struck";
  } finally {
    stage.alive.delete(own);
    await remove(fleet, container, own);
  }
}

interface Born {
  readonly container: ClientContainer;
  readonly live: LiveContainer;
  readonly stdio: ReadStdio;
}

/** What is cut off before Start was answered was never promised: another one is made in its place. */
async function birth(stage: Stage, args: readonly string[]): Promise<Born> {
  const { fleet } = stage;
  for (;;) {
    const id = stage.newId();
    const stdio = await fleet.askAgain((client) => openReadStdio(client, { stdin: true }));
    try {
      const container = await fleet.ask((client) => recordContainer(client, { id, runtime: fleet.runtime, args }));
      const task = await fleet.ask((client) => createTask(client, container, stdio.fifos.io));
      const pid = await fleet.ask(() => task.start());
      await stdio.fifos.release();
      return { container, live: { id, task, pid, isStruck: false }, stdio };
    } catch (error) {
      await stdio[Symbol.asyncDispose]();
      await removeById(fleet, id);
      if (!(error instanceof CutOff)) throw error;
    }
  }
}

async function oneExec(
  { fleet, random }: Stage,
  container: ClientContainer,
  own: LiveContainer,
  n: number,
): Promise<void> {
  const status = n % 100;
  const args = ["sh", "-c", `seq 1 50; sleep 0.0${n % 10}; exit ${status}`];
  const execId = () => `exec-${Math.floor(random() * 1e9)}`;
  const ended = await fleet.askAgain((client) =>
    runExec(client, { container, task: own.task, execId: execId() }, args),
  );
  if (!own.isStruck) assert.deepEqual(ended, { status, stdout: count(1, 50) }, `${own.id}: exec`);
}

/** Feed it its word. A struck container reads no more. */
async function say(stdio: ReadStdio, word: string, own: LiveContainer): Promise<void> {
  const { stdin } = stdio.fifos;
  assert.ok(stdin);
  stdin.on("error", () => undefined);
  if (!stdin.write(word) && !own.isStruck) await once(stdin, "drain");
}

/** Its exit status. containerd 2.x deletes at its start what has ended without it, and nobody can ask any more. */
async function waitForEnd(fleet: Fleet, task: ClientTask, presence: number): Promise<number | "forgotten"> {
  const isExcused = () =>
    fleet.engine.version === "2.x" && fleet.engine.kind === "containerd" && fleet.presence !== presence;
  try {
    const exit = fleet.askAgain(async () => await task.wait());
    const { status, pid } = await within(END_LIMIT_MS, exit, `${task.id} does not end`);
    if (status === 255 && pid === 0 && isExcused()) return "forgotten"; // what the client says where there is nothing on record
    return status;
  } catch (error) {
    if (hasCode(error, Code.NotFound) && isExcused()) return "forgotten";
    throw error;
  }
}

/** Whatever its state is; nothing of it is left to the engine's knowledge. */
async function remove(fleet: Fleet, container: ClientContainer, { task }: LiveContainer): Promise<void> {
  for (const until = Date.now() + END_LIMIT_MS; ; await delay(50)) {
    try {
      await fleet.askAgain(async (client) => {
        const status = await task.status();
        if (status !== undefined && status.state !== "stopped") await task.kill(9, { all: true }).catch(ignoreNotFound);
        if (status !== undefined) await task.delete(false);
        await removeRecord(client, container);
      });
      return;
    } catch (error) {
      if (Date.now() > until) throw new Error(`${container.id} can't be removed`, { cause: error });
    }
  }
}

async function removeById(fleet: Fleet, id: string): Promise<void> {
  const container = await fleet.askAgain(async (client) => {
    try {
      return await findContainer(client, id);
    } catch (error) {
      ignoreNotFound(error);
      return undefined;
    }
  });
  if (container === undefined) return;
  const task = await fleet.askAgain(async (client) => new ClientTask(client, id));
  await remove(fleet, container, { id, task, pid: 0, isStruck: true });
}

function ignoreNotFound(error: unknown): void {
  if (!hasCode(error, Code.NotFound)) throw error;
}

async function within<T>(limitMs: number, promise: Promise<T>, complaint: string): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(complaint)), limitMs);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
