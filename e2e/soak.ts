// Lives and execs for long, and what they leave in memory, descriptors and files:
//   npm run soak -- --lives 10000 --execs 100000 [--minutes N] [--runtime runc|gvisor|kata|control] [--engine 2.x|1.6|trimaran] [--at-once 300]
// With --at-once so many containers run together first. Prints a line every --every seconds and a summary; exit status 0 only if nothing
// has grown, was lost or is left behind. After --minutes lives and execs end, and what was done by then is judged.
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type ClientContainer, type ClientTask, createTask, type ManagerClient, removeRecord } from "@trimaran/manager";
import { parentOf } from "./harness/belongings.ts";
import { grouped, openEngine, parseCount, parseEngine, parseRuntime, runtimeType } from "./harness/driver.ts";
import { openEngineClient, openReadStdio, recordContainer, runExec } from "./harness/engine-client.ts";
import { grown, lookAt, type Usage } from "./harness/growth.ts";
import { assertNoLeaks, snapshot } from "./harness/leaks.ts";

const LANES = { lives: 2, execs: 3 } as const;
/** In a run that is not cut short, at equal parts of its work. */
const LOOKS = 50;

const { values } = parseArgs({
  options: {
    lives: { type: "string", default: "10000" },
    execs: { type: "string", default: "100000" },
    "at-once": { type: "string", default: "0" },
    minutes: { type: "string", default: "1440" },
    runtime: { type: "string", default: "runc" },
    engine: { type: "string", default: "2.x" },
    every: { type: "string", default: "60" },
  },
});
const lives = parseCount("--lives", values.lives);
const execs = parseCount("--execs", values.execs);
const atOnce = parseCount("--at-once", values["at-once"]);
const untilMs = performance.now() + 60_000 * parseCount("--minutes", values.minutes);
const everyMs = 1000 * parseCount("--every", values.every);
const [engineName, runtimeName] = [parseEngine(values.engine), parseRuntime(values.runtime)];
const runtime = runtimeType(runtimeName);

const done = { lives: 0, execs: 0 };
let made = 0;
const began = performance.now();
await using engine = await openEngine(engineName, runtimeName);
const before = await snapshot(engine);
{
  await using client = await openEngineClient(engine);
  if (atOnce > 0) await manyAtOnce(client);
  if (lives + execs > 0) await soak(client);
}
engine.ids.push(...Array.from({ length: made }, (_, n) => idOf(n)));
await assertNoLeaks(engine, before);
say("left behind: nothing");

/** Lives and execs side by side, with looks in between. */
async function soak(client: ManagerClient): Promise<void> {
  await using keepers = new AsyncDisposableStack();
  const kept: Running[] = [];
  for (let n = 0; n < LANES.execs; n++) kept.push(keepers.use(await startContainer(client, ["sleep", "1000000"])));
  const monitors = await Promise.all(kept.map(({ pid }) => parentOf(pid)));
  const looks: Usage[] = [];
  const servers = await engine.taskServerPids();
  const over = new AbortController();
  const watching = watch(monitors, looks, over.signal);
  await Promise.all([
    ...lanes(LANES.lives, lives, () => oneLife(client, done.lives++), untilMs),
    ...lanes(LANES.execs, execs, (lane) => oneExec(client, running(kept, lane), done.execs++), untilMs),
  ]);
  over.abort();
  await watching;
  looks.push(await lookAt(engine, monitors));
  say(line(looks.at(-1)));
  assert.deepEqual(await engine.taskServerPids(), servers, "one that has begun anew hides what it had gathered");
  const complaints = grown(looks);
  say(`${grouped(done.lives)} lives and ${grouped(done.execs)} execs: each exit status and each byte was right`);
  assert.deepEqual(complaints, [], "something grew");
  say(`grown: nothing (${looks.length} looks)`);
}

/** Containers that all run at the same time; each one answers an exec, ends with its own status, and has said what it should. */
async function manyAtOnce(client: ManagerClient): Promise<void> {
  const startedMs = performance.now();
  const all: Running[] = [];
  await using stack = new AsyncDisposableStack();
  await Promise.all(
    lanes(8, atOnce, async () => {
      all.push(
        stack.use(await startContainer(client, ["sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 1; done"])),
      );
    }),
  );
  const upMs = performance.now() - startedMs;
  const monitors = await Promise.all(all.map(({ pid }) => parentOf(pid)));
  const usage = await lookAt(engine, monitors);
  await Promise.all(lanes(8, atOnce, (_lane, n) => oneExec(client, running(all, n), n)));
  const execMs = performance.now() - startedMs - upMs;
  const per = (total: number) => Math.round(total / atOnce);
  say(
    `${atOnce} at once: up after ${seconds(upMs)}, an exec in each ${seconds(execMs)}; ${line(usage)}; a monitor ${per(usage.monitorKb)} KiB`,
  );
  await Promise.all(
    lanes(8, atOnce, async (_lane, n) => {
      const { task, stdio } = running(all, n);
      const exit = task.wait();
      await task.kill(15);
      const { status } = await exit;
      await task.delete(false);
      assert.deepEqual([status, await stdio.text()], [7, "up\n"]);
    }),
  );
  say(`${atOnce} ended, each with its own status and its output`);
}

