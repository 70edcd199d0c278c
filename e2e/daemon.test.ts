import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Container } from "./harness/container.ts";
import { BUILD_BIN, type Engine, startContainerd } from "./harness/containerd.ts";
import { CONTROL } from "./harness/matrix.ts";
import { run } from "./harness/process.ts";

describe("trimaran daemon", { timeout: 120_000 }, () => {
  let engine: Engine;
  before(async () => {
    engine = await startContainerd({ version: "1.6", daemon: "trimaran" });
  });
  after(() => engine[Symbol.asyncDispose]());

  /** Another daemon; it must end by itself. */
  const another = (root: string, state: string, address: string) =>
    run([join(BUILD_BIN, "trimaran"), "daemon", `--root=${root}`, `--state=${state}`, `--address=${address}`]);

  test("two on one root, or on one state: the second says who is there, and touches nothing", async () => {
    const [root, state] = [join(engine.dir, "root"), join(engine.dir, "state")];
    for (const [shared, flags] of [
      [root, [root, join(engine.dir, "state2")]],
      [state, [join(engine.dir, "root2"), state]],
    ] as const) {
      const { code, stderr } = await another(flags[0], flags[1], join(engine.dir, "d.sock"));
      assert.equal(code, 125);
      assert.match(stderr, new RegExp(`^trimaran: daemon: ${shared}: another daemon \\(pid ${engine.pid}\\) uses it`));
    }
    await engine.ctrOk("version");
    assert.equal(existsSync(join(engine.dir, "d.sock")), false);
  });

  test("an address that no socket can have is refused", async () => {
    const long = join(engine.dir, "x".repeat(100));
    const { code, stderr } = await another(join(engine.dir, "root3"), join(engine.dir, "state3"), long);
    assert.equal(code, 125);
    assert.match(stderr, /address .*1 to 104 bytes/);
  });

  test("both sockets are for root and its group", () => {
    for (const path of [engine.address, `${engine.address}.ttrpc`]) assert.equal(statSync(path).mode & 0o777, 0o660);
  });

  test("SIGTERM ends it and takes the sockets away; tasks live on and are found again, events too", async () => {
    await using container = await Container.start(engine, CONTROL, {}, [
      "sh",
      "-c",
      "read -r line; echo $line; exec sleep 1000",
    ]);
    const task = await container.listed();
    const waiting = engine.spawnCtr("task", "attach", container.id);
    waiting.stdin.write("attached\n");
    await once(waiting.stdout, "data");
    const ended = once(waiting, "exit");
    await engine.kill("SIGTERM");
    assert.deepEqual(await ended, [1, null], "a client that waits hears of it");
    assert.equal(existsSync(engine.address) || existsSync(`${engine.address}.ttrpc`), false);
    await engine.start();
    assert.deepEqual(await container.listed(), task);
    assert.equal((await container.exec({}, "echo", "hello")).stdout, "hello\n");
    await container.taskOk("kill", "-s", "9");
    await container.reached("STOPPED");
    assert.match((await container.task("delete")).stderr, /exit code 137/);
  });
});
