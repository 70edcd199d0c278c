import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { processesOf } from "./harness/belongings.ts";
import { runContainer } from "./harness/container.ts";
import { type Engine, startContainerd } from "./harness/containerd.ts";
import { IMAGE } from "./harness/images.ts";
import { KataTemplates } from "./harness/kata-templates.ts";
import { assertNoLeaks, snapshot } from "./harness/leaks.ts";
import { KATA } from "./harness/matrix.ts";
import { PATIENCE } from "./harness/patience.ts";

const BOOT_ID = ["cat", "/proc/sys/kernel/random/boot_id"];

/** QEMU's process, which stands for the sandbox. */
async function machines(engine: Engine): Promise<readonly number[]> {
  return (await processesOf(engine)).filter(({ command }) => command.includes("qemu-system")).map(({ pid }) => pid);
}

/** Over our daemon: containerd 2.1's own ctr can't start a sandbox. */
test("the Sandbox API: a machine before its first container; its containers, a restart, its end", {
  timeout: 240_000 * PATIENCE,
}, async () => {
  using templates = new KataTemplates();
  await using engine = await startContainerd({ version: "2.x", daemon: "trimaran" });
  templates.serve(engine.trimaranState);
  await runContainer(engine, KATA, { timeoutMs: 120_000 }, ["true"]); // the template boots
  const clean = await snapshot(engine);
  const config = join(engine.dir, "pod.json");
  await writeFile(config, "{}");
  for (const isKilled of [false, true]) {
    const pod = engine.newId();
    await engine.ctrOk("sandboxes", "run", "--runtime", KATA, config, pod);
    const [machine = 0, ...more] = await machines(engine);
    assert.deepEqual([machine > 0, more], [true, []]);
    const id = engine.newId();
    await engine.ctrOk("run", "-d", "--runtime", KATA, "--sandbox", pod, IMAGE, id, "sleep", "1000");
    const inside = async (execId: string) => await engine.ctrOk("tasks", "exec", "--exec-id", execId, id, ...BOOT_ID);
    const boot = await inside("one");
    const job = engine.newId();
    assert.equal(await engine.ctrOk("run", "--rm", "--runtime", KATA, "--sandbox", pod, IMAGE, job, ...BOOT_ID), boot);
    for (const pid of await engine.taskServerPids()) process.kill(pid, "SIGKILL");
    assert.equal(await inside("two"), boot);
    assert.deepEqual(await machines(engine), [machine]);
    if (isKilled) process.kill(machine, "SIGKILL");
    await engine.ctrOk("sandboxes", "rm", pod); // its container ends with it
    assert.equal(await engine.ctrOk("tasks", "ls", "-q"), "");
    await engine.ctrOk("containers", "rm", id);
    await assertNoLeaks(engine, clean);
  }
});
