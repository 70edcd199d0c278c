import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { containerd, google, sandboxControllerV1, tasksV1 } from "@trimaran/proto";
import { layout } from "../bundles/directories.ts";
import { Code, StatusError } from "../errors/manager-error.ts";
import { inProcessClient } from "../grpc/in-process.ts";
import { loadSyscalls } from "../host/syscalls.ts";
import { ContainerRecords } from "../metadata/containers.ts";
import { SandboxRecords } from "../metadata/sandboxes.ts";
import { recoverSandboxes } from "../sandboxes/recover-sandboxes.ts";
import { SandboxRegistry } from "../sandboxes/sandbox-registry.ts";
import { recoverTasks } from "../tasks/recover-tasks.ts";
import type { ShimHost } from "../tasks/task-host.ts";
import { TaskRegistry } from "../tasks/task-registry.ts";
import { serveFakeSandbox } from "../testing/fake-sandbox-server.ts";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { openTestRecords, testContainer } from "../testing/test-records.ts";
import { sandboxControllerService } from "./sandbox-controller-service.ts";
import { SandboxEvents } from "./sandbox-events.ts";
import { tasksService } from "./tasks-service.ts";

const OPTIONS = { typeUrl: "o", value: Buffer.from("v") };
const POD = { sandboxId: "pod", sandboxer: "shim" };

/** A daemon's sandboxes and tasks on a directory, over records that outlive it. */
function openSandboxes(directory: string, records: ReturnType<typeof openTestRecords>) {
  const dirs = { root: join(directory, "root"), state: join(directory, "state") };
  const host: ShimHost = {
    dirs,
    parent: { grpcAddress: "/g", ttrpcAddress: "/t", publishBinary: "/p", environment: process.env, debug: false },
    shimDirectories: [directory],
    syscalls: loadSyscalls,
    serveEvents: async () => {},
    trace: () => {},
  };
  const failures: unknown[] = [];
  const lost = Promise.withResolvers<void>();
  const sandboxEvents = new SandboxEvents(records.host);
  const sandboxes = new SandboxRegistry(host, {
    logOf: () => () => {},
    lost(bundle, { status }) {
      sandboxEvents.exited(bundle, { exitStatus: status, exitedAt: { seconds: 5n, nanos: 0 } });
      lost.resolve();
    },
    failed: (...all) => void failures.push(all),
  });
  const tasks = new TaskRegistry(host, {
    publish: (event) => records.events.publish(event),
    lost: () => {},
    failed: (...all) => void failures.push(all),
  });
  const controller = sandboxControllerService({ ...records.host, sandboxes, sandboxEvents, tasks });
  const service = tasksService({
    dirs,
    registry: tasks,
    containers: new ContainerRecords(records.host.database),
    sandboxRecords: new SandboxRecords(records.host.database),
    sandboxes,
    checkpoints: { take: async () => [], restore: async () => {} },
    logOf: () => () => {},
  });
  return {
    controller: inProcessClient(sandboxControllerV1, controller, "ns"),
    tasks: inProcessClient(tasksV1, service, "ns"),
    bundle: join(layout.bundles(dirs, "ns", "sandbox"), "pod"),
    work: join(layout.bundleWorks(dirs, "ns", "sandbox"), "pod"),
    taskBundle: join(layout.bundles(dirs, "ns"), "web"),
    failures,
    lost: lost.promise,
    async recover() {
      await recoverSandboxes(host, sandboxes, (...all) => void failures.push(all));
      const lostTasks = { runtimeOf: () => undefined, logOf: () => () => {}, lost: () => {}, ended: () => {} };
      await recoverTasks(host, tasks, lostTasks);
    },
    [Symbol.dispose]() {
      tasks[Symbol.dispose]();
      sandboxes[Symbol.dispose]();
    },
  };
}

const sandboxOf = (name: string) => ({
  sandboxId: "pod",
  runtime: { name, options: OPTIONS },
  spec: { typeUrl: "s", value: Buffer.from('{"a":1} ') },
});
const scriptCalls = (directory: string) => readFileSync(join(directory, "shim-calls"), "utf8").trim().split("\n");
const topics = ({ published }: ReturnType<typeof openTestRecords>) =>
  published.map(({ topic }) => topic).filter((topic) => topic.startsWith("/sandboxes/"));

