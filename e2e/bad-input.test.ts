import assert from "node:assert/strict";
import { type Box, matrix } from "./harness/matrix.ts";
import type { Finished } from "./harness/process.ts";

/** It failed for that reason, and left no task and no container. */
async function refused(box: Box, done: Finished, reason: RegExp): Promise<void> {
  assert.notEqual(done.code, 0);
  assert.match(done.stderr, reason);
  assert.doesNotMatch(await box.engine.ctrOk("task", "ls"), new RegExp(box.engine.tag));
  for (const id of (await box.engine.ctrOk("container", "ls", "-q")).trim().split("\n").filter(Boolean)) {
    await box.engine.ctrOk("container", "rm", id); // ctr leaves the record of a container that failed to start
  }
}

matrix("bad input", (scenario) => {
  scenario("a command that does not exist", async (box) => {
    const done = await box.run({}, "/nope");
    await refused(box, done, box.isControl ? /\/nope.*no such file/ : /process\.args\[0\] "\/nope".*no such file/);
    const searched = await box.run({}, "nope");
    await refused(box, searched, box.isControl ? /executable file not found in \$PATH/ : /process\.args\[0\] "nope"/);
  });

  scenario("a command that may not be executed", async (box) => {
    const done = await box.run({}, "/etc/not-executable");
    await refused(
      box,
      done,
      box.isControl ? /permission denied/ : /process\.args\[0\] "\/etc\/not-executable".*permission denied/,
    );
  });

  scenario("a directory as the command", async (box) => {
    await refused(
      box,
      await box.run({}, "/tmp"),
      box.isControl ? /is a directory|permission denied/ : /process\.args\[0\] "\/tmp"/,
    );
  });

  scenario("a namespace path that is missing, or is no namespace", async (box) => {
    const missing = await box.run({ flags: ["--with-ns", "network:/run/nope"] }, "true");
    await refused(box, missing, box.isControl ? /no such file/ : /\/run\/nope.*(no such file|does not exist)/);
    const wrong = await box.run({ flags: ["--with-ns", "network:/proc/self/ns/uts"] }, "true");
    await refused(box, wrong, box.isControl ? /./ : /namespaces\[\d\]|\/proc\/self\/ns\/uts/);
  });

  scenario("a bind mount whose source does not exist", async (box) => {
    const mount = "type=bind,src=/no/such/source,dst=/mnt,options=rbind:ro";
    const done = await box.run({ flags: ["--mount", mount] }, "true");
    await refused(
      box,
      done,
      box.isControl ? /no such file/ : /mounts\[\d+\] "\/mnt".*\bsource\b.*(does not exist|no such file)/,
    );
  });

  scenario("a working directory that is a file", async (box) => {
    const done = await box.run({ flags: ["--cwd", "/etc/passwd"] }, "true");
    await refused(box, done, box.isControl ? /not a directory/ : /process\.cwd "\/etc\/passwd".*not a directory/i);
  });

  scenario("a class of service on a machine without resctrl", async (box) => {
    const done = await box.run({ flags: ["--rdt-class", "gold"] }, "true");
    if (box.isControl) return assert.equal(done.code, 0); // against the specification, and crun
    await refused(box, done, /linux\.intelRdt: no resctrl file system is mounted/);
  });

  scenario("an id that is taken", async (box) => {
    await using container = await box.start({}, "sleep", "1000");
    const again = await box.run({ id: container.id }, "true");
    assert.notEqual(again.code, 0);
    assert.match(again.stderr, /already exists/);
    assert.equal((await container.listed())?.status, "RUNNING");
  });

  scenario("a second start", async (box) => {
    await using container = await box.start({}, "sleep", "1000");
    const again = await container.task("start");
    assert.notEqual(again.code, 0);
    assert.match(again.stderr, /already exists/);
    assert.equal((await container.exec({}, "true")).code, 0);
  });

  scenario("kill after the exit is NotFound", async (box) => {
    await using container = await box.start({}, "true");
    await container.reached("STOPPED");
    const done = await container.task("kill", "-s", "TERM");
    assert.notEqual(done.code, 0);
    assert.match(done.stderr, /not found/);
    assert.equal((await container.task("kill", "--all", "-s", "KILL")).code, 0, "with --all it is no error");
  });

  scenario("exec after the exit", async (box) => {
    await using container = await box.start({}, "true");
    await container.reached("STOPPED");
    const done = await container.exec({}, "true");
    assert.notEqual(done.code, 0);
    assert.equal((await container.listed())?.status, "STOPPED");
  });

  scenario("an exec id that is taken", async (box) => {
    await using container = await box.start({}, "sleep", "1000");
    await box.engine.ctrOk("task", "exec", "-d", "--exec-id", "same", container.id, "sleep", "500");
    const again = await box.engine.ctr("task", "exec", "--exec-id", "same", container.id, "true");
    assert.notEqual(again.code, 0);
    assert.match(again.stderr, /already exists/);
  });
});
