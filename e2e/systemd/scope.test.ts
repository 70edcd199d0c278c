import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { ANY, containerd, packAny } from "@trimaran/proto";
import type { BundleOptions } from "../harness/bundle.ts";
import { PATIENCE } from "../harness/patience.ts";
import { ShimYard, shimKinds } from "../harness/shims.ts";
import { Container } from "../v2/container.ts";
import { showUnit, systemctl, unitsNamed } from "./unit.ts";

const MIB = 1 << 20;
const OPTIONS = packAny(ANY.runcOptions, containerd.runc.v1.Options.encode({ systemdCgroup: true }));
const LIMITS = {
  memory: { limit: 64 * MIB, swap: 96 * MIB, reservation: 16 * MIB },
  pids: { limit: 55 },
  cpu: { shares: 512, quota: 30_000, period: 100_000, cpus: "1", mems: "0" },
};
const FILES = ["memory.max", "memory.low", "memory.swap.max", "pids.max", "cpu.max", "cpu.weight", "cpuset.cpus"];
const SHOWN = ["MemoryMax", "MemoryLow", "TasksMax", "CPUQuotaPerSecUSec", "AllowedCPUs"];

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 20_000 * PATIENCE;
  while (!(await holds())) {
    if (performance.now() > deadlineMs) assert.fail(`not in time: ${what}`);
    await delay(20);
  }
}

// One upstream shim, as the control, and ours: how they are started makes no difference here.
const kinds = (await shimKinds()).filter(({ isControl, style }) => style === (isControl ? "2.1" : "2.3"));

