import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { ANY, containerd, packAny } from "@trimaran/proto";
import { PATIENCE } from "../../harness/patience.ts";
import { ShimYard, shimKinds } from "../../harness/shims.ts";
import { Container } from "../../v2/container.ts";
import { showUnit, systemctl, unitsNamed } from "../unit.ts";

const MIB = 1 << 20;
const OPTIONS = packAny(ANY.runcOptions, containerd.runc.v1.Options.encode({ systemdCgroup: true }));
const SLICE = "/trimaran.slice/trimaran-hybrid.slice";

// One upstream shim, as the control, and ours: how they are started makes no difference here.
const kinds = (await shimKinds()).filter(({ isControl, style }) => style === (isControl ? "2.1" : "2.3"));

for (const plain of kinds) {
  const kind = { ...plain, options: OPTIONS };
  describe(`systemd on a hybrid machine: ${kind.name}`, { timeout: 100_000 * PATIENCE }, () => {
    let yard: ShimYard;
    before(async () => {
      const isHybrid = existsSync("/sys/fs/cgroup/memory/tasks") && existsSync("/sys/fs/cgroup/unified/cgroup.procs");
      assert.ok(isHybrid, "this is no hybrid machine with systemd: node e2e/vm/run.ts --hybrid");
      yard = await ShimYard.open(kind);
    });
    after(() => yard[Symbol.asyncDispose]());

    test("a scope: limits in v1's files, devices hold through a daemon-reload, pause, exec, update, its end", async () => {
      const unit = `trm-${yard.tag}.scope`;
      const read = (controller: string, file: string) =>
        readFileSync(`/sys/fs/cgroup/${controller}${SLICE}/${unit}/${file}`, "utf8").trim();
      const container = await Container.start(yard, "mknod /tmp/zero c 1 5; mknod /tmp/mem c 1 1; exec sleep 1000", {
        cgroupsPath: `trimaran-hybrid.slice:trm:${yard.tag}`,
        resources: { memory: { limit: 64 * MIB }, pids: { limit: 55 }, cpu: { shares: 512 } },
      });
      const shown = await showUnit(unit, "ActiveState", "Slice", "MemoryLimit", "TasksMax");
      assert.deepEqual(shown, {
        ...{ ActiveState: "active", Slice: "trimaran-hybrid.slice" },
        ...{ MemoryLimit: String(64 * MIB), TasksMax: "55" },
      });
      const limits = () => [
        read("memory", "memory.limit_in_bytes"),
        read("pids", "pids.max"),
        read("cpu", "cpu.shares"),
      ];
      assert.deepEqual(limits(), [String(64 * MIB), "55", "512"]);
      const open =
        "until [ -c /tmp/mem ]; do usleep 9000; done; for i in zero mem; do dd if=/tmp/$i of=/dev/null bs=1 count=1; done";
      const before = await container.exec(`${open}; cat /proc/self/cgroup`);
      assert.match(before.output, /1\+0 records in.*mem.*not permitted/s);
      for (const controller of ["memory", "pids", "devices"])
        assert.match(before.output, new RegExp(`:(?:[a-z,]*,)?${controller}(?:,[a-z,]*)?:.*${unit}\n`));
      await systemctl("daemon-reload");
      assert.deepEqual(limits(), [String(64 * MIB), "55", "512"]);
      assert.match((await container.exec(open)).output, /1\+0 records in.*mem.*not permitted/s);
      await container.task.pause({ id: container.id });
      assert.equal((await container.task.state({ id: container.id })).status, 4);
      await container.task.resume({ id: container.id });
      await container.update({ memory: { limit: 96 * MIB }, pids: { limit: 66 } });
      assert.deepEqual(await showUnit(unit, "MemoryLimit", "TasksMax"), {
        MemoryLimit: String(96 * MIB),
        TasksMax: "66",
      });
      assert.deepEqual(limits().slice(0, 2), [String(96 * MIB), "66"]);
      await container.remove();
      assert.deepEqual(await unitsNamed(unit), []);
      for (const controller of ["memory", "pids", "unified"])
        assert.equal(existsSync(`/sys/fs/cgroup/${controller}${SLICE}/${unit}`), false);
    });
  });
}
