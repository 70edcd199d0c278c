import assert from "node:assert/strict";
import { test } from "node:test";
import { ANY, containerd, packAny, taskV2, taskV3 } from "@trimaran/proto";
import { Code } from "ttrpc-ts";
import { SLOT } from "../stdio/slots.ts";
import { TestPod } from "../testing/test-pod.ts";
import { TaskStatus } from "./lifecycle.ts";

const id = "web";
const bundle = "/nonexistent/bundle";
const exitedWith = (code: number): number => code << 8;
const { ProcessDetails } = containerd.runc.v1;
/** Long enough for a frame to get there and for its answer to come back. */
const turns = async (count = 10): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise(setImmediate);
};

test("create, start, exit, delete: pids, times and statuses agree, events in order", async () => {
  const pod = new TestPod();
  const pid = await pod.run();
  assert.equal((await pod.task.state({ id })).status, TaskStatus.running);
  pod.monitor.exit("init/web", exitedWith(42));
  const { exitStatus, exitedAt } = await pod.task.wait({ id });
  assert.equal(exitStatus, 42);
  const state = await pod.task.state({ id });
  assert.deepEqual(
    [state.status, state.pid, state.exitStatus, state.exitedAt],
    [TaskStatus.stopped, pid, 42, exitedAt],
  );
  assert.deepEqual(await pod.task.wait({ id }), { exitStatus, exitedAt });
  assert.deepEqual(await pod.task.delete({ id }), { pid, exitStatus, exitedAt });
  await pod.told("delete web 42");
  assert.deepEqual(pod.events, ["create web", "start web", "exit web web 42", "delete web 42"]);
  assert.deepEqual(pod.runtime.removed, [id]);
  assert.deepEqual([...pod.monitor.processes.keys()], []);
});

test("output that was not read holds back the news of an exit, not the knowledge of it", async () => {
  const pod = new TestPod();
  const { task, monitor } = pod;
  await task.create({ id, bundle, stdout: "/fifo" });
  await task.start({ id });
  await task.exec({ id, execId: "one", stdout: "/fifo" });
  await task.start({ id, execId: "one" });
  monitor.unread = 7n;
  monitor.exit("init/web", exitedWith(5));
  await turns();
  const waits = [task.wait({ id }), task.wait({ id, execId: "one" })];
  for (const execId of ["", "one"]) {
    assert.equal((await task.state({ id, execId })).status, TaskStatus.stopped);
    await assert.rejects(task.kill({ id, execId, signal: 15 }), { code: Code.NotFound });
  }
  assert.deepEqual((await task.pids({ id })).processes, [], "containerd deletes a task without any");
  const deleted = [task.delete({ id, execId: "one" }), task.delete({ id })];
  await turns();
  assert.deepEqual(
    pod.events.filter((event) => /^(exit|delete)/.test(event)),
    [],
  );
  monitor.unread = 0n;
  assert.deepEqual(
    (await Promise.all([...waits, ...deleted])).map(({ exitStatus }) => exitStatus),
    [5, 137, 137, 5],
  );
  await pod.told("delete web 5");
  assert.deepEqual(pod.events.slice(-3), ["exit web one 137", "exit web web 5", "delete web 5"]);
});

test("Pids is not empty before the exit is known", async () => {
  const pod = new TestPod();
  await pod.run(); // the runtime shows no process, as a cgroup whose last one has just died
  const pids = pod.task.pids({ id });
  await turns();
  pod.monitor.exit("init/web", 9);
  assert.deepEqual((await pids).processes, []);
  assert.equal((await pod.task.delete({ id })).exitStatus, 137);
});

test("a process that ends while Start is on its way: start, then exit", async () => {
  const pod = new TestPod();
  await pod.task.create({ id, bundle });
  pod.monitor.behave = (key) => {
    queueMicrotask(() => pod.monitor.exit(key, exitedWith(0))); // its exec and its exit are told in one breath
    return "exec";
  };
  await pod.task.start({ id });
  await pod.told("exit web web 0");
  assert.deepEqual(pod.events, ["create web", "start web", "exit web web 0"]);
});

test("Wait before Start blocks, and gets the exit", async () => {
  const pod = new TestPod();
  await pod.task.create({ id, bundle });
  let answered = false;
  const wait = pod.task.wait({ id }).finally(() => {
    answered = true;
  });
  await pod.task.start({ id });
  await turns();
  assert.equal(answered, false);
  pod.monitor.exit("init/web", 11);
  assert.equal((await wait).exitStatus, 139);
});