for (const plain of kinds) {
  const kind = { ...plain, options: OPTIONS };
  describe(`systemd makes the cgroup: ${kind.name}`, { timeout: 100_000 * PATIENCE }, () => {
    let yard: ShimYard;
    let unnamed = 0;
    before(async () => {
      assert.ok(existsSync("/run/systemd/system"), "systemd does not run here: node e2e/vm/run.ts --systemd");
      yard = await ShimYard.open(kind);
    });
    after(() => yard[Symbol.asyncDispose]());
    const start = async (script: string, options: Partial<BundleOptions> = {}) => {
      const name = `${yard.tag}-${unnamed++}`;
      const cgroupsPath = `trimaran-test.slice:trm:${name}`;
      const container = await Container.start(yard, script, { cgroupsPath, ...options });
      return { container, unit: `trm-${name}.scope` };
    };
    const files = (container: Container) => FILES.map((name) => container.file(name));

    test("limits are in force and systemd knows them; a daemon-reload changes neither, nor devices; exec lands in it", async () => {
      const script = "mknod /tmp/zero c 1 5; mknod /tmp/mem c 1 1; sleep 1000";
      const { container, unit } = await start(script, { resources: LIMITS });
      assert.equal(container.cgroup, `/sys/fs/cgroup/trimaran.slice/trimaran-test.slice/${unit}`);
      const shown = await showUnit(unit, "ActiveState", "Slice", "Delegate", ...SHOWN);
      assert.deepEqual(shown, {
        ...{ ActiveState: "active", Slice: "trimaran-test.slice", Delegate: "yes", AllowedCPUs: "1" },
        ...{ MemoryMax: String(64 * MIB), MemoryLow: String(16 * MIB) },
        ...{ TasksMax: "55", CPUQuotaPerSecUSec: "300ms" },
      });
      const weight = container.file("cpu.weight");
      assert.match(weight, /^(59|20)$/); // runc's old formula and its new one
      const expected = [String(64 * MIB), String(16 * MIB), String(32 * MIB), "55", "30000 100000", weight, "1"];
      assert.deepEqual(files(container), expected);
      await until("the nodes", async () => (await container.exec("ls /tmp/mem")).code === 0);
      const open = "for i in zero mem; do dd if=/tmp/$i of=/dev/null bs=1 count=1; done; cat /proc/self/cgroup";
      const before = await container.exec(open);
      assert.match(before.output, new RegExp(`1\\+0 records in.*mem.*not permitted.*${unit}\n$`, "s"));
      await systemctl("daemon-reload");
      assert.deepEqual(files(container), expected);
      assert.deepEqual(await showUnit(unit, "ActiveState", "Slice", "Delegate", ...SHOWN), shown);
      assert.deepEqual(await container.exec(open), before);
      await container.remove();
      assert.deepEqual(await unitsNamed(unit), []);
      assert.equal(existsSync(container.cgroup), false);
    });

    test("update changes both", async () => {
      const { container, unit } = await start("sleep 1000", { resources: LIMITS });
      await container.update({
        memory: { limit: 96 * MIB, swap: 128 * MIB },
        pids: { limit: 66 },
        cpu: { quota: 50_000 },
      });
      const shown = await showUnit(unit, "MemoryMax", "MemorySwapMax", "TasksMax", "CPUQuotaPerSecUSec");
      assert.deepEqual(shown, {
        ...{ MemoryMax: String(96 * MIB), MemorySwapMax: String(32 * MIB) },
        ...{ TasksMax: "66", CPUQuotaPerSecUSec: "500ms" },
      });
      assert.deepEqual(
        ["memory.max", "memory.swap.max", "pids.max", "cpu.max"].map((name) => container.file(name)),
        [String(96 * MIB), String(32 * MIB), "66", "50000 100000"],
      );
      await container.remove();
    });

    test("the unit ends with its last process, killed by whomever", async () => {
      const { container, unit } = await start("sleep 1000");
      await container.task.kill({ id: container.id, signal: 9, all: true });
      assert.equal(await container.ended(), 137);
      await until("the unit has ended", async () => (await showUnit(unit, "ActiveState")).ActiveState === "inactive");
      await container.remove();
      const other = await start("trap 'exit 5' TERM; while :; do usleep 10000; done");
      await until("it runs", () => other.container.file("cgroup.procs") !== "");
      await systemctl("stop", other.unit);
      assert.equal(await other.container.ended(), 5);
      await other.container.remove();
      assert.deepEqual(await unitsNamed(yard.tag), []);
    });

    test("a path that is no slice:prefix:name is an error; nothing is left", async () => {
      await assert.rejects(start("true", { cgroupsPath: "/default/web" }), /slice:prefix:name/);
      assert.deepEqual(await unitsNamed(yard.tag), []);
    });

    if (kind.isControl) return;

    test("no swap at all: a daemon-reload does not give it back, as it does with runc", async () => {
      const { container } = await start("sleep 1000", { resources: { memory: { limit: 64 * MIB, swap: 64 * MIB } } });
      await systemctl("daemon-reload");
      assert.equal(container.file("memory.swap.max"), "0");
      await container.remove();
    });

    test("out of memory, and systemd takes the cgroup away before anybody has looked: it is told all the same", async () => {
      const script = "until [ -e /tmp/go ]; do usleep 10000; done; exec dd if=/dev/zero of=/dev/null bs=128M count=1";
      const { container } = await start(script, { resources: { memory: { limit: 32 * MIB, swap: 32 * MIB } } });
      const monitor = Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${container.pid}/status`, "utf8"))?.[1]);
      process.kill(monitor, "SIGSTOP");
      try {
        writeFileSync(`/proc/${container.pid}/root/tmp/go`, "");
        await until("the cgroup is gone", () => !existsSync(container.cgroup));
      } finally {
        process.kill(monitor, "SIGCONT");
      }
      assert.equal(await container.ended(), 137);
      await yard.containerd.seen("/tasks/oom");
      await container.remove();
    });

    test("a limit of one process leaves room for init", async () => {
      const { container } = await start("exec sleep 1000", { resources: { pids: { limit: 1 } } });
      assert.equal(container.file("cgroup.procs"), String(container.pid));
      await container.remove();
    });

    test("kill -9 of the task server in the middle: every Create ends, each scope has its init alone", async () => {
      const all = Promise.all([1, 2].map(() => start("exec sleep 1000")));
      const seen = new Set<string>();
      let kills = 0;
      let isOver = false;
      const over = all.finally(() => (isOver = true)).catch(() => undefined);
      while (!isOver) {
        const scopes = globSync(`/sys/fs/cgroup/trimaran.slice/trimaran-test.slice/*${yard.tag}*`);
        if (scopes.some((scope) => !seen.has(scope))) kills += killTaskServers(yard); // as soon as there is one more
        for (const scope of scopes) seen.add(scope);
        await Promise.race([over, delay(5)]);
      }
      assert.ok(kills > 0);
      for (const { container, unit } of await all) {
        assert.equal(container.file("cgroup.procs"), String(container.pid));
        assert.equal((await showUnit(unit, "ActiveState")).ActiveState, "active");
        await container.remove();
      }
      assert.deepEqual(await unitsNamed(yard.tag), []);
    });

    test("annotations: podman's are taken, commands are not", async () => {
      const annotations = {
        "org.systemd.property.TimeoutStopUSec": "uint64 7000000",
        "org.systemd.property.KillSignal": "10",
      };
      const { container, unit } = await start("sleep 1000", { annotations });
      assert.deepEqual(await showUnit(unit, "TimeoutStopUSec", "KillSignal"), {
        TimeoutStopUSec: "7s",
        KillSignal: "10",
      });
      await container.remove();
      const bad = { "org.systemd.property.ExecStopPost": "[('/bin/sh', ['sh'], false)]" };
      await assert.rejects(start("true", { annotations: bad }), /ExecStopPost"\]: not one of KillSignal/);
    });

    test("without a system bus: by systemd's own socket", async () => {
      await systemctl("stop", "dbus.socket", "dbus.service");
      try {
        const { container, unit } = await start("sleep 1000", { resources: { pids: { limit: 9 } } });
        assert.equal(container.file("pids.max"), "9");
        await container.remove();
        assert.deepEqual(await unitsNamed(unit), []);
      } finally {
        await systemctl("start", "dbus.socket");
      }
    });
  });
}

/** How many were killed. */
function killTaskServers(yard: ShimYard): number {
  const texts = globSync(join(yard.trimaranState, "*/server.pid")).map((path) => readFileSync(path, "utf8"));
  return texts.map((text) => killIfThere(Number.parseInt(text, 10))).filter(Boolean).length;
}

function killIfThere(pid: number): boolean {
  try {
    return pid > 0 && process.kill(pid, "SIGKILL");
  } catch {
    return false; // the file of one that was killed before
  }
}