test("create, start, status, platform, metrics, stop, wait, shutdown: one to one, with the events", async () => {
  using directory = temporaryDirectory();
  using records = openTestRecords();
  using shim = await serveFakeSandbox(directory.path);
  using box = openSandboxes(directory.path, records);
  const { controller } = box;
  const rootfs = [{ type: "bind", source: "/s", target: "", options: ["ro"] }];
  const asked = { rootfs, options: OPTIONS, netnsPath: "/n", annotations: { k: "v" } };
  assert.deepEqual(await controller.create({ ...POD, ...asked, sandbox: sandboxOf(shim.binary) }), {
    sandboxId: "pod",
  });
  assert.deepEqual(shim.created, [{ sandboxId: "pod", bundlePath: box.bundle, ...asked }]);
  assert.equal(readFileSync(join(box.bundle, "config.json"), "utf8"), '{"a":1} ');
  assert.deepEqual(readdirSync(box.bundle).sort(), [
    "bootstrap.json",
    "config.json",
    "log",
    "rootfs",
    "shim-binary-path",
    "start-output",
    "work",
  ]);
  const input = readFileSync(join(directory.path, "start-input"));
  assert.deepEqual(google.protobuf.Any.decode(input), OPTIONS);
  const address = `ttrpc+unix://${join(directory.path, "shim.sock")}`;
  const createdAt = { seconds: 9n, nanos: 1 };
  assert.deepEqual(await controller.start(POD), {
    sandboxId: "pod",
    pid: 70,
    createdAt,
    labels: {},
    address,
    version: 3,
  });
  const status = await controller.status({ ...POD, verbose: true });
  assert.deepEqual([status.state, status.info, status.pid, status.address], ["SANDBOX_READY", { a: "b" }, 70, address]);
  assert.equal((await controller.platform(POD)).platform?.architecture, "riscv64");
  assert.equal((await controller.metrics(POD)).metrics?.data?.typeUrl, "m");
  await controller.update({ ...POD, sandbox: sandboxOf(shim.binary) });
  const waiting = [controller.wait(POD), controller.wait(POD)];
  await controller.stop({ ...POD, timeoutSecs: 4 });
  for (const { exitStatus } of await Promise.all(waiting)) assert.equal(exitStatus, 3);
  await controller.shutdown(POD);
  assert.deepEqual([existsSync(box.bundle), existsSync(box.work)], [false, false]);
  assert.deepEqual(scriptCalls(directory.path), ["start", "delete"]);
  assert.deepEqual(topics(records), ["/sandboxes/create", "/sandboxes/start", "/sandboxes/exit"]);
  const exit = containerd.events.SandboxExit.decode(records.published[2]?.payload ?? Buffer.alloc(0));
  assert.deepEqual(exit, { sandboxId: "pod", exitStatus: 3, exitedAt: createdAt });
  await assert.rejects(controller.shutdown(POD), { code: Code.NotFound });
  assert.deepEqual(box.failures, []);
});

test("refused: another sandboxer, no runtime, a bad id, one that runs; unknown ones are NotFound", async () => {
  using directory = temporaryDirectory();
  using records = openTestRecords();
  using shim = await serveFakeSandbox(directory.path);
  using box = openSandboxes(directory.path, records);
  const { controller } = box;
  const sandbox = sandboxOf(shim.binary);
  await assert.rejects(controller.create({ ...POD, sandboxer: "podsandbox", sandbox }), { code: Code.NotFound });
  await assert.rejects(controller.create(POD), { code: Code.InvalidArgument, message: /runtime\.name/ });
  await assert.rejects(controller.create({ ...POD, sandboxId: "a/b", sandbox }), { code: Code.InvalidArgument });
  await controller.create({ ...POD, sandbox });
  await assert.rejects(controller.create({ ...POD, sandbox }), { code: Code.AlreadyExists });
  const none = { ...POD, sandboxId: "none" };
  for (const call of ["start", "platform", "stop", "wait", "status", "shutdown", "metrics"] as const) {
    await assert.rejects(controller[call](none), { code: Code.NotFound }, call);
  }
  await assert.rejects(controller.update({ ...POD }), { code: Code.InvalidArgument });
});

test("as ctr 2.1 asks: no sandboxer, Start without Create; what does not run can be removed", async () => {
  using directory = temporaryDirectory();
  using records = openTestRecords();
  using shim = await serveFakeSandbox(directory.path);
  using box = openSandboxes(directory.path, records);
  const { sandboxStore } = records.services();
  await sandboxStore.create({ sandbox: sandboxOf(shim.binary) });
  const POD_ONLY = { sandboxId: "pod" };
  await box.controller.stop(POD_ONLY);
  assert.equal((await box.controller.status(POD_ONLY)).state, "");
  await box.controller.shutdown(POD_ONLY);
  assert.equal((await box.controller.start(POD_ONLY)).pid, 70);
  assert.deepEqual(topics(records), ["/sandboxes/create", "/sandboxes/start"]);
  await box.controller.stop(POD_ONLY);
  await box.controller.shutdown(POD_ONLY);
  assert.deepEqual(shim.calls, ["createSandbox", "startSandbox", "stopSandbox", "shutdownSandbox"]);
});

