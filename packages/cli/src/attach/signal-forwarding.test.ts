import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { SignalForwarding, type SignalTarget } from "./signal-forwarding.ts";

const { SIGKILL, SIGTERM, SIGUSR1 } = constants.signals;

/** A shell that says when it is ready, and execs `sleep` when it is told to. */
async function shell(prelude: string): Promise<ChildProcessWithoutNullStreams & { readonly pid: number }> {
  const child = spawn("sh", ["-c", `${prelude}; echo ready; read _; exec sleep 1000`]);
  await once(child.stdout, "data");
  const { pid } = child;
  assert.ok(pid);
  return Object.assign(child, { pid });
}

/** Signals that reach a task, and a source of them. */
function wiring(onKill: (signal: number) => Promise<void> = async () => {}) {
  let send: (name: NodeJS.Signals) => void = () => {};
  const got: number[] = [];
  const { promise: killed, resolve } = Promise.withResolvers<void>();
  const task: SignalTarget = {
    async kill(signal) {
      got.push(signal);
      await onKill(signal);
      if (signal === SIGKILL) resolve();
    },
  };
  const signals = new SignalForwarding({
    listen(_names, listener) {
      send = listener;
      return { [Symbol.dispose]: () => {} };
    },
  });
  return { signals, task, got, killed, send: (name: NodeJS.Signals) => send(name) };
}

test("what comes before the process is passed on in order; a deaf init gets SIGKILL for SIGTERM", async (t) => {
  const child = await shell(":");
  t.after(() => child.kill("SIGKILL"));
  const { signals, task, got, killed, send } = wiring();
  send("SIGUSR1");
  send("SIGTERM");
  signals.passTo(task, "", child.pid);
  await killed;
  assert.deepEqual(got, [SIGUSR1, SIGKILL]);
});

test("an init that execs a deaf command before the signal arrives gets SIGKILL as well", async (t) => {
  const child = await shell("trap : TERM");
  t.after(() => child.kill("SIGKILL"));
  const { signals, task, got, killed, send } = wiring(async () => {
    child.stdin.write("\n"); // and the signal is lost, as the kernel has it
    while (readFileSync(`/proc/${child.pid}/comm`, "utf8") !== "sleep\n") await setTimeout(1);
  });
  signals.passTo(task, "", child.pid);
  send("SIGTERM");
  await killed;
  assert.deepEqual(got, [SIGTERM, SIGKILL]);
});

test("an exec, and an init that goes on with its handler, get the signal alone", async (t) => {
  const child = await shell("trap : TERM");
  t.after(() => child.kill("SIGKILL"));
  for (const execId of ["", "one"]) {
    const { signals, task, got, send } = wiring();
    signals.passTo(task, execId, child.pid);
    send("SIGTERM");
    await setTimeout(200);
    assert.deepEqual(got, [SIGTERM]);
  }
});
