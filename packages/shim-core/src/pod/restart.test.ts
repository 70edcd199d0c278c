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
  await Promise.all([
    assert.rejects(task.state({ id }), { code: Code.NotFound }),
    assert.rejects(task.delete({ id }), { code: Code.NotFound }),
  ]);
  await pod.told("delete web 137");
  await task.shutdown({ id });
  while (!monitor.hasExited) await new Promise(setImmediate);
  assert.deepEqual([...monitor.notes.keys()], ["shutdown"], "notes kept");
}

const LIFE = [
  "create web",
  "start web",
  ...["exec-added web one", "exec-started web one", "exit web one 143"],
  ...["exec-added web one", "exec-started web one"],
  "exec-added web bad",
  "paused web",
  "resumed web",
  ...["exit web one 137", "exit web web 137", "delete web 137"],
];

/** Start fails, its task is deleted; another has two execs that die with it, one of them by a lack of memory. */
async function misfortune(pod: TestPod): Promise<void> {
  const { task, monitor, runtime } = pod;
  const broken = () => ({ step: 7, errno: 8, afterClone: true }) as const;
  await task.create({ id: "odd", bundle: "/nonexistent/bundle" });
  monitor.behave = broken;
  await assert.rejects(task.start({ id: "odd" }), { code: Code.InvalidArgument, message: "step 7: errno 8" });
  assert.equal((await task.wait({ id: "odd" })).exitStatus, 255);
  assert.equal((await task.delete({ id: "odd" })).exitStatus, 255);
  await assert.rejects(task.create({ id: "odd", bundle: "/nonexistent/bundle" }), { message: "step 7: errno 8" });
  await assert.rejects(task.state({ id: "odd" }), { code: Code.NotFound });
  monitor.behave = (key) => (key.startsWith("init/") ? "gate" : "exec");
  await pod.run();
  await pod.exec("one");
  await task.exec({ id, execId: "two" });
  await task.closeIO({ id, execId: "two", stdin: true });
  await task.start({ id, execId: "two" });
  await task.exec({ id, execId: "never" });
  runtime.kills = 1;
  monitor.exit("exec/web/one", 9);
  await pod.told("exit web one 137");
  monitor.exit("init/web", 7 << 8);
  assert.equal((await task.wait({ id })).exitStatus, 7);
  assert.equal((await task.wait({ id, execId: "two" })).exitStatus, 137);
  await assert.rejects(task.start({ id, execId: "never" }), { code: Code.FailedPrecondition });
  assert.equal((await task.delete({ id })).exitStatus, 7);
  await pod.told("delete web 7");
  await task.shutdown({ id });
  while (!monitor.hasExited) await new Promise(setImmediate);
}

const MISFORTUNE = [
  ...["create odd", "exit odd odd 255", "delete odd 255", "create web", "start web"],
  ...[
    "exec-added web one",
    "exec-started web one",
    "exec-added web two",
    "exec-started web two",
    "exec-added web never",
  ],
  ...["oom web", "exit web one 137", "exit web two 137", "exit web web 7", "delete web 7"],
];

/** An event that was sent twice because of the crash counts once. */
const distinct = (events: readonly string[]): string[] => events.filter((event, at) => event !== events[at - 1]);

for (const [name, live, expected] of [
  ["life", life, LIFE],
  ["misfortune", misfortune, MISFORTUNE],
] as const)
  test(`the task server is killed at every message of a ${name}: right answers, all events, in order`, async (t) => {
    const calm = new TestPod();
    await live(calm);
    assert.deepEqual(calm.events, expected);
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
            await live(pod);
            assert.equal(pod.restarts, 1);
            assert.deepEqual(distinct(pod.events), expected);
            assert.ok(pod.events.length <= expected.length + 1, pod.events.join(", "));
            assert.deepEqual(pod.monitor.superfluousAnswers, []);
            assert.deepEqual([...pod.monitor.processes.keys()], [], "processes kept");
            assert.ok(pod.pod.isEmpty);
            assert.deepEqual(pod.logged, []);
          },
        );
  });
