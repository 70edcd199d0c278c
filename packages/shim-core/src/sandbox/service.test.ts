import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { ANY, runtime as cri, GO_ZERO_TIME, packAny, toTimestamp } from "@trimaran/proto";
import { Code, StatusError } from "ttrpc-ts";
import type { SandboxRequest } from "../runtime.ts";
import { TestPod } from "../testing/test-pod.ts";

const [SANDBOX, NEVER] = [{ sandboxId: "pod" }, toTimestamp(GO_ZERO_TIME)];
const BUNDLE = mkdtempSync(join(tmpdir(), "trimaran-sandbox-"));
const UNDO = join(BUNDLE, "trimaran.undo");
after(() => rmSync(BUNDLE, { recursive: true }));

/** A whole life: one container is removed, another ends with the sandbox. Each answer is checked; a request that gets none hangs the test. */
async function life(pod: TestPod): Promise<void> {
  const { sandbox, task, monitor } = pod;
  await sandbox.createSandbox({ ...SANDBOX, bundlePath: BUNDLE });
  assert.equal((await sandbox.sandboxStatus(SANDBOX)).state, "SANDBOX_NOTREADY");
  assert.equal(readFileSync(UNDO, "utf8"), "unlink /nonexistent/socket\n");
  const { pid, createdAt } = await sandbox.startSandbox(SANDBOX);
  assert.equal(pid, 99);
  const { state, createdAt: since, exitedAt: none } = await sandbox.sandboxStatus(SANDBOX);
  assert.deepEqual([state, since, none], ["SANDBOX_READY", createdAt, NEVER]);
  await assert.rejects(sandbox.startSandbox(SANDBOX), { code: Code.FailedPrecondition, message: /that is ready/ });
  const waiting = sandbox.waitSandbox(SANDBOX);
  await pod.run("one");
  await task.kill({ id: "one", signal: 9 });
  await task.wait({ id: "one" });
  await task.delete({ id: "one" });
  await task.shutdown({ id: "one" }); // of the last container: the sandbox stays
  await pod.run("two");
  await sandbox.stopSandbox(SANDBOX);
  assert.equal((await task.wait({ id: "two" })).exitStatus, 137);
  const { exitStatus, exitedAt } = await waiting;
  assert.equal(exitStatus, 0);
  await sandbox.stopSandbox(SANDBOX);
  assert.deepEqual(await sandbox.waitSandbox(SANDBOX), { exitStatus, exitedAt });
  assert.equal((await sandbox.sandboxStatus(SANDBOX)).state, "SANDBOX_NOTREADY");
  await sandbox.shutdownSandbox(SANDBOX);
  pod.client.close();
  while (!monitor.hasExited) await new Promise(setImmediate);
  assert.deepEqual([...monitor.notes.keys()], ["shutdown"], "notes kept");
  assert.equal(existsSync(UNDO), false);
}

const LIFE = ["one", "two"].flatMap((id) => [
  `create ${id}`,
  `start ${id}`,
  `exit ${id} ${id} 137`,
  `delete ${id} 137`,
]);

const distinct = (events: readonly string[]): string[] => events.filter((event, at) => event !== events[at - 1]);

test("the task server is killed at every message of a sandbox's life: right answers, all events, in order", async (t) => {
  const calm = new TestPod(BUNDLE);
  await life(calm);
  assert.deepEqual(calm.events, LIFE);
  const messages = calm.monitor.sent.length;
  assert.ok(messages > 40, `${messages}`);
  for (const late of [false, true])
    for (let at = late ? 0 : 1; at < messages; at++)
      await t.test(
        `killed ${late ? "before" : "after"} message ${late ? at + 1 : at}`,
        { timeout: 10_000 },
        async () => {
          const pod = new TestPod(BUNDLE);
          pod.monitor.crashAt(at, late);
          await life(pod);
          assert.equal(pod.restarts, 1);
          assert.deepEqual(distinct(pod.events), LIFE);
          assert.deepEqual(pod.monitor.superfluousAnswers, []);
          assert.deepEqual([...pod.monitor.processes.keys()], [], "processes kept");
          assert.deepEqual(pod.logged, []);
        },
      );
});

