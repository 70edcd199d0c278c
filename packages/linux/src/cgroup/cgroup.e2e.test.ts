import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdirSync } from "node:fs";
import { test } from "node:test";
import { Cgroup } from "./cgroup.ts";
import { planCgroup } from "./plan.ts";
import { CgroupSandbox, readBack, realHosts } from "./testing/sandbox.ts";

for (const host of realHosts()) {
  const name = (text: string) => `${host.mode}: ${text}`;

  test(name("pids.max refuses the fork, stats count"), async () => {
    await using sandbox = new CgroupSandbox();
    const cgroup = sandbox.create(host, { pids: { limit: 2 } });
    const { output } = await sandbox.run(cgroup, "(sleep 0 | sleep 0) 2>/dev/null; true");
    assert.equal(output, "");
    assert.equal(readBack(cgroup, "pids", "pids.events").split("\n")[0] === "max 0", false);
    const stats = cgroup.stats();
    assert.equal(stats.metrics.pids.limit, 2n);
    if (stats.version === 2) {
      assert.ok(stats.metrics.cpu.usageUsec > 0n && stats.metrics.memory.maxUsage >= 0n);
      assert.equal(stats.metrics.memory.usageLimit, 2n ** 64n - 1n);
      return;
    }
    assert.ok(stats.metrics.cpu.usage.total > 0n && stats.metrics.cpu.usage.perCpu.length > 0);
    assert.ok(stats.metrics.memory.usage.max > 0n && stats.metrics.memory.hierarchicalMemoryLimit > 0n);
  });

  test(name("a fork bomb is frozen, thawed and killed"), async () => {
    await using sandbox = new CgroupSandbox();
    const cgroup = sandbox.create(host, { pids: { limit: 40 } });
    const child = sandbox.start(cgroup, "bomb() { while :; do (bomb) 2>/dev/null & sleep 0.01; done; }; bomb");
    await once(child.stdout ?? child, "data");
    await cgroup.freeze();
    assert.equal(cgroup.isFrozen(), true);
    const before = cgroup.processes();
    assert.ok(before.length > 0);
    await new Promise((done) => setTimeout(done, 30));
    assert.deepEqual(cgroup.processes().sort(), before.sort());
    cgroup.thaw();
    assert.equal(cgroup.isFrozen(), false);
    await cgroup.kill();
    assert.deepEqual(cgroup.processes(), []);
  });

  test(name("kill works on a frozen cgroup; freeze can be aborted"), async () => {
    await using sandbox = new CgroupSandbox();
    const cgroup = sandbox.create(host);
    const child = sandbox.start(cgroup, "sleep 60");
    await once(child.stdout ?? child, "data");
    await cgroup.freeze(AbortSignal.timeout(5000));
    await cgroup.kill();
    assert.deepEqual(cgroup.processes(), []);
  });

  test(name("an OOM kill is counted"), async () => {
    await using sandbox = new CgroupSandbox();
    const cgroup = sandbox.create(host, { memory: { limit: 16 << 20, swap: 16 << 20 } });
    assert.equal(cgroup.oomKills(), 0);
    await sandbox.run(cgroup, "head -c 100000000 /dev/zero | tail; true");
    assert.ok(cgroup.oomKills() >= 1);
    const stats = cgroup.stats();
    const { metrics } = stats;
    assert.ok(("memoryEvents" in metrics ? metrics.memoryEvents : metrics.memoryOomControl).oomKill >= 1n);
    const watch = cgroup.oomWatch();
    assert.equal(watch?.kind, host.mode === "v2" ? "inotify" : "eventfd");
    const files = watch?.kind === "eventfd" ? [watch.oomControl, watch.eventControl] : [watch?.path ?? ""];
    for (const file of files) assert.ok(existsSync(file), file);
  });

  test(name("existing directories: refused, adopted if empty, refused if in use"), async () => {
    await using sandbox = new CgroupSandbox();
    const first = sandbox.create(host, { pids: { limit: 9 } });
    assert.throws(() => Cgroup.create(host, first.plan, {}, sandbox.tools), /exists already/);
    assert.equal(existsSync(first.plan.directories[0] ?? ""), true);
    const again = Cgroup.create(host, first.plan, { pids: { limit: 8 } }, sandbox.tools, { adopt: true });
    assert.equal(readBack(again, "pids", "pids.max"), "8");
    const child = sandbox.start(first, "sleep 60");
    await once(child.stdout ?? child, "data");
    assert.throws(() => Cgroup.create(host, first.plan, {}, sandbox.tools, { adopt: true }), /in use by process \d+/);
  });

  test(name("remove: children first, twice, parents of ours too"), async () => {
    await using sandbox = new CgroupSandbox();
    const plan = planCgroup(host, `/trimaran-test-${process.pid}-parent/a/b`, "x");
    const cgroup = Cgroup.create(host, plan, {}, sandbox.tools);
    const leaves = [...plan.hierarchies.map(({ directory }) => directory), plan.unified ?? ""];
    for (const directory of leaves.filter((path) => path !== ""))
      mkdirSync(`${directory}/sub/deeper`, { recursive: true });
    const reopened = Cgroup.open(host, JSON.parse(JSON.stringify(plan)), sandbox.tools);
    await reopened.remove();
    await cgroup.remove();
    for (const directory of plan.directories) assert.equal(existsSync(directory), false, directory);
    assert.deepEqual([cgroup.processes(), cgroup.oomKills(), cgroup.isFrozen()], [[], 0, false]);
    await cgroup.kill();
    cgroup.thaw();
    assert.equal(cgroup.stats().metrics.pids.current, 0n);
  });
}
