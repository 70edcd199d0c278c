import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { Cgroup } from "./cgroup.ts";
import { planCgroup } from "./plan.ts";
import { CgroupSandbox, readBack, realHosts } from "./testing/sandbox.ts";

for (const host of realHosts().filter(({ mode }) => mode !== "v2")) {
  const name = (text: string) => `${host.mode}: ${text}`;

  test(name("limits read back, update changes only what is set"), async () => {
    await using sandbox = new CgroupSandbox();
    const memory = { limit: 64 << 20, swap: 128 << 20, swappiness: 10 };
    const cgroup = sandbox.create(host, {
      memory,
      cpu: { shares: 512, quota: 50000, period: 100000 },
      pids: { limit: 20 },
    });
    const read = (controller: string, file: string) => readBack(cgroup, controller, file);
    assert.equal(read("memory", "memory.limit_in_bytes"), String(64 << 20));
    assert.equal(read("memory", "memory.memsw.limit_in_bytes"), String(128 << 20));
    assert.deepEqual(
      [read("cpu", "cpu.shares"), read("cpu", "cpu.cfs_quota_us"), read("pids", "pids.max")],
      ["512", "50000", "20"],
    );
    assert.notEqual(read("cpuset", "cpuset.cpus"), "");
    cgroup.update({ memory: { limit: 256 << 20, swap: 512 << 20 } }); // up: memsw first
    cgroup.update({ memory: { limit: 32 << 20, swap: 32 << 20 } }); // down: limit first
    assert.equal(read("memory", "memory.memsw.limit_in_bytes"), String(32 << 20));
    cgroup.update({ cpu: { quota: 2000, period: 5000 } });
    cgroup.update({ cpu: { quota: -1 } });
    assert.deepEqual(
      [read("cpu", "cpu.shares"), read("cpu", "cpu.cfs_quota_us"), read("pids", "pids.max")],
      ["512", "-1", "20"],
    );
  });

  test(name("limits that only v1 has, and those of a disk"), async () => {
    await using sandbox = new CgroupSandbox();
    const [major = 0, minor = 0] = firstDisk();
    const limit = [{ major, minor, rate: 1 << 20 }];
    const cgroup = sandbox.create(host, {
      memory: { limit: 64 << 20, reservation: 16 << 20, swappiness: 10, disableOOMKiller: true, useHierarchy: true },
      cpu: { cpus: "0", mems: "0" },
      blockIO: { throttleReadBpsDevice: limit, throttleWriteIOPSDevice: limit },
    });
    const read = (controller: string, file: string) => readBack(cgroup, controller, file);
    assert.equal(read("memory", "memory.soft_limit_in_bytes"), String(16 << 20));
    assert.equal(read("memory", "memory.swappiness"), "10");
    assert.match(read("memory", "memory.oom_control"), /^oom_kill_disable 1$/m);
    assert.equal(read("memory", "memory.use_hierarchy"), "1");
    assert.deepEqual([read("cpuset", "cpuset.cpus"), read("cpuset", "cpuset.mems")], ["0", "0"]);
    assert.equal(read("blkio", "blkio.throttle.read_bps_device"), `${major}:${minor} ${1 << 20}`);
    assert.equal(read("blkio", "blkio.throttle.write_iops_device"), `${major}:${minor} ${1 << 20}`);
    cgroup.update({ memory: { disableOOMKiller: false } });
    assert.match(read("memory", "memory.oom_control"), /^oom_kill_disable 0$/m);
  });

  test(name("a refused value names the field, and nothing is left"), async () => {
    await using sandbox = new CgroupSandbox();
    const plan = planCgroup(host, `/trimaran-test-${process.pid}/refused`, "x");
    const create = (resources: object) => Cgroup.create(host, plan, resources, sandbox.tools);
    assert.throws(
      () => create({ cpu: { shares: 1 } }),
      /^CgroupError: linux\.resources\.cpu\.shares 1: out of range: the kernel made it 2$/,
    );
    assert.throws(() => create({ cpu: { cpus: "0-9999" } }), /cpu\.cpus 0-9999: .*\(E[A-Z]+ from write cpuset\.cpus\)/);
    assert.throws(() => create({ memory: { swap: 1 << 20, limit: 2 << 20 } }), /memory\.swap/);
    for (const directory of plan.directories) assert.equal(existsSync(directory), false, directory);
  });

  test(name("memory below usage is refused with the figures"), async () => {
    await using sandbox = new CgroupSandbox();
    const cgroup = sandbox.create(host, {});
    const child = sandbox.start(cgroup, "head -c 20000000 /dev/zero | tail -c 20000000 | (sleep 60; cat)");
    while (
      cgroup.stats().metrics.pids.current < 3n ||
      Number(readBack(cgroup, "memory", "memory.usage_in_bytes")) < 15e6
    ) {
      await new Promise((done) => setTimeout(done, 5));
    }
    assert.throws(
      () => cgroup.update({ memory: { limit: 4096 } }),
      /memory\.limit 4096: below what is in use \(\d+ bytes now, \d+ .*EBUSY from write memory\.limit_in_bytes/,
    );
    assert.ok(child.pid);
  });

  test(name("kill finds a process that is in the v1 trees only"), async () => {
    await using sandbox = new CgroupSandbox();
    const cgroup = sandbox.create(host);
    const child = sandbox.start(cgroup, "sleep 60", { clonedIntoUnified: true });
    await once(child.stdout ?? child, "data");
    const exit = once(child, "exit");
    await cgroup.kill();
    assert.deepEqual(await exit, [null, "SIGKILL"]);
  });

  test(name("device rules hold, and change under a running container"), async () => {
    await using sandbox = new CgroupSandbox();
    const cgroup = sandbox.create(host, { devices: [{ allow: false, access: "rwm" }] });
    const node = `/dev/trimaran-test-${process.pid}`;
    const script = `mknod ${node} c 1 1; head -c1 ${node} >/dev/null && echo yes || echo no; rm ${node}; echo x >/dev/null && echo null`;
    assert.equal((await sandbox.run(cgroup, script)).output, "no\nnull\n");
    cgroup.update({
      devices: [
        { allow: false, access: "rwm" },
        { allow: true, type: "c", major: 1, minor: 1, access: "r" },
      ],
    });
    assert.match(readBack(cgroup, "devices", "devices.list"), /^c 1:1 r$/m);
    cgroup.update({ devices: [{ allow: true, access: "rwm" }] });
    assert.equal(readBack(cgroup, "devices", "devices.list"), "a *:* rwm");
    cgroup.update({ devices: [{ allow: false, access: "rwm" }] });
    assert.equal(readBack(cgroup, "devices", "devices.list").split("\n").length, 11);
  });
}

/** Major and minor number of a whole disk of this machine. */
function firstDisk(): number[] {
  const line = /^ *(\d+) +(\d+) +\d+ (?:vda|sda|nvme0n1|xvda|loop0)$/m.exec(readFileSync("/proc/partitions", "utf8"));
  assert.ok(line, "no disk");
  return line.slice(1).map(Number);
}
