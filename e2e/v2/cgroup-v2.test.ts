import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { BundleOptions } from "../harness/bundle.ts";
import { PATIENCE } from "../harness/patience.ts";
import { ShimYard, shimKinds } from "../harness/shims.ts";
import { Container } from "./container.ts";

const MIB = 1 << 20;
const BURN = "while :; do :; done";

/** Poll: a cgroup file tells nobody when it changes. */
async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs = 20_000 * PATIENCE,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadlineMs) assert.fail(`not after ${timeoutMs} ms: ${what}`);
    await delay(20);
  }
}

// One upstream shim, as the control, and ours: how they are started makes no difference here.
const kinds = (await shimKinds()).filter(({ isControl, style }) => style === (isControl ? "2.1" : "2.3"));

for (const kind of kinds) {
  describe(`cgroup v2: ${kind.name}`, { timeout: 200_000 * PATIENCE }, () => {
    let yard: ShimYard;
    before(async () => {
      assert.ok(
        existsSync("/sys/fs/cgroup/cgroup.controllers"),
        "this is not a machine with cgroup v2: node e2e/vm/run.ts",
      );
      yard = await ShimYard.open(kind);
    });
    afterEach(() => yard.containerd.events.splice(0));
    after(() => yard[Symbol.asyncDispose]());
    const start = (script: string, options?: Partial<BundleOptions>) => Container.start(yard, script, options);
    const topics = (id: string) =>
      yard.containerd.events.filter(({ value }) => Buffer.from(value).includes(id)).map(({ topic }) => topic);

    test("memory.max kills: 137, one oom event, before the exit", async () => {
      const memory = { limit: 32 * MIB, swap: 32 * MIB };
      const script = "sleep 0.1; exec dd if=/dev/zero of=/dev/null bs=200M count=1";
      const container = await start(script, { resources: { memory } });
      assert.equal(container.file("memory.max"), String(32 * MIB));
      assert.equal(await container.ended(), 137);
      await yard.containerd.seen("/tasks/oom");
      await yard.containerd.seen("/tasks/exit");
      await container.remove();
      const seen = topics(container.id);
      assert.equal(seen.filter((topic) => topic === "/tasks/oom").length, 1, seen.join(" "));
      // upstream's shim before 2.3 publishes oom and exit without any order
      if (!kind.isControl) assert.ok(seen.indexOf("/tasks/oom") < seen.indexOf("/tasks/exit"), seen.join(" "));
    });

    test("memory.max kills one process of many: the event, and init lives on", async () => {
      const container = await start("sleep 1000", { resources: { memory: { limit: 32 * MIB } } });
      const done = await container.exec("dd if=/dev/zero of=/dev/null bs=200M count=1");
      assert.equal(done.code, 137);
      await yard.containerd.seen("/tasks/oom");
      assert.equal((await container.task.state({ id: container.id })).status, 2);
      assert.ok(((await container.metrics()).memoryEvents?.oomKill ?? 0n) >= 1n);
      await container.remove();
    });

    test("pids.max refuses the fork", async () => {
      const container = await start("sleep 1000", { resources: { pids: { limit: 30 } } }); // runc's own threads count, too
      assert.equal(container.file("pids.max"), "30");
      const done = await container.exec("for i in $(seq 40); do sleep 1000 & done");
      assert.match(done.output, /can't fork: Resource temporarily unavailable/);
      assert.ok(container.count("pids.events", "max") >= 1);
      assert.equal((await container.metrics()).pids?.limit, 30n);
      await container.remove();
    });

    test("cpu.max throttles, cpu.weight is set", async () => {
      const container = await start(BURN, { resources: { cpu: { quota: 10_000, period: 100_000, shares: 512 } } });
      assert.equal(container.file("cpu.max"), "10000 100000");
      assert.match(container.file("cpu.weight"), /^(59|20)$/); // runc's old formula and its new one
      await until("three throttled periods", () => container.count("cpu.stat", "nr_throttled") >= 3);
      const before = { usedUsec: container.count("cpu.stat", "usage_usec"), nowMs: performance.now() };
      await delay(1000);
      const share =
        (container.count("cpu.stat", "usage_usec") - before.usedUsec) / (performance.now() - before.nowMs) / 1000;
      assert.ok(share < 0.3, `uses ${share} of a CPU`);
      assert.ok(((await container.metrics()).cpu?.nrThrottled ?? 0n) >= 3n);
      await container.remove();
    });

    test("devices: what the list allows opens, nothing else; update changes it", async () => {
      const container = await start("mknod /tmp/zero c 1 5; mknod /tmp/mem c 1 1; mknod /tmp/vda b 254 0; sleep 1000");
      await until("the nodes", async () => (await container.exec("ls /tmp/vda")).code === 0);
      const open = async (path: string) => (await container.exec(`dd if=${path} of=/dev/null bs=1 count=1`)).output;
      assert.match(await open("/tmp/zero"), /1\+0 records in/);
      assert.match(await open("/tmp/mem"), /Operation not permitted/);
      assert.match(await open("/tmp/vda"), /Operation not permitted/);
      if (kind.isControl) return void (await container.remove()); // runc leaves devices alone in an update by the shim
      await container.update({ devices: [{ allow: false, access: "rwm" }] });
      assert.match(await open("/tmp/vda"), /Operation not permitted/);
      assert.match(await open("/dev/null"), /0\+0 records in/);
      await container.update({ devices: [{ allow: true, access: "rwm" }] });
      assert.match(await open("/tmp/vda"), /1\+0 records in/); // not mem: that takes a capability, too
      await container.remove();
    });

    test("pause freezes every process, resume lets them go on", async () => {
      const container = await start("while :; do echo tick >> /tmp/ticks; usleep 5000; done");
      await container.task.pause({ id: container.id });
      assert.equal(container.file("cgroup.freeze"), "1");
      assert.equal(container.count("cgroup.events", "frozen"), 1);
      const used = container.count("cpu.stat", "usage_usec");
      await delay(300);
      assert.equal(container.count("cpu.stat", "usage_usec"), used);
      assert.equal((await container.task.state({ id: container.id })).status, 4);
      await container.task.resume({ id: container.id });
      assert.equal(container.count("cgroup.events", "frozen"), 0);
      await until("it runs again", () => container.count("cpu.stat", "usage_usec") > used);
      await container.remove();
    });

    test("kill reaches all, frozen ones too; the cgroup goes with the container", async () => {
      const container = await start("trap '' TERM; for i in 1 2 3 4 5; do (trap '' TERM; sleep 1000) & done; wait");
      await until("all run", () => container.file("cgroup.procs").split("\n").length >= 6);
      await container.task.pause({ id: container.id });
      await container.task.kill({ id: container.id, signal: 9, all: true });
      assert.equal(await container.ended(), 137);
      const { exitStatus } = await container.remove();
      assert.equal(exitStatus, 137);
      assert.equal(existsSync(container.cgroup), false);
    });

    test("stats are those of the files", async () => {
      const script = "dd if=/dev/zero of=/dev/shm/file bs=1M count=8 2>/dev/null; sleep 1000 & sleep 1000 & wait";
      const container = await start(script, { resources: { memory: { limit: 64 * MIB }, pids: { limit: 20 } } });
      await until("the file", () => container.count("memory.stat", "shmem") >= 8 * MIB);
      await until("three processes", () => container.file("pids.current") === "3");
      const { pids, cpu, memory } = await container.metrics();
      assert.deepEqual([pids?.current, pids?.limit, memory?.usageLimit], [3n, 20n, BigInt(64 * MIB)]);
      assert.ok((memory?.shmem ?? 0n) >= BigInt(8 * MIB) && (memory?.usage ?? 0n) >= BigInt(8 * MIB));
      const usedUsec = container.count("cpu.stat", "usage_usec");
      assert.ok(
        cpu !== undefined && cpu.usageUsec > 0n && cpu.usageUsec <= BigInt(usedUsec),
        `${cpu?.usageUsec} ${usedUsec}`,
      );
      await container.remove();
    });

    test("update changes what it names, at once", async () => {
      const container = await start("sleep 1000", { resources: { memory: { limit: 64 * MIB }, pids: { limit: 20 } } });
      await container.update({ memory: { limit: 96 * MIB, swap: 128 * MIB }, cpu: { quota: 20_000, period: 50_000 } });
      assert.deepEqual(
        ["memory.max", "memory.swap.max", "cpu.max", "pids.max"].map((name) => container.file(name)),
        [String(96 * MIB), String(32 * MIB), "20000 50000", "20"],
      );
      await container.update({ pids: { limit: 30 }, cpu: { quota: -1 } });
      assert.equal(container.file("pids.max"), "30");
      assert.match(container.file("cpu.max"), /^max /);
      assert.match((await container.exec("for i in $(seq 40); do sleep 1000 & done")).output, /can't fork/);
      await assert.rejects(container.update({ cpu: { cpus: "77" } }), /cpuset/);
      await container.remove();
    });

    test("cpuset: the container sees the CPUs that it has", async () => {
      const container = await start("sleep 1000", { resources: { cpu: { cpus: "1", mems: "0" } } });
      assert.equal(container.file("cpuset.cpus.effective"), "1");
      assert.deepEqual(await container.exec("nproc; grep Cpus_allowed_list /proc/self/status"), {
        code: 0,
        output: "1\nCpus_allowed_list:\t1\n",
      });
      await container.update({ cpu: { cpus: "0-1" } });
      assert.match((await container.exec("grep Cpus_allowed_list /proc/1/status")).output, /0-1/);
      await container.remove();
    });

    test("io.max throttles reads of a disk, io.weight is set, stats count", async () => {
      const throttle = [{ major: 254, minor: 0, rate: MIB }];
      const devices = [{ allow: true, access: "rwm" }];
      const container = await start("mknod /dev/vda b 254 0; sleep 1000", {
        resources: { devices, blockIO: { weight: 500, throttleReadBpsDevice: throttle } },
      });
      assert.match(container.file("io.max"), /^254:0 rbps=1048576 wbps=max riops=max wiops=max$/);
      const began = performance.now();
      const done = await container.exec(
        "until [ -b /dev/vda ]; do usleep 9000; done; dd if=/dev/vda of=/dev/null bs=64k count=32",
      );
      const tookMs = performance.now() - began;
      assert.equal(done.code, 0, done.output);
      assert.ok(tookMs > 1000, `2 MiB at 1 MiB/s in ${tookMs} ms`);
      const usage = (await container.metrics()).io?.usage.find(({ major, minor }) => major === 254n && minor === 0n);
      assert.ok((usage?.rbytes ?? 0n) >= 2n * BigInt(MIB), JSON.stringify(usage?.rbytes?.toString()));
      await container.remove();
    });

    test("unified: any file by its name; one that is not there is named", async () => {
      const unified = { "memory.high": String(48 * MIB), "pids.max": "9" };
      const container = await start("sleep 1000", { resources: { unified } });
      assert.deepEqual([container.file("memory.high"), container.file("pids.max")], [String(48 * MIB), "9"]);
      await container.remove();
      await assert.rejects(start("true", { resources: { unified: { "memory.nope": "1" } } }), /memory\.nope/);
    });

    test("a cgroup namespace of its own: / is its cgroup, delegated, with limits out of reach", async () => {
      const cgroups = {
        destination: "/sys/fs/cgroup",
        type: "cgroup",
        source: "cgroup",
        options: ["rw", "nosuid", "noexec", "nodev"],
      };
      const container = await start("sleep 1000", {
        namespaces: ["cgroup"],
        mounts: [cgroups],
        resources: { pids: { limit: 50 } },
      });
      const script = [
        "cat /proc/self/cgroup",
        "cd /sys/fs/cgroup; mkdir leaf",
        "for pid in $(cat cgroup.procs); do echo $pid > leaf/cgroup.procs 2>/dev/null; done; echo 0 > leaf/cgroup.procs",
        "echo +memory +pids > cgroup.subtree_control; cat cgroup.subtree_control",
        "mkdir inner; echo 7 > inner/pids.max; cat inner/pids.max",
        "(echo 9 > pids.max) 2>/dev/null || echo refused",
        "cat /proc/self/cgroup",
      ].join("\n");
      const { output } = await container.exec(script);
      assert.equal(output, "0::/\nmemory pids\n7\nrefused\n0::/leaf\n");
      assert.deepEqual(
        readdirSync(container.cgroup)
          .filter((name) => ["leaf", "inner"].includes(name))
          .sort(),
        ["inner", "leaf"],
      );
      assert.equal((await container.exec("cat /proc/self/cgroup")).code, 0); // where no process may be in the container's own cgroup
      await container.remove();
      assert.equal(existsSync(container.cgroup), false);
    });

    test("a read-only /sys/fs/cgroup shows the container's own cgroup", async () => {
      const cgroups = {
        destination: "/sys/fs/cgroup",
        type: "cgroup",
        source: "cgroup",
        options: ["ro", "nosuid", "noexec", "nodev"],
      };
      const container = await start("sleep 1000", {
        namespaces: ["cgroup"],
        mounts: [cgroups],
        resources: { pids: { limit: 44 } },
      });
      const { output } = await container.exec(
        "cat /sys/fs/cgroup/pids.max; mkdir /sys/fs/cgroup/leaf || grep -c cgroup2 /proc/mounts",
      );
      assert.match(output, /^44\nmkdir: .*Read-only file system\n1\n$/);
      await container.remove();
    });
  });
}
