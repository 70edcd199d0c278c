import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { assertNoLeaks, snapshot, type Watched } from "./harness/leaks.ts";

const stateOf = ({ pid }: ChildProcess) => /^\d+ \(.*\) (\S)/s.exec(readFileSync(`/proc/${pid}/stat`, "latin1"))?.[1];

/** Busy, and never another process for a moment; has a tag of this test's in its command line. */
async function started(tag: string): Promise<ChildProcess> {
  const child = spawn("sh", ["-c", "while :; do :; done", tag], { stdio: "ignore" });
  await once(child, "spawn");
  return child;
}

async function reached(child: ChildProcess, states: string): Promise<void> {
  for (let tries = 0; !states.includes(stateOf(child) ?? ""); tries++) {
    assert.ok(tries < 500, `${stateOf(child)}, not ${states}`);
    await delay(10);
  }
}

test("what was there is no leak, whatever it does at the moment; what is new is one", async () => {
  await using undo = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "trm-leaks-"));
  undo.defer(() => rm(dir, { recursive: true }));
  const tag = basename(dir);
  const own = { tag, dir, namespace: tag, address: join(dir, "c.sock"), ids: [] };
  const engine: Watched = { ...own, pid: process.pid, taskServerPids: async () => [] };
  const run = async () => {
    const child = await started(tag);
    const ended = once(child, "exit");
    undo.defer(async () => {
      child.kill("SIGKILL");
      await ended;
    });
    return child;
  };
  const old = await run();
  await reached(old, "R");
  const before = await snapshot(engine);
  old.kill("SIGSTOP");
  await reached(old, "T");
  await assertNoLeaks(engine, before, 0);
  old.kill("SIGCONT");
  const { pid } = await run();
  await assert.rejects(assertNoLeaks(engine, before, 0), {
    message: new RegExp(`^left behind:\n  process ${pid} .*$`),
  });
});
