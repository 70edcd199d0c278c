import assert from "node:assert/strict";
import { watchEvents } from "./harness/events.ts";
import { type Box, matrix } from "./harness/matrix.ts";

const LIMIT = ["--memory-limit", String(32 * 1024 * 1024)];
const EAT = ["dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1"]; // dd touches its whole buffer

/** Upstream's 1.6 shim now and then exits before its last event is out. */
const lastTopic = ({ isControl }: Box) => (isControl ? "/tasks/exit" : "/tasks/delete");

matrix("events", (scenario) => {
  scenario("out of memory, init is killed: 137, and the oom event", async (box) => {
    await using events = await watchEvents(box.engine);
    const id = box.engine.newId();
    assert.equal((await box.run({ id, flags: LIMIT }, ...EAT)).code, 137);
    await events.reached(id, "/tasks/oom");
    await events.reached(id, lastTopic(box));
    const topics = events.of(id).map(({ topic }) => topic);
    assert.equal(topics.filter((topic) => topic === "/tasks/oom").length, 1, topics.join(" "));
    // upstream's shim before 2.3 publishes oom and exit without any order
    if (!box.isControl) assert.ok(topics.indexOf("/tasks/oom") < topics.indexOf("/tasks/exit"), topics.join(" "));
  });

  scenario("out of memory, a child is killed: the container lives, the event comes", async (box) => {
    await using events = await watchEvents(box.engine);
    await using container = await box.start(
      { flags: LIMIT },
      "sh",
      "-c",
      `${EAT.join(" ")}; echo $? > /tmp/status; sleep 1000`,
    );
    await events.reached(container.id, "/tasks/oom");
    const status = await container.exec(
      {},
      "sh",
      "-c",
      "until [ -s /tmp/status ]; do sleep 0.02; done; cat /tmp/status",
    );
    assert.equal(status.stdout, "137\n");
    assert.equal((await container.listed())?.status, "RUNNING");
  });

  scenario("events of a run: create, start, exit, delete", async (box) => {
    await using events = await watchEvents(box.engine);
    const id = box.engine.newId();
    await box.run({ id }, "sh", "-c", "exit 3");
    await events.reached(id, lastTopic(box));
    const seen = events.of(id).filter(({ topic }) => topic.startsWith("/tasks/"));
    const topics = seen.map(({ topic }) => topic).filter((topic) => !(box.isControl && topic === "/tasks/delete"));
    const expected = ["/tasks/create", "/tasks/start", "/tasks/exit", ...(box.isControl ? [] : ["/tasks/delete"])];
    assert.deepEqual(topics, expected);
    const exit = seen.find(({ topic }) => topic === "/tasks/exit")?.body;
    const start = seen.find(({ topic }) => topic === "/tasks/start")?.body;
    assert.equal(exit?.exit_status, 3);
    assert.equal(exit?.id, id);
    assert.equal(exit?.pid, start?.pid);
  });

  scenario("events of an exec: added, started, exit", async (box) => {
    await using events = await watchEvents(box.engine);
    await using container = await box.start({}, "sleep", "1000");
    await box.engine.ctr("task", "exec", "--exec-id", "one", container.id, "sh", "-c", "exit 4");
    await events.reached(container.id, "/tasks/exit");
    const seen = events.of(container.id).slice(-3);
    assert.deepEqual(
      seen.map(({ topic }) => topic),
      ["/tasks/exec-added", "/tasks/exec-started", "/tasks/exit"],
    );
    assert.deepEqual([seen[2]?.body.id, seen[2]?.body.exit_status], ["one", 4]);
  });
});
