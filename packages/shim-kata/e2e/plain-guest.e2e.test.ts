import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { runDelete } from "@trimaran/shim-check";
import { Code } from "ttrpc-ts";
import { filesOf, mountsOf, processesOf } from "../../../e2e/harness/belongings.ts";
import { type ShimKind, ShimYard, type StartedShim } from "../../../e2e/harness/shims.ts";
import { installPlainShim } from "./plain-shim.ts";
import { execWith, killTaskServers, openClient, serverLog, startWith } from "./session.ts";

const TYPE = "io.kubernetes.cri.container-type";
const SANDBOX = "io.kubernetes.cri.sandbox-id";

describe("kata, with the agent as a plain process", { timeout: 300_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), "trm-kata-"));
  let kind: ShimKind;
  let yard: ShimYard;
  before(async () => {
    kind = await installPlainShim(folder);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));
  beforeEach(async () => {
    yard = await ShimYard.open(kind);
  });
  afterEach(async (context) => {
    const passed = "passed" in context && context.passed === true;
    if (!passed) console.error(await serverLog(yard));
    const left = await leftBehind();
    await yard[Symbol.asyncDispose]();
    if (passed) assert.deepEqual(left, []);
  });

  async function leftBehind(): Promise<unknown[]> {
    const { dir, address } = yard.containerd;
    const scope = { tag: yard.tag, dir, namespace: yard.tag, address, ids: yard.ids };
    for (let tries = 0; ; tries++) {
      await killTaskServers(yard);
      const processes = (await processesOf(scope)).filter(({ state }) => state !== "Z");
      // cgroups are the guest's: those of a machine go with it, those of a plain guest with the yard
      const left = [...processes, ...(await filesOf(scope)), ...(await mountsOf(scope))];
      if (left.length === 0 || tries === 50) return left;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** The exit status, and all that was written; the container is gone then. */
  async function finish(started: StartedShim): Promise<number> {
    const { exitStatus } = await started.shim.task.wait({ id: started.id });
    await started.shim.remove();
    return exitStatus;
  }

  /** A pause container, started. */
  async function openPod() {
    const sandboxId = `${yard.tag}-${yard.ids.length}`;
    const pause = await yard.start(["sleep", "1000"], { annotations: { [TYPE]: "sandbox", [SANDBOX]: sandboxId } });
    await pause.create();
    await pause.shim.task.start({ id: pause.id });
    const annotations = { [TYPE]: "container", [SANDBOX]: sandboxId };
    return { pause, join: (...args: string[]) => yard.start(args, { annotations }) };
  }

  test("exit status and both outputs", async () => {
    const started = await yard.start(["sh", "-c", "echo out; echo err >&2; exit 7"]);
    const client = await openClient(yard);
    await startWith(started, client);
    assert.equal(await finish(started), 7);
    assert.equal((await client.stdout).toString(), "out\n");
    assert.equal((await client.stderr).toString(), "err\n");
    const topics = yard.containerd.events.map(({ topic }) => topic.slice("/tasks/".length));
    assert.deepEqual(topics, ["create", "start", "exit", "delete"]);
  });

  test("no streams at all; what can't be run is an error of Create that names it, and leaves nothing", async () => {
    const started = await yard.start(["true"]);
    await started.create();
    await started.shim.task.start({ id: started.id });
    assert.equal(await finish(started), 0);
    const bad = await yard.start(["/nope"]);
    await assert.rejects(bad.create(), /process\.args\[0\] "\/nope".*no such file/);
    await bad.shim.task.shutdown({ id: bad.id }).catch(() => undefined);
    await bad.shim.close();
  });

  test("stdin to its end, and back", async () => {
    const started = await yard.start(["sh", "-c", "cat; echo done"]);
    const client = await openClient(yard, { stdin: true });
    await startWith(started, client);
    client.stdin?.end("hello\nguest\n");
    await started.shim.task.closeIO({ id: started.id, stdin: true });
    assert.equal(await finish(started), 0);
    assert.equal((await client.stdout).toString(), "hello\nguest\ndone\n");
  });

  test("20 MB through stdin and stdout are the same bytes", async () => {
    const started = await yard.start(["cat"]);
    const client = await openClient(yard, { stdin: true });
    await startWith(started, client);
    const bytes = randomBytes(20_000_000);
    client.stdin?.end(bytes);
    await started.shim.task.closeIO({ id: started.id, stdin: true });
    assert.equal(await finish(started), 0);
    assert.ok(bytes.equals(await client.stdout));
  });

  test("a terminal: its size, a resize, input and output", async () => {
    const started = await yard.start(["sh", "-c", "test -t 0 && stty -echo; stty size; read x; stty size; echo $x"], {
      terminal: true,
    });
    const client = await openClient(yard, { stdin: true, terminal: true });
    const { shim, id, bundle } = started;
    await shim.task.create({ id, bundle: bundle.path, rootfs: bundle.mounts, ...client.paths, terminal: true });
    await shim.task.resizePty({ id, width: 91, height: 17 });
    await shim.task.start({ id });
    const exec = await openClient(yard);
    await execWith(started, "wait", ["sh", "-c", "sleep 0.5"], exec);
    await shim.task.wait({ id, execId: "wait" });
    await shim.task.resizePty({ id, width: 100, height: 30 });
    client.stdin?.write("word\n");
    assert.equal(await finish(started), 0);
    client.stdin?.end();
    assert.equal((await client.stdout).toString(), "17 91\r\n30 100\r\nword\r\n");
  });

  test("execs: status, streams, the same id again, a failing one, a terminal", async () => {
    const started = await yard.start(["sleep", "1000"]);
    await started.create();
    const { task } = started.shim;
    const { id } = started;
    await task.start({ id });
    for (const word of ["one", "two"]) {
      const client = await openClient(yard, { stdin: true });
      await execWith(started, "e", ["sh", "-c", "cat; exit 5"], client);
      client.stdin?.end(word);
      await task.closeIO({ id, execId: "e", stdin: true });
      assert.equal((await task.wait({ id, execId: "e" })).exitStatus, 5);
      assert.equal((await task.delete({ id, execId: "e" })).exitStatus, 5);
      assert.equal((await client.stdout).toString(), word);
    }
    await assert.rejects(execWith(started, "bad", ["/nope"], undefined), /"\/nope".*no such file/);
    const terminal = await openClient(yard, { terminal: true });
    await execWith(started, "tty", ["sh", "-c", "test -t 1 && echo yes"], terminal, true);
    assert.equal((await task.wait({ id, execId: "tty" })).exitStatus, 0);
    await task.delete({ id, execId: "tty" });
    assert.equal((await terminal.stdout).toString(), "yes\r\n");
    await task.kill({ id, signal: 9 });
    assert.equal(await finish(started), 137);
  });

  test("signals, pids, pause, resume, stats, update", async () => {
    const started = await yard.start(["sh", "-c", "trap 'exit 23' TERM; while :; do sleep 0.05; done"]);
    const { pid } = await started.create();
    const { id } = started;
    const { task } = started.shim;
    await task.start({ id });
    assert.deepEqual(
      (await task.pids({ id })).processes.map((process) => process.pid),
      [pid],
    );
    await task.pause({ id });
    assert.equal((await task.state({ id })).status, 4);
    await task.resume({ id });
    const { stats } = await task.stats({ id });
    assert.ok((stats?.value.length ?? 0) > 0);
    const resources = Buffer.from(JSON.stringify({ pids: { limit: 50 } }));
    await task.update({
      id,
      resources: { typeUrl: "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources", value: resources },
    });
    await task.kill({ id, signal: 15 });
    assert.equal(await finish(started), 23);
    await assert.rejects(task.kill({ id, signal: 15 }));
  });

  test("a process that is killed while it is paused ends", async () => {
    const started = await yard.start(["sleep", "1000"]);
    await started.create();
    const { id } = started;
    await started.shim.task.start({ id });
    await started.shim.task.pause({ id });
    await started.shim.task.kill({ id, signal: 9 });
    assert.equal(await finish(started), 137);
  });

  test("two containers in a pod: one guest; the pause container's end ends both", async () => {
    const { pause, join } = await openPod();
    const one = await join("sh", "-c", "echo $PPID; exit 3");
    const client = await openClient(yard);
    await startWith(one, client);
    assert.equal(await finish(one), 3);
    const two = await join("sleep", "1000");
    const { pid } = await two.create();
    await two.shim.task.start({ id: two.id });
    assert.equal(pid, (await pause.shim.task.state({ id: pause.id })).pid, "the machine's");
    const wait = two.shim.task.wait({ id: two.id });
    await killTaskServers(yard);
    await pause.shim.task.kill({ id: pause.id, signal: 9 });
    assert.equal((await pause.shim.task.wait({ id: pause.id })).exitStatus, 137);
    await pause.shim.task.delete({ id: pause.id });
    assert.equal((await wait).exitStatus, 255);
    await two.shim.remove();
    await pause.shim.close();
  });

  test("the guest is killed: every task of it ends, and says so", async () => {
    const { pause, join } = await openPod();
    const two = await join("sleep", "1000");
    const { pid } = await two.create();
    await two.shim.task.start({ id: two.id });
    const client = await openClient(yard);
    await execWith(two, "e", ["sleep", "1000"], client);
    process.kill(pid, "SIGKILL");
    assert.equal((await two.shim.task.wait({ id: two.id, execId: "e" })).exitStatus, 255);
    assert.equal((await two.shim.task.wait({ id: two.id })).exitStatus, 255);
    assert.equal((await pause.shim.task.wait({ id: pause.id })).exitStatus, 255);
    await assert.rejects(execWith(two, "f", ["true"], undefined), { code: Code.FailedPrecondition });
    await client.stdout;
    for (const { shim } of [two, pause]) await shim.remove();
  });

  test("a task server that is killed between all verbs loses nothing", async () => {
    const started = await yard.start([
      "sh",
      "-c",
      "read x; echo got $x; trap 'exit 23' TERM; while :; do sleep 0.05; done",
    ]);
    const { id, bundle } = started;
    const { task } = started.shim;
    const client = await openClient(yard, { stdin: true });
    const { pid } = await task.create({ id, bundle: bundle.path, rootfs: bundle.mounts, ...client.paths });
    await killTaskServers(yard);
    assert.equal((await task.start({ id })).pid, pid);
    const wait = task.wait({ id });
    await killTaskServers(yard);
    client.stdin?.write("this\n");
    await killTaskServers(yard);
    const exec = await openClient(yard);
    await execWith(started, "e", ["sh", "-c", "echo from exec; exit 5"], exec);
    await killTaskServers(yard);
    assert.equal((await task.wait({ id, execId: "e" })).exitStatus, 5);
    await killTaskServers(yard);
    await task.delete({ id, execId: "e" });
    assert.equal((await exec.stdout).toString(), "from exec\n");
    await killTaskServers(yard);
    await task.pause({ id });
    await killTaskServers(yard);
    assert.equal((await task.state({ id })).status, 4);
    await task.resume({ id });
    await killTaskServers(yard);
    assert.ok((await task.stats({ id })).stats);
    await task.kill({ id, signal: 15 });
    await killTaskServers(yard);
    assert.equal((await wait).exitStatus, 23);
    await killTaskServers(yard);
    assert.equal((await started.shim.remove()).exitStatus, 23);
    client.stdin?.end();
    assert.equal((await client.stdout).toString(), "got this\n");
  });

  test("a task server that is killed again and again while output flows: not a byte is lost or repeated", async () => {
    const script =
      "i=0; while [ $i -lt 60 ]; do head -c 100000 /dev/zero | tr '\\0' x; echo \" $i\"; i=$((i+1)); sleep 0.05; done";
    const started = await yard.start(["sh", "-c", script]);
    const client = await openClient(yard);
    await startWith(started, client);
    const wait = started.shim.task.wait({ id: started.id });
    let kills = 0;
    let hasEnded = false;
    void wait.then(() => {
      hasEnded = true;
    });
    while (!hasEnded) {
      await delay(800); // less, and no task server would come to anything
      kills += await killTaskServers(yard);
    }
    assert.equal((await wait).exitStatus, 0);
    await started.shim.remove();
    const want = Array.from({ length: 60 }, (_, i) => `${"x".repeat(100_000)} ${i}\n`).join("");
    const got = (await client.stdout).toString();
    assert.ok(got === want, `${got.length} bytes, ${want.length} are right`);
    assert.ok(kills >= 3, `${kills} kills`);
  });

  test("kill -9 of the task server while a Create is on its way", async () => {
    for (const pauseMs of [20, 60, 120, 250, 500]) {
      const started = await yard.start(["sh", "-c", "exit 9"]);
      const creating = started.create();
      await delay(pauseMs);
      await killTaskServers(yard);
      assert.ok((await creating).pid > 0);
      await started.shim.task.start({ id: started.id });
      assert.equal(await finish(started), 9);
    }
  });

  test("kill -9 of the monitor, then delete: nothing is left", async () => {
    const started = await yard.start(["sleep", "1000"]);
    await started.create();
    await started.shim.task.start({ id: started.id });
    const { shimPid } = await started.shim.task.connect({ id: started.id });
    process.kill(shimPid, "SIGKILL");
    started.shim.abandon();
    assert.equal((await runDelete(started.shim.options)).exitStatus, 137);
  });
});
