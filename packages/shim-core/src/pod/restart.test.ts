import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "ttrpc-ts";
import { TestPod } from "../testing/test-pod.ts";

const id = "web";

/** A whole life, with every verb that writes something down. Each answer is checked; a request that gets none hangs the test. */
async function life(pod: TestPod): Promise<void> {
  const { task, monitor } = pod;
  const { pid } = await task.create({ id, bundle: "/nonexistent/bundle" });
  assert.ok(pid > 0);
  const ended = task.wait({ id });
  assert.deepEqual(await task.start({ id }), { pid });
  const first = await pod.exec("one");
  const oneEnded = task.wait({ id, execId: "one" });
  assert.equal((await task.state({ id, execId: "one" })).pid, first);
  await task.kill({ id, execId: "one", signal: 15 });
  assert.equal((await oneEnded).exitStatus, 143);
  assert.equal((await task.delete({ id, execId: "one" })).exitStatus, 143);
  await assert.rejects(task.delete({ id, execId: "one" }), { code: Code.NotFound });
  const again = await pod.exec("one");
  assert.notEqual(again, first);
  monitor.behave = (key) => (key.endsWith("bad") ? { step: 3, errno: 2, afterClone: true } : "exec");
  await assert.rejects(pod.exec("bad"), { code: Code.InvalidArgument, message: "step 3: errno 2" });
  await task.delete({ id, execId: "bad" });
  await task.pause({ id });
  await task.resume({ id });
  await task.kill({ id, signal: 9 });
  const { exitStatus, exitedAt } = await ended;
  assert.equal(exitStatus, 137);
  assert.deepEqual(await task.delete({ id }), { pid, exitStatus, exitedAt });
  await assert.rejects(task.delete({ id }), { code: Code.NotFound });
  await pod.told("delete web 137");
  await task.shutdown({ id });
  while (!monitor.hasExited) await new Promise(setImmediate);
}

const EVENTS = [
  "create web",
  "start web",
  ...["exec-added web one", "exec-started web one", "exit web one 143"],
  ...["exec-added web one", "exec-started web one"],
  "exec-added web bad",
  "paused web",
  "resumed web",
  ...["exit web one 137", "exit web web 137", "delete web 137"],
];

/** An event that was sent twice because of the crash counts once. */
const distinct = (events: readonly string[]): string[] => events.filter((event, at) => event !== events[at - 1]);

test("the task server is killed at every message of a life: right answers, all events, in order", async (t) => {
  const calm = new TestPod();
  await life(calm);
  assert.deepEqual(calm.events, EVENTS);
  const messages = calm.monitor.sent.length;
  assert.ok(messages > 50, `${messages}`);
  for (const late of [false, true])
    for (let at = late ? 0 : 1; at < messages; at++)
      await t.test(
        `killed ${late ? "before" : "after"} message ${late ? at + 1 : at}`,
        { timeout: 10_000 },
        async () => {
          const pod = new TestPod();
          pod.monitor.crashAt(at, late);
          await life(pod);
          assert.equal(pod.restarts, 1);
          assert.deepEqual(distinct(pod.events), EVENTS);
          assert.deepEqual(pod.monitor.superfluousAnswers, []);
          assert.deepEqual([...pod.monitor.processes.keys()], [], "processes kept");
          assert.deepEqual([...pod.monitor.notes.keys()], [], "notes kept");
          assert.deepEqual(pod.logged, []);
        },
      );
});
