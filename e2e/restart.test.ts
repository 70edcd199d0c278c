import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { processesOf, socketPath } from "./harness/belongings.ts";
import type { Container } from "./harness/container.ts";
import { matrix } from "./harness/matrix.ts";

const WAIT_FOR_TERM = "trap 'exit 23' TERM; echo up; while :; do sleep 0.02; done";

/** Until the shell as PID 1 has its trap for SIGTERM. */
function trapped(container: Container) {
  return container.exec({}, "sh", "-c", "until grep -q 'SigCgt:.*[4-7c-f]...$' /proc/1/status; do sleep 0.02; done");
}

/** Until its parent, the shim, has reaped it. */
async function ended(pid: number): Promise<void> {
  while (existsSync(`/proc/${pid}`)) await delay(5);
}

matrix("containerd is killed and started again", (scenario) => {
  scenario("the container lives on and can be managed", async (box) => {
    await using container = await box.start({}, "sh", "-c", WAIT_FOR_TERM);
    const before = await container.listed();
    await box.engine.restart();
    assert.deepEqual(await container.listed(), before);
    assert.deepEqual(await container.exec({}, "echo", "still"), { code: 0, stdout: "still\n", stderr: "" });
    await container.taskOk("pause");
    await container.taskOk("resume");
    const attached = container.attach();
    await trapped(container);
    await container.taskOk("kill", "-s", "TERM");
    assert.equal((await attached).code, 23);
  });

  scenario("an exit while containerd is down is known afterwards", async (box) => {
    await using container = await box.start({}, "sh", "-c", WAIT_FOR_TERM);
    await trapped(container);
    const pid = (await container.listed())?.pid;
    assert.ok(pid);
    await box.engine.kill("SIGKILL");
    process.kill(pid, "SIGTERM");
    await ended(pid);
    await box.engine.start();
    const listed = await container.listed();
    if (box.engine.version === "1.6" || box.engine.kind === "trimaran") {
      assert.equal(listed?.status, "STOPPED");
      assert.match((await container.task("rm")).stderr, /exit with non-zero exit code 23|^$/);
    } else {
      assert.equal(listed, undefined, "containerd 2.x deletes at its start what has stopped without it");
    }
  });

  scenario("an exec that runs goes on", async (box) => {
    await using container = await box.start({}, "sleep", "1000");
    await box.engine.ctrOk("task", "exec", "-d", "--exec-id", "before", container.id, "sleep", "500");
    await box.engine.restart();
    assert.match(await container.taskOk("ps"), /before/);
    await container.taskOk("kill", "--exec-id", "before", "-s", "9");
  });

  scenario("ten containers survive", async (box) => {
    await using all = new AsyncDisposableStack();
    const containers: Container[] = [];
    for (let n = 0; n < 10; n++) containers.push(all.use(await box.start({}, "sleep", "1000")));
    await box.engine.restart();
    for (const container of containers) assert.equal((await container.listed())?.status, "RUNNING");
  });

  scenario("kill -9 of the shim: exit status 137, all gone", async (box) => {
    await using container = await box.start({}, "sleep", "1000");
    const pid = (await container.listed())?.pid;
    const init = (await processesOf(box.engine)).find((entry) => entry.pid === pid);
    assert.ok(init);
    process.kill(init.parent, "SIGKILL");
    await container.reached("absent");
    if (box.isControl) await rm(socketPath(box.engine.address, box.engine.namespace, container.id)); // upstream leaves it
  });
});