test("execs: added, started, exit; those that run end before init does", async () => {
  const pod = new TestPod();
  await pod.run();
  const pid = await pod.exec("one");
  await pod.exec("two");
  await pod.task.exec({ id, execId: "never" });
  pod.monitor.exit("exec/web/one", exitedWith(3));
  assert.equal((await pod.task.wait({ id, execId: "one" })).exitStatus, 3);
  assert.equal((await pod.task.delete({ id, execId: "one" })).pid, pid);
  pod.monitor.exit("init/web", exitedWith(0));
  await pod.told("exit web web 0");
  assert.deepEqual(pod.events, [
    ...["create web", "start web", "exec-added web one", "exec-started web one", "exec-added web two"],
    ...["exec-started web two", "exec-added web never", "exit web one 3", "exit web two 137", "exit web web 0"],
  ]);
});

test("Start of an exec that comes with init's exit is refused, and init's exit still is the last", async () => {
  const pod = new TestPod();
  await pod.run();
  await pod.exec("one");
  await pod.task.exec({ id, execId: "late" });
  pod.monitor.exit("init/web", exitedWith(0));
  const late = pod.task.start({ id, execId: "late" });
  await assert.rejects(late, { code: Code.FailedPrecondition, message: "container web init process is not running" });
  await pod.told("exit web web 0");
  assert.equal(pod.events.at(-1), "exit web web 0");
});

test("a lack of memory is told before the exit that it caused, and at once if init lives", async () => {
  const pod = new TestPod();
  await pod.run();
  await pod.exec("eater");
  pod.runtime.kills = 1;
  pod.monitor.watch("init/web", SLOT.watch);
  await pod.told("oom web");
  pod.monitor.watch("init/web", SLOT.watch);
  pod.runtime.kills = 2;
  pod.monitor.exit("exec/web/eater", 9);
  await pod.told("exit web eater 137");
  pod.runtime.kills = 3;
  pod.monitor.exit("init/web", 9);
  await pod.told("exit web web 137");
  assert.deepEqual(pod.events.slice(4), ["oom web", "oom web", "exit web eater 137", "oom web", "exit web web 137"]);
});

test("a lack of memory while Start is on its way is told after it", async () => {
  const pod = new TestPod();
  const { promise: started, resolve } = Promise.withResolvers<void>();
  pod.runtime.started = started;
  await pod.task.create({ id, bundle });
  const start = pod.task.start({ id });
  await turns();
  pod.runtime.kills = 1;
  pod.monitor.watch("init/web", SLOT.watch);
  await turns();
  resolve();
  await start;
  await pod.told("oom web");
  assert.deepEqual(pod.events, ["create web", "start web", "oom web"]);
});

test("Kill", async (t) => {
  const pod = new TestPod();
  const { task } = pod;
  const gone = { code: Code.NotFound, message: "process already finished: not found" };
  const early = { code: Code.FailedPrecondition, message: "process not created: failed precondition" };
  await t.test("an unknown container or exec: NotFound, and which", async () => {
    await assert.rejects(task.kill({ id }), { code: Code.NotFound, message: "container not created: not found" });
    await pod.run();
    await assert.rejects(task.kill({ id, execId: "x" }), { message: "process does not exist x: not found" });
  });
  await t.test("an exec that was not started: FailedPrecondition", async () => {
    await task.exec({ id, execId: "one" });
    await assert.rejects(task.kill({ id, execId: "one", signal: 9 }), early);
  });
  await t.test("one that runs gets the signal, one that ended is NotFound", async () => {
    await task.start({ id, execId: "one" });
    await task.kill({ id, execId: "one", signal: 15 });
    assert.equal((await task.wait({ id, execId: "one" })).exitStatus, 143);
    await assert.rejects(task.kill({ id, execId: "one", signal: 15 }), gone);
  });
  await t.test("a signal that there is not: InvalidArgument", async () => {
    await assert.rejects(task.kill({ id, signal: 65 }), { code: Code.InvalidArgument });
  });
  await t.test("an exit that was not told yet: NotFound, never another process", async () => {
    pod.monitor.exit("init/web", 9);
    await assert.rejects(task.kill({ id, signal: 15 }), gone);
  });
  await t.test("after the exit: NotFound, with all OK", async () => {
    await task.wait({ id });
    await assert.rejects(task.kill({ id, signal: 9 }), gone);
    await task.kill({ id, signal: 9, all: true });
  });
  await t.test("a created init gets it, and is stopped", async () => {
    await task.create({ id: "other", bundle });
    await task.kill({ id: "other", signal: 9 });
    assert.equal((await task.wait({ id: "other" })).exitStatus, 137);
    assert.equal((await task.state({ id: "other" })).status, TaskStatus.stopped);
  });
});

