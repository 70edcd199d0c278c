import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { ensureRecentCriu } from "../tools/debian.ts";
import { Container } from "./harness/container.ts";
import { matrix } from "./harness/matrix.ts";
import { PATIENCE } from "./harness/patience.ts";

const COUNT = "i=0; while :; do i=$((i+1)); echo $i > /tmp/new; mv /tmp/new /tmp/count; sleep 0.05; done";
const extraPath = [dirname(await ensureRecentCriu())];

matrix(
  "checkpoint",
  (scenario) => {
    scenario("a checkpoint into a folder leaves it running; with --exit it ends", async (box) => {
      await using container = await box.start({}, "sh", "-c", COUNT);
      await counted(container, 3);
      if (box.engine.kind === "containerd" && box.engine.version === "1.6" && !box.isControl) return; // it tells paths to io.containerd.runc.* only
      const folder = join(box.engine.dir, `tmp/image-${container.id}`);
      await container.taskOk("checkpoint", "--image-path", folder);
      assert.ok(existsSync(join(folder, "inventory.img")));
      assert.equal((await container.listed())?.status, "RUNNING");
      await counted(container, (await count(container)) + 3);
      await delay(1000); // ctr names the image that it makes beside by the second
      await container.taskOk("checkpoint", "--exit", "--image-path", `${folder}-2`);
      await container.reached("STOPPED");
      assert.ok(existsSync(join(`${folder}-2`, "inventory.img")));
    });

    scenario("a checkpoint as an image, restored as another container: it goes on counting", async (box) => {
      const { engine } = box;
      await using container = await box.start({}, "sh", "-c", COUNT);
      await counted(container, 3);
      const image = `example.test/saved:${container.id}`;
      await engine.ctrOk("containers", "checkpoint", "--rw", "--image", "--task", container.id, image);
      const saved = await count(container);
      await container.taskOk("kill", "-s", "KILL");
      await container.reached("STOPPED");
      await using restored = new Container(engine, engine.newId());
      await engine.ctrOk("containers", "restore", "--rw", "--live", restored.id, image);
      await restored.reached("RUNNING");
      await counted(restored, saved + 3);
      const { pid = 0 } = (await restored.listed()) ?? {};
      assert.match(readFileSync(`/proc/${pid}/cmdline`, "utf8"), /^sh\0-c\0i=0/);
      await restored.taskOk("kill", "-s", "KILL");
      await restored.reached("STOPPED");
      await engine.ctrOk("images", "rm", "--sync", image);
    });
  },
  { engine: { extraPath }, onOurDaemonToo: true },
);

async function count(container: Container): Promise<number> {
  const { pid = 0 } = (await container.listed()) ?? {};
  return Number(await readFile(`/proc/${pid}/root/tmp/count`, "utf8").catch(() => "0"));
}

/** Wait until it has counted so far. */
async function counted(container: Container, number: number): Promise<void> {
  const deadlineMs = performance.now() + 15_000 * PATIENCE;
  while (!((await count(container)) >= number)) {
    assert.ok(performance.now() < deadlineMs, `it does not count to ${number}`);
    await delay(20);
  }
}