test("what a container has recorded is undone before the sandbox, without its bundle, until it is gone", async () => {
  const [pod, state] = [new TestPod(BUNDLE), mkdtempSync(join(tmpdir(), "trimaran-members-"))];
  try {
    await pod.sandbox.createSandbox({ ...SANDBOX, bundlePath: BUNDLE });
    await pod.sandbox.startSandbox(SANDBOX);
    const undo = (): string => readFileSync(UNDO, "utf8");
    const own = "unlink /nonexistent/socket\n";
    const folder = join(BUNDLE, "trimaran.members/one");
    const bundle = join(state, "one");
    mkdirSync(bundle);
    pod.runtime.undo = [{ verb: "umount", path: "/one" }];
    for (let n = 0; n < 2; n++) {
      await pod.task.create({ id: "one", bundle });
      assert.equal(undo(), `bundle ${folder}\n${own}`);
      pod.pod.host.recordUndo(bundle, [{ verb: "rmdir", path: "/again" }]);
      rmSync(join(bundle, "trimaran.undo"));
      assert.equal(readFileSync(join(folder, "trimaran.undo"), "utf8"), "rmdir /again\n");
      assert.equal(undo(), `bundle ${folder}\n${own}`, "once");
      pod.restart();
      await pod.task.delete({ id: "one" });
      await new Promise(setImmediate);
      assert.deepEqual([undo(), existsSync(folder)], [own, false]);
    }
    pod.runtime.creation = Promise.reject(new Error("no"));
    pod.runtime.creation.catch(() => undefined); // until Create comes to it
    await assert.rejects(pod.task.create({ id: "one", bundle }));
    assert.deepEqual([undo(), existsSync(folder)], [own, false]);
  } finally {
    rmSync(state, { recursive: true });
  }
});

test("a runtime is told what CRI wants a pod's containers to share, and nothing where another client asks", async () => {
  const [ours, node] = [0, 2];
  const own = { hostname: "web", hostIpc: false, sharesProcesses: true, ownUsers: false };
  const cases = [
    [{ network: ours }, false, own],
    [{ network: node }, true, { ...own, hostname: "" }],
    [{ pid: 1, ipc: node }, false, { ...own, hostIpc: true, sharesProcesses: false }],
    [{ usernsOptions: { mode: ours } }, false, { ...own, ownUsers: true }],
    [{ usernsOptions: { mode: node } }, false, own],
    [undefined, false, undefined],
  ] as const;
  for (const [namespaceOptions, hostNetwork, wishes] of cases) {
    const pod = new TestPod(BUNDLE);
    const asked: unknown[] = [];
    const start = async (request: SandboxRequest) => {
      asked.push(request.hostNetwork, request.pod);
      return { pid: 1, ended: new Promise(() => undefined) };
    };
    const never = () => assert.fail("unreachable");
    pod.runtime.sandboxes = { start, recover: never, remove: async () => undefined };
    const config = cri.v1.PodSandboxConfig.encode({
      hostname: "web",
      linux: { securityContext: { namespaceOptions: namespaceOptions ?? {} } },
    });
    const options = namespaceOptions && packAny(ANY.podSandboxConfig, config);
    await pod.sandbox.createSandbox({ ...SANDBOX, ...(options && { options }), bundlePath: BUNDLE });
    await pod.sandbox.startSandbox(SANDBOX);
    assert.deepEqual(asked, [hostNetwork, wishes]);
  }
});