test("Delete of a running or paused task is refused, its state unchanged; a second Delete is NotFound", async () => {
  const pod = new TestPod();
  await pod.run();
  const refused = (state: string) => ({ code: Code.FailedPrecondition, message: `cannot delete a ${state} process` });
  await assert.rejects(pod.task.delete({ id }), refused("running"));
  await pod.task.pause({ id });
  await assert.rejects(pod.task.delete({ id }), refused("paused"));
  assert.equal((await pod.task.state({ id })).status, TaskStatus.paused);
  pod.monitor.exit("init/web", 9);
  await pod.task.wait({ id });
  const both = await Promise.allSettled([pod.task.delete({ id }), pod.task.delete({ id })]);
  assert.deepEqual(
    both.map((result) => (result.status === "fulfilled" ? result.value.exitStatus : result.reason.code)),
    [137, Code.NotFound],
  );
  await assert.rejects(pod.task.delete({ id }), { code: Code.NotFound });
  await assert.rejects(pod.task.state({ id }), { code: Code.NotFound });
  await pod.task.create({ id, bundle }); // the id is free
});

test("Delete of a created task ends it, without a wait", { timeout: 5000 }, async () => {
  const pod = new TestPod();
  await pod.task.create({ id, bundle });
  assert.equal((await pod.task.delete({ id })).exitStatus, 137);
  await pod.told("delete web 137");
  assert.deepEqual(pod.events, ["create web", "exit web web 137", "delete web 137"]);
});

test("Delete right after a Start that failed does not wait for its own turn", { timeout: 5000 }, async () => {
  const pod = new TestPod();
  await pod.task.create({ id, bundle });
  pod.monitor.behave = () => ({ step: 1, errno: 2, afterClone: true });
  const start = pod.task.start({ id });
  const deleted = pod.task.delete({ id });
  await assert.rejects(start, { message: "step 1: errno 2" });
  assert.equal((await deleted).exitStatus, 255);
});

test("Create: a used id is AlreadyExists, a failure leaves nothing", async () => {
  const pod = new TestPod();
  await pod.task.create({ id, bundle });
  await assert.rejects(pod.task.create({ id, bundle }), { code: Code.AlreadyExists });
  assert.equal((await pod.task.state({ id })).status, TaskStatus.created);
  for (const afterClone of [true, false]) {
    pod.monitor.behave = () => ({ step: 4, errno: 13, afterClone });
    await assert.rejects(pod.task.create({ id: "bad", bundle }), { message: "step 4: errno 13" });
    await assert.rejects(pod.task.state({ id: "bad" }), { code: Code.NotFound });
  }
  assert.deepEqual([...pod.monitor.processes.keys()], ["init/web"]);
  for (const bad of ["", "../x", "a b", "x".repeat(77)])
    await assert.rejects(pod.task.create({ id: bad, bundle }), { code: Code.InvalidArgument });
  await assert.rejects(pod.task.create({ id: "c", bundle, checkpoint: "/c" }), { code: Code.FailedPrecondition });
});

test("State, Connect and Wait answer while Create of another container hangs", async () => {
  const pod = new TestPod();
  const pid = await pod.run();
  const hang = Promise.withResolvers<void>();
  pod.runtime.creation = hang.promise;
  const slow = pod.task.create({ id: "slow", bundle });
  assert.equal((await pod.task.state({ id: "slow" })).status, TaskStatus.created);
  assert.equal((await pod.task.state({ id })).pid, pid);
  await pod.task.kill({ id, signal: 9 });
  assert.equal((await pod.task.wait({ id })).exitStatus, 137);
  hang.resolve();
  assert.ok((await slow).pid > 0);
});

test("an exec whose spec is no JSON is refused by Exec, and its id stays free", async () => {
  const pod = new TestPod();
  await pod.run();
  const spec = packAny(ANY.ociProcess, Buffer.from("{"));
  await assert.rejects(pod.task.exec({ id, execId: "one", spec }), {
    code: Code.InvalidArgument,
    message: /^spec: not JSON/,
  });
  await pod.exec("one");
});