function running(all: readonly Running[], n: number): Running {
  const one = all[n];
  assert.ok(one);
  return one;
}

/** A container that goes on; disposing ends and removes it. */
interface Running extends AsyncDisposable {
  readonly container: ClientContainer;
  readonly task: ClientTask;
  readonly stdio: Awaited<ReturnType<typeof openReadStdio>>;
  readonly pid: number;
}

async function startContainer(client: ManagerClient, args: readonly string[]): Promise<Running> {
  const container = await recordContainer(client, { id: newId(), runtime, args });
  const stdio = await openReadStdio(client);
  const task = await createTask(client, container, stdio.fifos.io);
  const pid = await task.start();
  await stdio.fifos.release();
  return {
    container,
    task,
    stdio,
    pid,
    async [Symbol.asyncDispose]() {
      const status = await task.status();
      if (status?.state === "running") {
        const exit = task.wait();
        await task.kill(9);
        await exit;
      }
      if (status !== undefined) await task.delete(false);
      await removeRecord(client, container);
      await stdio[Symbol.asyncDispose]();
      forget(container.id);
    },
  };
}

async function oneLife(client: ManagerClient, n: number): Promise<void> {
  const status = n % 256;
  const container = await recordContainer(client, {
    id: newId(),
    runtime,
    args: ["sh", "-c", `echo life ${n}; exit ${status}`],
  });
  await using stdio = await openReadStdio(client);
  const task = await createTask(client, container, stdio.fifos.io);
  const exit = task.wait();
  await task.start();
  await stdio.fifos.release();
  const ended = await exit;
  await task.delete(false);
  assert.deepEqual([ended.status, await stdio.text()], [status, `life ${n}\n`], `life ${n}`);
  await removeRecord(client, container);
  forget(container.id);
}

async function oneExec(client: ManagerClient, { container, task }: Running, n: number): Promise<void> {
  const status = n % 256;
  const args = ["sh", "-c", `echo exec ${n}; exit ${status}`];
  const ended = await runExec(client, { container, task, execId: `exec-${n}` }, args);
  assert.deepEqual(ended, { status, stdout: `exec ${n}\n` }, `exec ${n}`);
}

/** Work that several lanes share; each takes the next one until all are done, or `untilMs` is over. The first failure ends its lane, and the driver. */
function lanes(
  count: number,
  total: number,
  work: (lane: number, n: number) => Promise<void>,
  untilMs = Number.POSITIVE_INFINITY,
): Promise<void>[] {
  let next = 0;
  return Array.from({ length: count }, async (_, lane) => {
    while (next < total && performance.now() < untilMs) await work(lane, next++);
  });
}

/** A look at each of equal parts of the work. */
async function watch(monitors: readonly number[], looks: Usage[], signal: AbortSignal): Promise<void> {
  const part = (lives + execs) / LOOKS;
  for (let printedMs = began; !signal.aborted; await delay(50, undefined, { signal }).catch(() => undefined)) {
    if (done.lives + done.execs < part * (looks.length + 1)) continue;
    const usage = await lookAt(engine, monitors);
    looks.push(usage);
    if (performance.now() - printedMs < everyMs) continue;
    printedMs = performance.now();
    say(line(usage));
  }
}

function idOf(n: number): string {
  return `${engine.tag}-soak-${n}`;
}

function newId(): string {
  const id = idOf(made++);
  engine.ids.push(id);
  return id;
}

/** What is over need not be looked for at each look: the end of all does that. */
function forget(id: string): void {
  engine.ids.splice(engine.ids.indexOf(id), 1);
}

function line(usage: Usage | undefined): string {
  if (usage === undefined) return "";
  const { serverKb, serverHeldKb, serverFds, monitorKb, monitorFds, engineFds, things } = usage;
  const work = `${grouped(done.lives)} lives, ${grouped(done.execs)} execs`;
  return `${work}: task server ${grouped(serverKb)} KiB (holds ${grouped(serverHeldKb)}), ${serverFds} fds; monitors ${monitorKb} KiB, ${monitorFds} fds; engine ${engineFds} fds; ${things} files, cgroups, mounts`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function say(text: string): void {
  console.log(`${seconds(performance.now() - began).padStart(9)}  ${text}`);
}