test("a failed Create or Start leaves nothing, and the shim's code stays", async () => {
  using directory = temporaryDirectory();
  using records = openTestRecords();
  using shim = await serveFakeSandbox(directory.path);
  using box = openSandboxes(directory.path, records);
  const sandbox = sandboxOf(shim.binary);
  const refuse = () => {
    throw new StatusError(Code.ResourceExhausted, "no room");
  };
  shim.answerSandbox({ createSandbox: refuse });
  await assert.rejects(box.controller.create({ ...POD, sandbox }), {
    code: Code.ResourceExhausted,
    message: "failed to create sandbox pod: no room",
  });
  assert.deepEqual([existsSync(box.bundle), shim.calls.at(-1)], [false, "shutdownSandbox"]);
  shim.answerSandbox({ createSandbox: () => ({}), startSandbox: refuse });
  await box.controller.create({ ...POD, sandbox });
  await assert.rejects(box.controller.start(POD), { code: Code.ResourceExhausted });
  assert.deepEqual([existsSync(box.bundle), shim.calls.at(-1)], [false, "shutdownSandbox"]);
  const missing = sandboxOf("io.containerd.none.v1");
  await assert.rejects(box.controller.create({ ...POD, sandbox: missing }), {
    code: Code.Unknown,
    message: /^failed to start new shim for sandbox pod: runtime "io\.containerd\.none\.v1"/,
  });
  assert.deepEqual(scriptCalls(directory.path), ["start", "delete", "start", "delete"]);
  assert.deepEqual(topics(records), ["/sandboxes/create"]);
});