test("an exec: a used id is AlreadyExists; one that failed stays CREATED, is deleted, its id used again", async () => {
  const pod = new TestPod();
  const { task, monitor } = pod;
  await pod.run();
  monitor.behave = () => ({ step: 9, errno: 2, afterClone: true });
  await task.exec({ id, execId: "one" });
  await assert.rejects(task.exec({ id, execId: "one" }), {
    code: Code.AlreadyExists,
    message: "id one: already exists",
  });
  const waiting = task.wait({ id, execId: "one" });
  await assert.rejects(task.start({ id, execId: "one" }), { message: "step 9: errno 2" });
  assert.equal((await waiting).exitStatus, 0);
  assert.equal((await task.wait({ id, execId: "one" })).exitStatus, 0);
  assert.equal((await task.state({ id, execId: "one" })).status, TaskStatus.created);
  await assert.rejects(task.start({ id, execId: "one" }), { code: Code.FailedPrecondition });
  await task.delete({ id, execId: "one" });
  await assert.rejects(task.delete({ id, execId: "one" }), { code: Code.NotFound });
  monitor.behave = () => "exec";
  const pid = await pod.exec("one");
  assert.equal((await task.state({ id, execId: "one" })).pid, pid);
  await assert.rejects(task.delete({ id, execId: "one" }), { message: "cannot delete a running process" });
  assert.deepEqual(pod.events.slice(2), ["exec-added web one", "exec-added web one", "exec-started web one"]);
});

test("two Deletes of an exec at once: one answer, one NotFound; a next one of that id keeps its note", async () => {
  const pod = new TestPod();
  await pod.run();
  await pod.exec("one");
  pod.monitor.exit("exec/web/one", 0);
  await pod.task.wait({ id, execId: "one" });
  const both = [pod.task.delete({ id, execId: "one" }), pod.task.delete({ id, execId: "one" })];
  assert.deepEqual(
    (await Promise.allSettled(both)).map(({ status }) => status),
    ["fulfilled", "rejected"],
  );
  await pod.task.exec({ id, execId: "one" });
  await turns();
  assert.ok(pod.monitor.notes.has("exec/web/one"));
});

test("Exec and Start of one that is not there, or in the wrong state", async () => {
  const pod = new TestPod();
  await assert.rejects(pod.task.exec({ id, execId: "one" }), { code: Code.NotFound });
  await pod.task.create({ id, bundle });
  await pod.task.exec({ id, execId: "early" }); // allowed on a created task
  await assert.rejects(pod.task.start({ id, execId: "early" }), { code: Code.FailedPrecondition });
  await pod.task.start({ id });
  await assert.rejects(pod.task.start({ id }), { message: "cannot start a running process" });
  await assert.rejects(pod.task.start({ id, execId: "none" }), { code: Code.NotFound });
  await pod.task.start({ id, execId: "early" });
  await pod.task.pause({ id });
  await assert.rejects(pod.task.exec({ id, execId: "two" }), { message: "cannot exec in a paused state" });
  await assert.rejects(pod.task.exec({ id, execId: "../x" }), { code: Code.InvalidArgument });
});

test("Pause and Resume: states, execs too; wrong ones are refused; an exit ends both", async () => {
  const pod = new TestPod();
  const { task } = pod;
  await task.create({ id, bundle });
  await assert.rejects(task.pause({ id }), { message: "cannot pause a created process" });
  await task.start({ id });
  await pod.exec("one");
  await assert.rejects(task.resume({ id }), { message: "cannot resume a running process" });
  await task.pause({ id });
  assert.equal((await task.state({ id })).status, TaskStatus.paused);
  assert.equal((await task.state({ id, execId: "one" })).status, TaskStatus.paused);
  await assert.rejects(task.pause({ id }), { code: Code.FailedPrecondition, message: "cannot pause a paused process" });
  await task.resume({ id });
  assert.equal((await task.state({ id, execId: "one" })).status, TaskStatus.running);
  await task.pause({ id });
  await task.kill({ id, signal: 9 });
  assert.equal((await task.wait({ id })).exitStatus, 137);
  assert.deepEqual([...pod.runtime.frozen], [], "an exited task is thawed");
  await assert.rejects(task.resume({ id }), { code: Code.FailedPrecondition });
});

test("a Pause whose client and task server went in the middle can be resumed", async () => {
  const pod = new TestPod();
  await pod.run();
  const other = pod.connect();
  pod.monitor.crashAt(2, true); // the frame's first message is the note "pausing", the second the event
  pod.monitor.onCrash = () => {
    other.close();
    pod.restart();
  };
  await assert.rejects(other.service(taskV2).pause({ id }));
  while (pod.restarts === 0) await turns(1);
  await pod.task.resume({ id });
  assert.equal((await pod.task.state({ id })).status, TaskStatus.running);
  await pod.task.pause({ id });
});

