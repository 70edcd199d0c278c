import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ANY, containerd, type google, packAny, tasksV1 } from "@trimaran/proto";
import { layout } from "../bundles/directories.ts";
import { parseIdentifier } from "../bundles/identifier.ts";
import { Code, ManagerError, StatusError } from "../errors/manager-error.ts";
import type { ShimEvent } from "../events/event-exchange.ts";
import { inProcessClient } from "../grpc/in-process.ts";
import { loadSyscalls } from "../host/syscalls.ts";
import { recoverTasks } from "../tasks/recover-tasks.ts";
import type { ShimHost } from "../tasks/task-host.ts";
import { TaskRegistry } from "../tasks/task-registry.ts";
import { serveFakeTask } from "../testing/fake-task-server.ts";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { tasksService } from "./tasks-service.ts";

const SPEC = packAny(ANY.ociSpec, Buffer.from('{"ociVersion":"1.0"}  '));
const OPTIONS = packAny(ANY.runcOptions, containerd.runc.v1.Options.encode({ binaryName: "/x/runc" }));

/** A daemon's tasks on a directory, with containers "web" and "db" of the fake runtime. */
function openTasks(directory: string, runtime: string, options?: google.protobuf.Any) {
  const dirs = { root: join(directory, "root"), state: join(directory, "state") };
  const host: ShimHost = {
    dirs,
    parent: { grpcAddress: "/g", ttrpcAddress: "/t", publishBinary: "/p", environment: process.env, debug: false },
    shimDirectories: [directory],
    syscalls: loadSyscalls,
    serveEvents: async () => {},
    trace: () => {},
  };
  const events: ShimEvent[] = [];
  const failures: unknown[] = [];
  const heard = Promise.withResolvers<void>();
  const registry = new TaskRegistry(host, {
    publish: (event) => {
      events.push(event);
      if (event.topic === "/tasks/delete") heard.resolve();
    },
    lost: () => {},
    failed: (...all) => void failures.push(all),
  });
  const service = tasksService({
    dirs,
    registry,
    containers: {
      get(namespace, id) {
        if (id === "web" || id === "db") return { runtime: { name: runtime, options }, spec: SPEC };
        throw new ManagerError(Code.NotFound, `container "${id}" in namespace "${namespace}"`);
      },
    },
    sandboxRecords: { find: () => undefined },
    sandboxes: { sharedShim: async () => undefined },
    checkpoints: { take: async () => [], restore: async () => {} },
    logOf: () => () => {},
  });
  const recover = () =>
    recoverTasks(host, registry, {
      runtimeOf: () => runtime,
      logOf: () => () => {},
      lost: (...all) => void (all[1] !== undefined && failures.push(all)),
      ended: () => {},
    });
  const bundle = join(layout.bundles(dirs, parseIdentifier("namespace", "ns")), "web");
  const work = join(layout.bundleWorks(dirs, parseIdentifier("namespace", "ns")), "web");
  const tasks = inProcessClient(tasksV1, service, "ns");
  return {
    tasks,
    registry,
    events,
    failures,
    heard: heard.promise,
    recover,
    bundle,
    work,
    dirs,
    [Symbol.dispose]: () => registry[Symbol.dispose](),
  };
}

const scriptCalls = (directory: string) => readFileSync(join(directory, "shim-calls"), "utf8").trim().split("\n");
const WEB = { containerId: "web" };

test("a task's life: the bundle, the shim's stdin, every verb, and nothing left", async () => {
  using directory = temporaryDirectory();
  using shim = await serveFakeTask(directory.path);
  using box = openTasks(directory.path, shim.binary, OPTIONS);
  let created: containerd.task.v2.CreateTaskRequest | undefined;
  shim.answer({
    create: (request) => {
      created = request;
      return { pid: 7 };
    },
  });
  const rootfs = [{ type: "bind", source: "/x", options: ["rw"] }];
  const answer = await box.tasks.create({ ...WEB, rootfs, stdout: "/a/b" });
  assert.deepEqual(answer, { containerId: "web", pid: 7 });
  assert.deepEqual(readFileSync(join(box.bundle, "config.json")), Buffer.from(SPEC.value));
  assert.deepEqual(readFileSync(join(directory.path, "start-input")), Buffer.from(googleAny(OPTIONS)));
  assert.equal(created?.bundle, box.bundle);
  assert.equal(created?.rootfs[0]?.source, "/x");
  assert.deepEqual(created?.options?.value, Buffer.from(OPTIONS.value));
  shim.answer({ state: ({ id }) => ({ id, pid: 7, status: 2, stdout: "/a/b" }) });
  assert.equal((await box.tasks.start(WEB)).pid, 7);
  const { process: seen } = await box.tasks.get(WEB);
  assert.deepEqual([seen?.containerId, seen?.id, seen?.pid, seen?.status, seen?.stdout], ["", "web", 7, 2, "/a/b"]);
  assert.equal(seen?.exitedAt?.seconds, -62135596800n);
  assert.equal((await box.tasks.list({})).tasks.length, 1);
  await box.tasks.exec({ ...WEB, execId: "e1", spec: packAny(ANY.ociProcess, Buffer.from("{}")) });
  await box.tasks.closeIO(WEB); // without stdin nothing is done
  await box.tasks.closeIO({ ...WEB, stdin: true });
  await box.tasks.kill({ ...WEB, signal: 15, all: true });
  await box.tasks.pause(WEB);
  await box.tasks.resume(WEB);
  assert.equal((await box.tasks.listPids(WEB)).processes[0]?.pid, 7);
  await box.tasks.update(WEB);
  await box.tasks.resizePty({ ...WEB, width: 80, height: 25 });
  const waiting = [box.tasks.wait(WEB), box.tasks.wait(WEB)];
  shim.exit(3);
  for (const { exitStatus } of await Promise.all(waiting)) assert.equal(exitStatus, 3);
  const ended = await box.tasks.delete(WEB);
  assert.deepEqual([ended.id, ended.pid, ended.exitStatus, ended.exitedAt], ["web", 7, 3, { seconds: 9n, nanos: 1 }]);
  const expected = ["create", "start", "exec", "closeIO", "kill", "pause", "resume", "pids", "update", "resizePty"];
  assert.deepEqual(shim.calls, [...expected, "wait", "wait", "delete", "shutdown"]);
  assert.deepEqual(scriptCalls(directory.path), ["start", "delete"]);
  assert.equal(existsSync(box.bundle) || existsSync(box.work), false);
  assert.deepEqual(box.events, []); // while the shim lives its events are its own
});

