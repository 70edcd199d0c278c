import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { type Box, matrix, TRIMARAN } from "./harness/matrix.ts";

/** The one task server of the engine. */
async function taskServer(box: Box): Promise<number> {
  const pids = await box.engine.taskServerPids();
  assert.equal(pids.length, 1, `one task server per runtime and namespace, found ${pids.join(" ") || "none"}`);
  return pids[0] ?? 0;
}

/** Send it a signal. It may just be going away by itself. */
async function signalServer(box: Box, signal: NodeJS.Signals): Promise<void> {
  process.kill(await taskServer(box), signal);
}

for (const signal of ["SIGKILL", "SIGSTOP"] as const) {
  matrix(
    `task server gets ${signal}`,
    (scenario) => {
      scenario("then run", async (box) => {
        assert.equal((await box.run({}, "true")).code, 0);
        await signalServer(box, signal);
        assert.deepEqual(await box.run({}, "sh", "-c", "echo hi; exit 5"), { code: 5, stdout: "hi\n", stderr: "" });
      });

      scenario("between all verbs of one container", async (box) => {
        await using container = await box.start({}, "sh", "-c", "trap 'exit 23' TERM; while :; do sleep 0.02; done");
        await signalServer(box, signal);
        await container.reached("RUNNING"); // containerd asks for 2 s, in which an emulated machine has no server yet, and then says UNKNOWN
        assert.deepEqual(await container.exec({}, "echo", "hi"), { code: 0, stdout: "hi\n", stderr: "" });
        await signalServer(box, signal);
        await container.taskOk("pause");
        await signalServer(box, signal);
        await container.reached("PAUSED");
        await container.taskOk("resume");
        await signalServer(box, signal);
        assert.match(await container.taskOk("metrics"), /memory/);
        await signalServer(box, signal);
        await container.reached("RUNNING");
        const pid = (await container.listed())?.pid;
        assert.match(await container.taskOk("ps"), new RegExp(`^${pid} `, "m"));
        const attached = container.attach();
        await delay(100); // attach has no sign of being attached
        await signalServer(box, signal);
        await container.taskOk("kill", "-s", "TERM");
        assert.equal((await attached).code, 23);
      });

      scenario("while a container waits: its exit status is right", async (box) => {
        const dialogue = [{ expect: /ready/, send: "go\n" }];
        const running = box.run({ dialogue }, "sh", "-c", "sleep 0.3; echo ready; read word; echo $word; exit 77");
        await delay(200);
        await signalServer(box, signal);
        assert.deepEqual(await running, { code: 77, stdout: "ready\ngo\n", stderr: "" });
      });

      scenario("while 20 MiB of output flow", async (box) => {
        const script = "dd if=/dev/zero bs=64k count=160; sleep 0.5; dd if=/dev/zero bs=64k count=160";
        const running = box.run({ timeoutMs: 60_000 }, "sh", "-c", `{ ${script}; } 2>/dev/null | tr '\\0' x`);
        await delay(300);
        await signalServer(box, signal);
        const done = await running;
        assert.equal(done.stdout.length, 20 * 1024 * 1024);
        assert.equal(done.code, 0);
      });

      scenario("at random moments of many runs", async (box) => {
        assert.equal((await box.run({}, "true")).code, 0);
        for (let round = 0; round < 15; round++) {
          const running = box.run({ timeoutMs: 30_000 }, "sh", "-c", `echo ${round}; exit ${round}`);
          await delay(round * 5);
          for (const pid of await box.engine.taskServerPids()) signalIfThere(pid, signal);
          const done = await running;
          assert.deepEqual([done.code, done.stdout], [round, `${round}\n`], done.stderr);
        }
      });
    },
    { runtimes: [TRIMARAN] },
  );
}

function signalIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