test("Pids: init and execs by name; empty after the exit", async () => {
  const pod = new TestPod();
  const pid = await pod.run();
  const exec = await pod.exec("one");
  pod.runtime.pids = [pid, exec, 7];
  const { processes } = await pod.task.pids({ id });
  assert.deepEqual(
    processes.map((process) => [process.pid, process.info && ProcessDetails.decode(process.info.value).execId]),
    [
      [pid, undefined],
      [exec, "one"],
      [7, undefined],
    ],
  );
  pod.monitor.exit("init/web", 9);
  await pod.task.wait({ id });
  assert.deepEqual((await pod.task.pids({ id })).processes, []);
});

test("ResizePty without a terminal and CloseIO, again and again, do nothing", async () => {
  const pod = new TestPod();
  await pod.run();
  await pod.task.exec({ id, execId: "one" });
  for (const execId of ["", "one", ""]) {
    await pod.task.resizePty({ id, execId, width: 80, height: 25 });
    await pod.task.closeIO({ id, execId, stdin: true });
    await pod.task.closeIO({ id, execId });
  }
  pod.monitor.exit("init/web", 9);
  await pod.task.wait({ id });
  await pod.task.closeIO({ id, stdin: true });
  await assert.rejects(pod.task.resizePty({ id }), { message: "cannot resize a stopped container" });
});

test("what this runtime lacks is Unimplemented", async () => {
  const pod = new TestPod();
  await pod.run();
  await assert.rejects(pod.task.stats({ id }), { code: Code.Unimplemented });
  await assert.rejects(pod.task.checkpoint({ id, path: "c" }), { code: Code.InvalidArgument });
  await assert.rejects(pod.task.checkpoint({ id, path: "/c" }), { code: Code.Unimplemented });
  await assert.rejects(pod.task.update({ id }), { code: Code.InvalidArgument });
});

test("Connect: an unknown id is OK; both service names serve one state", async () => {
  const pod = new TestPod();
  const unknown = await pod.task.connect({ id: "unknown" });
  assert.deepEqual(unknown, { shimPid: 99, taskPid: 0, version: "9.9" });
  const pid = await pod.run();
  assert.equal((await pod.task.connect({ id })).taskPid, pid);
  assert.equal((await pod.client.service(taskV3).state({ id })).pid, pid);
});

test("Shutdown with a task is OK and stops nothing; without one it answers, sends the events and ends the monitor", async () => {
  const pod = new TestPod();
  await pod.run();
  await pod.task.shutdown({ id, now: true });
  await turns();
  assert.equal((await pod.task.state({ id })).status, TaskStatus.running);
  assert.equal(pod.monitor.hasExited, false);
  pod.monitor.exit("init/web", 0);
  await pod.task.wait({ id });
  await pod.task.delete({ id });
  await pod.task.shutdown({ id });
  while (!pod.monitor.hasExited) await turns(1);
  assert.equal(pod.events.at(-1), "delete web 0");
});

test("Waits that were given up leave nothing, and disturb nobody", async () => {
  const pod = new TestPod();
  await pod.run();
  const patient = pod.task.wait({ id });
  const late = assert.rejects(pod.task.wait({ id }, { timeoutMs: 1 }), { code: Code.DeadlineExceeded });
  const leaving = pod.connect();
  const lost = Array.from({ length: 200 }, () => leaving.service(taskV2).wait({ id }));
  await turns();
  leaving.close();
  await Promise.allSettled(lost);
  await late;
  await turns();
  assert.equal(pod.pod.task(id).waiters.size, 1);
  assert.equal((await pod.task.state({ id })).status, TaskStatus.running);
  pod.monitor.exit("init/web", 0);
  assert.equal((await patient).exitStatus, 0);
  assert.equal(pod.pod.task(id).waiters.size, 0);
  assert.deepEqual(pod.monitor.superfluousAnswers, []);
});

test("a Create that a crash cut short and nobody repeats is taken away by delete", async () => {
  const pod = new TestPod();
  const other = pod.connect();
  pod.monitor.crashAt(3, true); // note, spawn, event: then the state would follow
  pod.monitor.onCrash = () => {
    other.close();
    pod.restart();
  };
  await assert.rejects(other.service(taskV2).create({ id, bundle }));
  while (pod.restarts === 0) await turns(1);
  assert.ok(pod.monitor.processes.has("init/web"));
  await pod.pod.destroy(id);
  assert.deepEqual([...pod.monitor.processes.keys()], []);
  assert.deepEqual(pod.runtime.removed, [id]);
});
