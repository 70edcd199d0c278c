import assert from "node:assert/strict";
import { existsSync, renameSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { Container } from "./harness/container.ts";
import { BUILD_BIN, type Engine, startContainerd } from "./harness/containerd.ts";
import { assertNoLeaks, snapshot } from "./harness/leaks.ts";
import { OwnBuild } from "./harness/own-build.ts";
import { PATIENCE } from "./harness/patience.ts";
import { runOk } from "./harness/process.ts";
import { TRIMARAN } from "./harness/runtimes.ts";

/** Reads a word, then says it and ends with 23. */
const READER = ["sh", "-c", "echo ready; read word; echo got $word; exit 23"];

type Line = Readonly<Record<string, unknown>>;

/** What our command says with --json, of this engine's. */
async function trimaran(engine: Engine, ...args: readonly string[]): Promise<Line[]> {
  const text = await runOk([join(BUILD_BIN, "trimaran"), ...args, "--json"], { timeoutMs: 60_000 });
  const lines = text.split("\n").filter(Boolean);
  return lines.map((line): Line => JSON.parse(line)).filter((line) => (line.engine ?? line.address) === engine.address);
}

async function taskServer(engine: Engine): Promise<number> {
  const [pid] = await engine.taskServerPids();
  assert.ok(pid);
  return pid;
}

async function gone(pid: number): Promise<void> {
  for (const until = Date.now() + 20_000 * PATIENCE; existsSync(`/proc/${pid}`); await delay(20))
    assert.ok(Date.now() < until, `the task server ${pid} does not go`);
}

test("trimaran upgrade: containers, execs and waits go on with the build that is installed now", async () => {
  using build = new OwnBuild();
  await using engine = await startContainerd({ version: "2.x", extraPath: [build.bin], buildInPath: false });
  const clean = await snapshot(engine);
  const reached = Promise.withResolvers<void>();
  const reader = engine.spawnCtr(
    "run",
    "--rm",
    "--runtime",
    TRIMARAN,
    "trimaran.test/busybox:1",
    engine.newId(),
    ...READER,
  );
  let heard = "";
  reader.stdout.on("data", (chunk: Buffer) => {
    heard += chunk;
    if (heard.includes("ready")) reached.resolve();
  });
  const ended = new Promise((resolve) => reader.once("close", resolve));
  await reached.promise;
  {
    await using container = await Container.start(engine, TRIMARAN, {}, ["sleep", "1000"]);
    const inFlight = Array.from({ length: 6 }, (_, n) =>
      container.exec({}, "sh", "-c", `sleep ${n / 5}; echo ${n}; exit ${n}`),
    );
    const old = await taskServer(engine);
    build.install("9.9.9");
    const [done] = await trimaran(engine, "upgrade", "--state", engine.trimaranState);
    const now = await taskServer(engine);
    assert.deepEqual(
      { ...done, tookMs: 0 },
      {
        ...{ shim: "containerd-shim-trimaran-runc-v2", address: engine.address, namespace: engine.namespace },
        ...{ oldPid: old, newPid: now, version: "9.9.9", monitors: 2, tookMs: 0, wasKilled: false },
      },
    );
    assert.notEqual(now, old);
    const answers = (await Promise.all(inFlight)).map(({ code, stdout }) => [code, stdout]);
    assert.deepEqual(
      answers,
      inFlight.map((_, n) => [n, `${n}\n`]),
    );
    const later = await Container.start(engine, TRIMARAN, {}, ["sleep", "1000"]);
    const versions = (await trimaran(engine, "shims", "ls")).map((line) => [line.container, line.version]);
    assert.deepEqual(versions, [
      [engine.ids[0], "0.1.0"],
      [container.id, "0.1.0"],
      [later.id, "9.9.9"],
    ]);
    await later[Symbol.asyncDispose]();
  }
  reader.stdin.write("word\n");
  assert.equal(await ended, 23);
  assert.equal(heard, "ready\ngot word\n");
  await assertNoLeaks(engine, clean);
});

test("a task server without work goes, with waits open; an exit wakes another, so does a call", async () => {
  await using engine = await startContainerd({ version: "2.x", env: { TRIMARAN_IDLE_MS: "1000" } });
  const clean = await snapshot(engine);
  {
    await using container = await Container.start(engine, TRIMARAN, {}, [
      "sh",
      "-c",
      "trap 'exit 23' TERM; while :; do sleep 0.05; done",
    ]);
    assert.equal(
      (
        await container.exec(
          {},
          "sh",
          "-c",
          "until grep -q 'SigCgt:.*[4-7c-f]...$' /proc/1/status; do sleep 0.02; done",
        )
      ).code,
      0,
    );
    const attached = container.attach();
    const first = await taskServer(engine);
    await gone(first);
    const pid = (await container.listed())?.pid ?? 0; // the engine asks the shim
    const second = await taskServer(engine);
    assert.notEqual(second, first);
    await gone(second);
    process.kill(pid, "SIGTERM");
    assert.equal((await attached).code, 23);
  }
  await assertNoLeaks(engine, clean);
});

test("trimaran shims ls: owners, and orphans when the engine or the container is gone", async () => {
  await using engine = await startContainerd({ version: "2.x" });
  await using container = await Container.start(engine, TRIMARAN, {}, ["sleep", "1000"]);
  const bundle = join(engine.dir, "state/io.containerd.runtime.v2.task", engine.namespace, container.id);
  const [shim] = await trimaran(engine, "shims");
  const { pid, socket, ...rest } = shim ?? {};
  assert.deepEqual(rest, {
    ...{ runtime: TRIMARAN, engine: engine.address, namespace: engine.namespace, container: container.id },
    ...{ bundle, version: "0.1.0" },
  });
  assert.ok(existsSync(String(socket)) && existsSync(`/proc/${pid}`));
  const orphans = async () =>
    (await trimaran(engine, "shims", "ls", "--orphans")).map((line) => [line.pid, line.orphan]);
  assert.deepEqual(await orphans(), []);
  renameSync(bundle, `${bundle}-away`);
  assert.deepEqual(await orphans(), [[pid, "container gone"]]);
  renameSync(`${bundle}-away`, bundle);
  await engine.kill("SIGKILL");
  assert.deepEqual(await orphans(), [[pid, "engine gone"]]);
  await engine.start();
  assert.deepEqual(await orphans(), []);
});
