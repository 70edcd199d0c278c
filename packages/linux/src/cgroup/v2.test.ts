// biome-ignore-all format: tables
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { lazyNative } from "../syscall/native.ts";
import { Cgroup } from "./cgroup.ts";
import { DevicePrograms } from "./devices-v2.ts";
import type { CgroupHost } from "./host.ts";
import { planCgroup } from "./plan.ts";
import type { LinuxResources } from "./resources.ts";

const FILES: Readonly<Record<string, string>> = {
  "cgroup.procs": "", "cgroup.freeze": "0\n", "cgroup.events": "populated 0\nfrozen 1\n", "cgroup.kill": "",
  "memory.max": "max\n", "memory.swap.max": "max\n", "memory.low": "0\n", "memory.current": "1000\n", "memory.peak": "2000\n",
  "memory.stat": "anon 5\nfile 6\nworkingset_refault_anon 1\nworkingset_refault_file 2\nnonsense\n",
  "memory.events": "low 0\nhigh 0\nmax 3\noom 2\noom_kill 1\noom_group_kill 0\n",
  "memory.pressure": "some avg10=1.50 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3\n",
  "cpu.max": "max 100000\n", "cpu.max.burst": "0\n", "cpu.weight": "100\n", "cpuset.cpus": "\n", "cpu.stat": "usage_usec 9\nuser_usec 4\n",
  "pids.max": "max\n", "pids.current": "3\n", "io.weight": "default 100\n", "io.max": "", "memory.high": "max\n",
  "io.stat": "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n8:16\n",
  "hugetlb.2MB.current": "0\n", "hugetlb.2MB.max": "max\n", "hugetlb.2MB.events": "max 4\n",
};

/** A folder that looks like a cgroup2 mount with one cgroup, /pod/web, and what `run` does with it. */
function withFakeTree(run: (open: (resources: LinuxResources) => Cgroup, read: (path: string) => string) => void): void {
  const root = mkdtempSync(`${tmpdir()}/trimaran-cgroup2-`);
  try {
    mkdirSync(`${root}/pod/web`, { recursive: true });
    for (const folder of [root, `${root}/pod`]) {
      writeFileSync(`${folder}/cgroup.controllers`, "cpu io memory pids\n");
      writeFileSync(`${folder}/cgroup.subtree_control`, folder === root ? "cpu io memory pids\n" : "cpu io memory\n");
    }
    for (const [name, text] of Object.entries(FILES)) writeFileSync(`${root}/pod/web/${name}`, text);
    const host: CgroupHost = { mode: "v2", root, hierarchies: [], unified: { mountPoint: root, ownPath: "/" } };
    const native = lazyNative();
    const tools = { native, devicePrograms: new DevicePrograms(native) };
    const plan = planCgroup(host, "/pod/web", "x");
    run((resources) => Cgroup.create(host, plan, resources, tools, { adopt: true, devices: false }), (path) => readFileSync(`${root}/pod/${path}`, "utf8"));
  } finally {
    rmSync(root, { recursive: true });
  }
}

test("v2: limits go to the right files, and only missing controllers are enabled", () => {
  withFakeTree((create, read) => {
    const cgroup = create({
      memory: { limit: 4096, swap: 8192, reservation: 100 },
      cpu: { shares: 512, quota: 5000, period: 10000, burst: 100, cpus: "0" },
      pids: { limit: 5 },
      blockIO: { weight: 500 },
      unified: { "memory.high": "4000" },
    });
    const files = ["memory.max", "memory.swap.max", "memory.low", "cpu.weight", "cpu.max", "cpu.max.burst", "cpuset.cpus", "pids.max", "io.weight", "memory.high"];
    assert.deepEqual(files.map((file) => read(`web/${file}`)), ["4096", "4096", "100", "59", "5000 10000", "100", "0", "5", "default 4950", "4000"]);
    assert.equal(read("cgroup.subtree_control"), "+pids");
    cgroup.update({ cpu: { period: 20000 } });
    assert.equal(read("web/cpu.max"), "5000 20000");
    assert.throws(() => cgroup.update({ memory: { limit: 999, checkBeforeUpdate: true } }), /in use \(1000 bytes\)/);
    assert.throws(() => create({ hugepageLimits: [{ pageSize: "1GB", limit: 0 }] }), /hugepageLimits\[0\] 0: the hugetlb controller has no such file here \(ENOENT from open/);
  });
});

test("v2: stats, OOM and attach", () => {
  withFakeTree((create) => {
    const cgroup = create({});
    const stats = cgroup.stats();
    assert.ok(stats.version === 2);
    const { metrics } = stats;
    assert.deepEqual(metrics.pids, { current: 3n, limit: 2n ** 64n - 1n });
    assert.deepEqual([metrics.cpu.usageUsec, metrics.cpu.userUsec, metrics.cpu.nrPeriods], [9n, 4n, 0n]);
    assert.deepEqual([metrics.memory.anon, metrics.memory.workingsetRefault, metrics.memory.usage, metrics.memory.maxUsage, metrics.memory.swapUsage], [5n, 3n, 1000n, 2000n, 0n]);
    assert.equal(metrics.memory.usageLimit, 2n ** 64n - 1n);
    assert.deepEqual(metrics.memory.psi?.some, { avg10: 1.5, avg60: 0, avg300: 0, total: 7n });
    assert.deepEqual(metrics.memoryEvents, { low: 0n, high: 0n, max: 3n, oom: 2n, oomKill: 1n, oomGroupKill: 0n });
    assert.deepEqual(metrics.io.usage, [
      { major: 8n, minor: 0n, rbytes: 1n, wbytes: 2n, rios: 3n, wios: 4n },
      { major: 8n, minor: 16n, rbytes: 0n, wbytes: 0n, rios: 0n, wios: 0n },
    ].slice(0, 1));
    assert.deepEqual(metrics.hugetlb, [{ current: 0n, max: 2n ** 64n - 1n, pagesize: "2MB", failcnt: 4n }]);
    assert.equal(cgroup.oomKills(), 1);
    assert.equal(cgroup.oomWatch()?.kind, "inotify");
    assert.equal(cgroup.attachFiles().length, 1);
    assert.equal(cgroup.attachFiles({ clonedIntoUnified: true }).length, 0);
    assert.ok(cgroup.unifiedDirectory()?.endsWith("/pod/web"));
  });
});