const googleAny = (any: google.protobuf.Any) => {
  const name = Buffer.from(any.typeUrl);
  return [0x0a, name.length, ...name, 0x12, any.value.length, ...any.value];
};

test("codes and texts for what is not there, and for ids that are none", async () => {
  using directory = temporaryDirectory();
  using shim = await serveFakeTask(directory.path);
  using box = openTasks(directory.path, shim.binary);
  await assert.rejects(box.tasks.get({ containerId: "nobody" }), {
    code: Code.NotFound,
    message: 'container "nobody" in namespace "ns": not found',
  });
  await assert.rejects(box.tasks.get(WEB), { code: Code.NotFound, message: "task web not found" });
  await assert.rejects(box.tasks.delete(WEB), { code: Code.NotFound, message: "task web not found" });
  await box.tasks.create(WEB);
  await assert.rejects(box.tasks.create(WEB), { code: Code.AlreadyExists, message: "task web: already exists" });
  for (const execId of ["", "a b", "../x"]) {
    await assert.rejects(box.tasks.exec({ ...WEB, execId }), { code: Code.InvalidArgument });
    await assert.rejects(box.tasks.deleteProcess({ ...WEB, execId }), { code: Code.InvalidArgument });
  }
  await box.tasks.delete(WEB);
});

test("a Create that fails says which step and why, and leaves nothing", async () => {
  using directory = temporaryDirectory();
  using shim = await serveFakeTask(directory.path);
  using missing = openTasks(directory.path, "/nonexistent/shim");
  await assert.rejects(missing.tasks.create(WEB), {
    code: Code.Unknown,
    message: 'failed to start shim: runtime "/nonexistent/shim": no executable file there',
  });
  using box = openTasks(directory.path, shim.binary);
  shim.answer({
    create: () => {
      throw new StatusError(Code.InvalidArgument, "process.args is empty");
    },
  });
  await assert.rejects(box.tasks.create(WEB), {
    code: Code.InvalidArgument,
    message: "failed to create shim task: process.args is empty: invalid argument",
  });
  assert.equal(existsSync(box.bundle), false);
  assert.deepEqual(scriptCalls(directory.path), ["start", "delete"]);
  assert.deepEqual(shim.calls, ["create", "delete", "shutdown"]);
});

test("a client that goes away in the middle of Create gets nothing started", async () => {
  using directory = temporaryDirectory();
  using shim = await serveFakeTask(directory.path);
  using box = openTasks(directory.path, shim.binary);
  const client = new AbortController();
  shim.answer({
    create: () => {
      client.abort();
      return new Promise(() => {});
    },
    delete: () => ({ pid: 7 }),
  });
  await assert.rejects(box.tasks.create(WEB, { signal: client.signal }), { code: Code.Canceled });
  shim.answer({ create: () => ({ pid: 8 }) });
  assert.equal((await box.tasks.create(WEB)).pid, 8); // waits for the undo, then takes the id
});

test("a shim that dies: both events, waiters end, and the id is free at once", async () => {
  using directory = temporaryDirectory();
  using first = await serveFakeTask(directory.path);
  using box = openTasks(directory.path, first.binary);
  await box.tasks.create(WEB);
  const waiting = assert.rejects(box.tasks.wait(WEB), { code: Code.Unknown, message: "ttrpc: closed" });
  first.die();
  await waiting;
  await box.heard;
  assert.deepEqual(
    box.events.map(({ topic, typeUrl, namespace }) => [topic, typeUrl, namespace]),
    [
      ["/tasks/exit", ANY.taskExit, "ns"],
      ["/tasks/delete", ANY.taskDelete, "ns"],
    ],
  );
  const [exit = Buffer.alloc(0), deletion = Buffer.alloc(0)] = box.events.map(({ payload }) => payload);
  const { containerId, id, pid, exitStatus } = containerd.events.TaskExit.decode(exit);
  assert.deepEqual([containerId, id, pid, exitStatus], ["web", "web", 7, 137]);
  assert.equal(containerd.events.TaskDelete.decode(deletion).exitStatus, 137);
  assert.equal(existsSync(box.bundle), false);
  using _second = await serveFakeTask(directory.path);
  await box.tasks.create(WEB);
  assert.deepEqual(box.failures, []);
});

