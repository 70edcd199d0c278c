import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Box, matrix } from "../harness/matrix.ts";
import { showUnit, unitsNamed } from "./unit.ts";

const SLICE = "trimaran-ctr.slice";

/** ctr hands runc's options to runc's runtime only; to any other a file, with what CRI's options table would have. */
async function driver({ engine, isControl }: Box): Promise<readonly string[]> {
  if (isControl) return ["--runc-systemd-cgroup"];
  const path = join(engine.dir, "options.toml");
  await writeFile(path, "SystemdCgroup = true\n");
  return ["--runtime-config-path", path];
}

matrix("systemd", (scenario) => {
  scenario("ctr run, exec, kill: a scope with limits that ends with its container", async (box) => {
    const name = `${box.engine.tag}-ctr`;
    const unit = `trm-${name}.scope`;
    const flags = [...(await driver(box)), "--cgroup", `${SLICE}:trm:${name}`, "--memory-limit", String(64 << 20)];
    await using container = await box.start({ flags }, "sleep", "1000");
    const shown = await showUnit(unit, "ActiveState", "ControlGroup", "MemoryMax");
    const path = `/trimaran.slice/${SLICE}/${unit}`;
    assert.deepEqual(shown, { ActiveState: "active", ControlGroup: path, MemoryMax: String(64 << 20) });
    await box.engine.ctrOk("task", "exec", "-d", "--exec-id", "other", container.id, "sleep", "500");
    const pids = (await readFile(`/sys/fs/cgroup${path}/cgroup.procs`, "utf8")).trim().split("\n");
    assert.equal(pids.length, 2);
    assert.ok(pids.includes(String((await container.listed())?.pid)));
    await container[Symbol.asyncDispose]();
    assert.deepEqual(await unitsNamed(unit), []);
  });
});