test("unknown ones are NotFound, a second one AlreadyExists, a rootfs and metrics are refused", async () => {
  const { sandbox } = new TestPod(BUNDLE);
  for (const call of [
    "startSandbox",
    "platform",
    "stopSandbox",
    "waitSandbox",
    "sandboxStatus",
    "pingSandbox",
  ] as const)
    await assert.rejects(sandbox[call](SANDBOX), { code: Code.NotFound }, call);
  await assert.rejects(sandbox.createSandbox({ sandboxId: "a/b" }), { code: Code.InvalidArgument });
  await assert.rejects(sandbox.createSandbox({ ...SANDBOX, rootfs: [{ type: "bind" }] }), {
    code: Code.InvalidArgument,
  });
  await sandbox.createSandbox(SANDBOX);
  await assert.rejects(sandbox.createSandbox({ sandboxId: "other" }), { code: Code.AlreadyExists });
  await assert.rejects(sandbox.createSandbox(SANDBOX), { code: Code.AlreadyExists });
  await assert.rejects(sandbox.sandboxMetrics(SANDBOX), { code: Code.Unimplemented });
  await sandbox.pingSandbox(SANDBOX);
  assert.equal((await sandbox.platform(SANDBOX)).platform?.os, "linux");
});

test("a sandbox that is shut down as it runs ends its containers and its waiters", async () => {
  const pod = new TestPod(BUNDLE);
  await pod.sandbox.createSandbox(SANDBOX);
  await pod.sandbox.startSandbox(SANDBOX);
  await pod.run("one");
  await pod.sandbox.stopSandbox({ ...SANDBOX, timeoutSecs: 5 }); // SIGTERM is enough
  assert.equal((await pod.task.wait({ id: "one" })).exitStatus, 143);
  await pod.run("two");
  const waiting = pod.sandbox.waitSandbox(SANDBOX);
  await pod.sandbox.shutdownSandbox(SANDBOX);
  assert.equal((await waiting).exitStatus, 0);
  while (!pod.monitor.hasExited) await new Promise(setImmediate);
  assert.deepEqual(pod.events.at(-1), "delete two 137");
});

test("the monitor goes when the caller has hung up, or is late with it: with its answer alone it could take the end for it", async () => {
  for (const hangsUp of [true, false]) {
    const pod = new TestPod(BUNDLE);
    await pod.sandbox.createSandbox(SANDBOX);
    await pod.sandbox.shutdownSandbox(SANDBOX);
    for (let turns = 0; turns < 20; turns++) await new Promise(setImmediate);
    assert.equal(pod.monitor.hasExited, false);
    if (hangsUp) pod.client.close();
    while (!pod.monitor.hasExited) await new Promise(setImmediate);
  }
});

test("a sandbox that is more than a promise: made at its start, found by the next task server, over when that ends", async () => {
  const pod = new TestPod(BUNDLE);
  const calls: string[] = [];
  let over = Promise.withResolvers<void>();
  let failures = 1;
  const say = (verb: string) => (request: { readonly id: string; readonly networkNamespace: string }) => {
    calls.push(`${verb} ${request.id} ${request.networkNamespace}`);
    return { pid: 4711, ended: over.promise };
  };
  pod.runtime.sandboxes = {
    start: async (request) => {
      const made = say("start")(request);
      if (failures-- > 0) throw new StatusError(Code.Unavailable, "no machine");
      return made;
    },
    recover: say("recover"),
    remove: async (request) => void say("remove")(request),
  };
  await pod.sandbox.createSandbox({ ...SANDBOX, netnsPath: "/run/netns/a" });
  await assert.rejects(pod.sandbox.startSandbox(SANDBOX), { code: Code.Unavailable, message: "no machine" });
  assert.equal((await pod.sandbox.startSandbox(SANDBOX)).pid, 4711);
  over = Promise.withResolvers<void>();
  pod.restart();
  assert.equal((await pod.sandbox.sandboxStatus(SANDBOX)).pid, 4711);
  const waiting = pod.sandbox.waitSandbox(SANDBOX);
  over.resolve();
  assert.equal((await waiting).exitStatus, 0);
  assert.equal((await pod.sandbox.sandboxStatus(SANDBOX)).state, "SANDBOX_NOTREADY");
  await pod.sandbox.shutdownSandbox(SANDBOX);
  while (!pod.monitor.hasExited) await new Promise(setImmediate);
  const verbs = ["start", "start", "recover", "remove"];
  assert.deepEqual(
    calls,
    verbs.map((verb) => `${verb} pod /run/netns/a`),
  );
});