test("a container of the sandbox is a task in its shim, which outlives it", async () => {
  using directory = temporaryDirectory();
  using records = openTestRecords();
  using shim = await serveFakeSandbox(directory.path);
  using box = openSandboxes(directory.path, records);
  const { sandboxStore, containers } = records.services();
  await sandboxStore.create({ sandbox: sandboxOf(shim.binary) });
  await containers.create({
    container: testContainer("web", { sandbox: "pod", runtime: { name: "/none", options: undefined } }),
  });
  const WEB = { containerId: "web" };
  await assert.rejects(box.tasks.create(WEB), { code: Code.NotFound, message: /can't find shim for sandbox pod/ });
  assert.equal(existsSync(box.taskBundle), false);
  await box.controller.start(POD);
  assert.equal((await box.tasks.create(WEB)).pid, 7);
  assert.equal(readFileSync(join(box.taskBundle, "sandbox"), "utf8"), "pod");
  shim.exit(4);
  assert.equal((await box.tasks.delete(WEB)).exitStatus, 4);
  assert.equal(existsSync(box.taskBundle), false);
  shim.answer({
    create: () => {
      throw new StatusError(Code.InvalidArgument, "no");
    },
  });
  await assert.rejects(box.tasks.create(WEB), { code: Code.InvalidArgument });
  assert.equal(existsSync(box.taskBundle), false);
  assert.equal((await box.controller.status(POD)).state, "SANDBOX_READY");
  assert.equal(shim.calls.includes("shutdown"), false); // of the task service: it would end the pod
  assert.equal(scriptCalls(directory.path).filter((call) => call === "start").length, 1);
});

test("a sandbox that is shut down takes its tasks along; its shim tells of them, the manager does not", async () => {
  using directory = temporaryDirectory();
  using records = openTestRecords();
  using shim = await serveFakeSandbox(directory.path);
  using box = openSandboxes(directory.path, records);
  const { sandboxStore, containers } = records.services();
  await sandboxStore.create({ sandbox: sandboxOf(shim.binary) });
  await containers.create({ container: testContainer("web", { sandbox: "pod" }) });
  await box.controller.start(POD);
  await box.tasks.create({ containerId: "web" });
  shim.answerSandbox({
    shutdownSandbox: () => {
      throw new StatusError(Code.FailedPrecondition, "busy");
    },
  });
  await assert.rejects(box.controller.shutdown(POD), { message: /^failed to shutdown sandbox: busy/ });
  assert.equal((await box.tasks.get({ containerId: "web" })).process?.pid, 7);
  shim.answerSandbox({
    shutdownSandbox: () => {
      setImmediate(shim.die);
      return {};
    },
  });
  await box.controller.shutdown(POD);
  while (existsSync(box.taskBundle)) await new Promise((resolve) => setImmediate(resolve));
  await assert.rejects(box.tasks.get({ containerId: "web" }), { code: Code.NotFound });
  assert.deepEqual(
    records.published.filter(({ topic }) => topic.startsWith("/tasks/")),
    [],
  );
  assert.deepEqual(box.failures, []);
});

test("a shim of version 2 is started for each task, and a sandbox on no record is of no effect", async () => {
  using directory = temporaryDirectory();
  using records = openTestRecords();
  using shim = await serveFakeSandbox(directory.path, 2);
  using box = openSandboxes(directory.path, records);
  const { sandboxStore, containers } = records.services();
  const container = testContainer("web", { sandbox: "pod", runtime: { name: shim.binary, options: undefined } });
  await containers.create({ container });
  await box.tasks.create({ containerId: "web" });
  await box.tasks.delete({ containerId: "web" });
  assert.deepEqual(scriptCalls(directory.path), ["start", "delete"]);
  await sandboxStore.create({ sandbox: sandboxOf(shim.binary) });
  await box.controller.start(POD);
  await box.tasks.create({ containerId: "web" });
  assert.deepEqual(scriptCalls(directory.path), ["start", "delete", "start", "start"]);
});

test("after a restart: sandbox and task are back, ending the one leaves the other", async () => {
  using directory = temporaryDirectory();
  using records = openTestRecords();
  using shim = await serveFakeSandbox(directory.path);
  const { sandboxStore, containers } = records.services();
  await sandboxStore.create({ sandbox: sandboxOf(shim.binary) });
  await containers.create({ container: testContainer("web", { sandbox: "pod" }) });
  {
    using before = openSandboxes(directory.path, records);
    await before.controller.start(POD);
    await before.tasks.create({ containerId: "web" });
  }
  using box = openSandboxes(directory.path, records);
  mkdirSync(join(box.work, "..", "stray", "deep"), { recursive: true });
  await box.recover();
  assert.deepEqual(readdirSync(join(box.work, "..")), ["pod"]);
  assert.equal((await box.tasks.get({ containerId: "web" })).process?.pid, 7);
  await box.tasks.delete({ containerId: "web" });
  assert.equal((await box.controller.status(POD)).state, "SANDBOX_READY");
  await box.controller.shutdown(POD);
  assert.equal(shim.calls.includes("shutdown"), false);
  assert.deepEqual(box.failures, []);
});

test("after a restart: a dead shim, and one without its sandbox, are cleaned up", async () => {
  using directory = temporaryDirectory();
  using records = openTestRecords();
  using shim = await serveFakeSandbox(directory.path);
  const sandbox = sandboxOf(shim.binary);
  {
    using before = openSandboxes(directory.path, records);
    await before.controller.create({ ...POD, sandbox });
    await before.controller.create({ ...POD, sandboxId: "idle", sandbox });
  }
  shim.created.length = 0; // as if the daemon had died before CreateSandbox
  {
    using box = openSandboxes(directory.path, records);
    await box.recover();
    assert.equal(shim.calls.filter((call) => call === "shutdownSandbox").length, 2);
    assert.deepEqual(readdirSync(join(box.bundle, "..")), []);
    await box.controller.create({ ...POD, sandbox });
  }
  shim.die();
  using box = openSandboxes(directory.path, records);
  await box.recover();
  assert.deepEqual([readdirSync(join(box.bundle, "..")), box.failures], [[], []]);
});

test("a shim that dies: the exit is told, waiters end, its tasks end, the id is free", async () => {
  using directory = temporaryDirectory();
  using records = openTestRecords();
  using box = openSandboxes(directory.path, records);
  {
    using shim = await serveFakeSandbox(directory.path);
    const { containers, sandboxStore } = records.services();
    await sandboxStore.create({ sandbox: sandboxOf(shim.binary) });
    await containers.create({ container: testContainer("web", { sandbox: "pod" }) });
    await box.controller.start(POD);
    await box.tasks.create({ containerId: "web" });
    const waiting = assert.rejects(box.controller.wait(POD), { code: Code.Unknown, message: /ttrpc: closed/ });
    shim.die();
    await waiting;
  }
  await box.lost;
  assert.deepEqual(topics(records).at(-1), "/sandboxes/exit");
  const { published } = records;
  const told = () => published.some(({ topic }) => topic === "/tasks/delete");
  while (!told()) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([existsSync(box.bundle), existsSync(box.taskBundle)], [false, false]);
  using _again = await serveFakeSandbox(directory.path);
  assert.equal((await box.controller.start(POD)).pid, 70);
  assert.deepEqual(box.failures, []);
});
