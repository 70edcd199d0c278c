import assert from "node:assert/strict";
import { test } from "node:test";
import { TestPod } from "../testing/test-pod.ts";

const id = "web";
/** Long enough for a frame to get there and for its answer to come back. */
const turns = async (count = 10): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise(setImmediate);
};

test("a Kill that takes longer than what it ends is answered before Delete: with that containerd closes its connection", async () => {
  const pod = new TestPod();
  await pod.run();
  const { promise: signalled, resolve } = Promise.withResolvers<void>();
  pod.runtime.signalled = signalled;
  const answers: string[] = [];
  const kill = pod.task.kill({ id, signal: 9 }).then(() => answers.push("kill"));
  assert.equal((await pod.task.wait({ id })).exitStatus, 137);
  const deleted = pod.task.delete({ id }).then(() => answers.push("delete"));
  await turns();
  assert.deepEqual(answers, []);
  resolve();
  await Promise.all([kill, deleted]);
  assert.deepEqual(answers, ["kill", "delete"]);
});

for (const [name, signal] of [
  ["an exec that its client kills: its output ends by itself, though a child holds it", 9],
  ["an exec that ends by another signal: its output goes on", 15],
] as const)
  test(name, async (t) => {
    const pod = new TestPod();
    pod.monitor.drains = (key) => !key.startsWith("exec/");
    await pod.run();
    await pod.exec("probe");
    t.mock.timers.enable({ apis: ["setTimeout"] });
    await pod.task.kill({ id, execId: "probe", signal });
    assert.equal((await pod.task.wait({ id, execId: "probe" })).exitStatus, 128 + signal);
    await turns();
    t.mock.timers.tick(1999);
    await turns();
    assert.equal(pod.monitor.processes.has("exec/web/probe"), true);
    t.mock.timers.tick(1);
    await turns();
    assert.equal(pod.monitor.processes.has("exec/web/probe"), signal !== 9);
    t.mock.timers.reset();
    pod.monitor.drains = () => true;
    if (signal === 9) assert.equal((await pod.task.delete({ id, execId: "probe" })).exitStatus, 137);
  });