test("two clients delete the same task: one has its status, the other NotFound", async () => {
  using directory = temporaryDirectory();
  using shim = await serveFakeTask(directory.path);
  using box = openTasks(directory.path, shim.binary);
  await box.tasks.create(WEB);
  shim.exit(42);
  const [one, other] = await Promise.allSettled([box.tasks.delete(WEB), box.tasks.delete(WEB)]);
  assert.equal(one.status === "fulfilled" && one.value.exitStatus, 42);
  assert.ok(other.status === "rejected" && other.reason.code === Code.NotFound);
  assert.deepEqual(scriptCalls(directory.path), ["start", "delete"]);
});

test("a Delete that the shim refuses keeps the task", async () => {
  using directory = temporaryDirectory();
  using shim = await serveFakeTask(directory.path);
  using box = openTasks(directory.path, shim.binary);
  await box.tasks.create(WEB);
  shim.answer({
    delete: () => {
      throw new StatusError(Code.FailedPrecondition, "task is running");
    },
  });
  await assert.rejects(box.tasks.delete(WEB), {
    code: Code.FailedPrecondition,
    message: "failed to delete task: task is running: failed precondition",
  });
  assert.equal((await box.tasks.get(WEB)).process?.pid, 7);
});

test("metrics by filter, with the shim's own type", async () => {
  using directory = temporaryDirectory();
  using shim = await serveFakeTask(directory.path);
  using box = openTasks(directory.path, shim.binary);
  await box.tasks.create(WEB);
  const idsOf = async (...filters: string[]) => (await box.tasks.metrics({ filters })).metrics.map(({ id }) => id);
  assert.deepEqual(await idsOf("id==web"), ["web"]);
  assert.deepEqual(await idsOf("id==other"), []);
  assert.deepEqual(await idsOf("namespace==ns"), ["web"]);
  assert.equal((await box.tasks.metrics({})).metrics[0]?.data?.typeUrl, "some.Metrics");
  await assert.rejects(idsOf("id=web"), { code: Code.InvalidArgument });
});

test("after a restart: a stopped task is back with its status, and a task of the old daemon is deleted by the new one", async () => {
  using directory = temporaryDirectory();
  using shim = await serveFakeTask(directory.path);
  const before = openTasks(directory.path, shim.binary);
  await before.tasks.create(WEB);
  before[Symbol.dispose]();
  shim.exit(5);
  using box = openTasks(directory.path, shim.binary);
  await box.recover();
  const { process: seen } = await box.tasks.get(WEB);
  assert.deepEqual([seen?.status, seen?.exitStatus], [3, 5]);
  assert.equal((await box.tasks.delete(WEB)).exitStatus, 5);
  assert.deepEqual(box.failures, []);
});

test("after a restart: dead shims are cleaned up without events, strays are removed", async () => {
  using directory = temporaryDirectory();
  const shim = await serveFakeTask(directory.path);
  const before = openTasks(directory.path, shim.binary);
  await before.tasks.create(WEB);
  before[Symbol.dispose]();
  shim.die();
  using box = openTasks(directory.path, shim.binary);
  const bundles = join(box.bundle, "..");
  mkdirSync(join(bundles, "empty"));
  mkdirSync(join(bundles, ".half", "x"), { recursive: true });
  mkdirSync(join(bundles, "never-started"));
  writeFileSync(join(bundles, "never-started", "config.json"), "{}");
  mkdirSync(join(box.work, "..", "stray", "deep"), { recursive: true });
  await box.recover();
  assert.deepEqual(readdirSync(bundles), []);
  assert.deepEqual(readdirSync(join(box.work, "..")), []);
  assert.deepEqual([box.events, box.failures], [[], []]);
  assert.deepEqual(scriptCalls(directory.path), ["start", "delete", "delete"]);
});

test("after a restart: a shim whose Create never came is ended", async () => {
  using directory = temporaryDirectory();
  using shim = await serveFakeTask(directory.path);
  const before = openTasks(directory.path, shim.binary);
  shim.answer({ create: () => new Promise(() => {}) });
  void before.tasks.create(WEB).catch(() => {});
  while (!existsSync(join(before.bundle, "bootstrap.json"))) await new Promise((resolve) => setImmediate(resolve));
  using box = openTasks(directory.path, shim.binary);
  await box.recover();
  assert.equal(shim.calls.at(-1), "shutdown");
  assert.equal(existsSync(box.bundle), false);
  await assert.rejects(box.tasks.get(WEB), { code: Code.NotFound });
});
