import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { Cgroup } from "./cgroup.ts";
import { planCgroup } from "./plan.ts";
import { CgroupSandbox, readBack, realHosts } from "./testing/sandbox.ts";

// Where cgroup2 is all that there is: e2e/vm boots such a machine.
for (const host of realHosts().filter(({ mode }) => mode === "v2")) {
  const name = (text: string) => `${host.mode}: ${text}`;
  const folder = `/trimaran-test-${process.pid}`;

  test(name("limits read back, update changes only what is set"), async () => {
    await using sandbox = new CgroupSandbox();
    const memory = { limit: 64 << 20, swap: 128 << 20, reservation: 8 << 20 };
    const cpu = { shares: 512, quota: 50000, period: 100000, burst: 1000, cpus: "0", mems: "0" };
    const cgroup = sandbox.create(host, { memory, cpu, pids: { limit: 20 }, blockIO: { weight: 500 } });
    const read = (...files: string[]) => files.map((file) => readBack(cgroup, "", file));
    assert.deepEqual(
      read("memory.max", "memory.swap.max", "memory.low"),
      [64, 64, 8].map((size) => String(size << 20)),
    );
    assert.deepEqual(read("cpu.weight", "cpu.max", "cpu.max.burst"), ["59", "50000 100000", "1000"]);
    assert.deepEqual(read("cpuset.cpus", "cpuset.mems", "pids.max", "io.weight"), ["0", "0", "20", "default 4950"]);
    cgroup.update({ memory: { limit: 256 << 20, swap: 512 << 20 }, cpu: { period: 5000, quota: 2000, burst: 0 } });
    cgroup.update({ memory: { limit: 32 << 20, swap: 32 << 20 }, cpu: { quota: -1 } });
    assert.deepEqual(read("memory.max", "memory.swap.max", "cpu.max"), [String(32 << 20), "0", "max 5000"]);
    assert.deepEqual(read("cpu.weight", "pids.max"), ["59", "20"]);
    cgroup.update({ memory: { limit: -1 }, pids: { limit: -1 } });
    assert.deepEqual(read("memory.max", "memory.swap.max", "pids.max"), ["max", "max", "max"]);
  });

  test(name("huge pages, and their reservations; a device of rdma that is not there; figures of both"), async () => {
    await using sandbox = new CgroupSandbox();
    const cgroup = sandbox.create(host, { hugepageLimits: [{ pageSize: "2MB", limit: 4 << 20 }] });
    for (const file of ["hugetlb.2MB.max", "hugetlb.2MB.rsvd.max"])
      assert.equal(readBack(cgroup, "", file), String(4 << 20));
    const stats = cgroup.stats();
    assert.ok(stats.version === 2);
    assert.equal(stats.metrics.hugetlb.find(({ pagesize }) => pagesize === "2MB")?.max, BigInt(4 << 20));
    assert.throws(
      () => cgroup.update({ rdma: { mlx5_0: { hcaHandles: 3 } } }),
      /rdma "mlx5_0" .*\(ENODEV from write rdma\.max\)/,
    );
  });

  test(name("a refused value names the field, and nothing is left"), async () => {
    await using sandbox = new CgroupSandbox();
    const plan = planCgroup(host, `${folder}/refused`, "x");
    const refused = (resources: object, message: RegExp) => {
      assert.throws(() => Cgroup.create(host, plan, resources, sandbox.tools), message);
      assert.equal(existsSync(plan.unified ?? ""), false);
    };
    refused({ cpu: { cpus: "0-9999" } }, /cpu\.cpus 0-9999: .*\(E[A-Z]+ from write cpuset\.cpus\)/);
    refused({ cpu: { quota: 5 } }, /cpu\.quota .*\(EINVAL from write cpu\.max\)/);
    refused({ memory: { swap: 1 << 20, limit: 2 << 20 } }, /memory\.swap/);
    refused({ memory: { swappiness: 10 } }, /memory\.swappiness: needs cgroup v1/);
    refused(
      { blockIO: { throttleReadBpsDevice: [{ major: 999, minor: 9, rate: 1 }] } },
      /throttleReadBpsDevice\[0\] .*ENODEV/,
    );
    refused({ unified: { "memory.nope": "1" } }, /unified\["memory\.nope"\] 1: .*ENOENT/);
  });

  test(name("memory below usage is refused if that is asked for"), async () => {
    await using sandbox = new CgroupSandbox();
    const cgroup = sandbox.create(host, {});
    const child = sandbox.start(cgroup, "head -c 20000000 /dev/zero | tail -c 20000000 | (sleep 60; cat)");
    while (Number(readBack(cgroup, "", "memory.current")) < 15e6) await new Promise((done) => setTimeout(done, 5));
    assert.throws(
      () => cgroup.update({ memory: { limit: 4096, checkBeforeUpdate: true } }),
      /memory\.limit 4096: below what is in use \(\d+ bytes\)/,
    );
    assert.equal(readBack(cgroup, "", "memory.max"), "max");
    assert.ok(child.pid);
  });

  test(name("device rules hold, and change under a running container"), async () => {
    await using sandbox = new CgroupSandbox();
    const cgroup = sandbox.create(host, { devices: [{ allow: false, access: "rwm" }] });
    const node = `/dev/trimaran-test-${process.pid}`;
    const script = `mknod ${node} c 1 1; head -c1 ${node} >/dev/null && echo yes || echo no; rm ${node}; echo x >/dev/null && echo null`;
    assert.equal((await sandbox.run(cgroup, script)).output, "no\nnull\n");
    const read = { allow: true, type: "c" as const, major: 1, minor: 1, access: "r" };
    cgroup.update({ devices: [{ allow: false, access: "rwm" }, read] });
    assert.equal((await sandbox.run(cgroup, script)).output, "yes\nnull\n");
    cgroup.update({ devices: [{ allow: false, access: "rwm" }] });
    assert.equal((await sandbox.run(cgroup, script)).output, "no\nnull\n");
  });

  test(name("a parent with processes of its own gives no controller, and the error says so"), async () => {
    await using sandbox = new CgroupSandbox();
    const parent = sandbox.create(host, {});
    const child = sandbox.start(parent, "sleep 60");
    await once(child.stdout ?? child, "data");
    const plan = planCgroup(host, `${parent.plan.path}/inner`, "x");
    assert.throws(
      () => Cgroup.create(host, plan, {}, sandbox.tools),
      /holds processes, so cgroup v2 gives its children no .*memory/,
    );
    assert.equal(existsSync(plan.unified ?? ""), false);
    assert.deepEqual(
      [readBack(parent, "", "cgroup.subtree_control"), readBack(parent, "", "cgroup.type")],
      ["", "domain"],
    );
  });

  test(name("a process joins where init is once the container has handed on controllers"), async () => {
    await using sandbox = new CgroupSandbox();
    const cgroup = sandbox.create(host, {});
    const child = sandbox.start(cgroup, "exec sleep 60");
    await once(child.stdout ?? child, "data");
    const [own, pid] = [cgroup.plan.unified ?? "", child.pid ?? 0];
    assert.equal(cgroup.entryDirectory(pid), own);
    mkdirSync(`${own}/init.scope`);
    for (const each of cgroup.processes()) writeFileSync(`${own}/init.scope/cgroup.procs`, String(each));
    writeFileSync(`${own}/cgroup.subtree_control`, "+pids");
    assert.equal(cgroup.entryDirectory(pid), `${own}/init.scope`);
  });

  test(name("our own folder is given every controller that there is"), async () => {
    await using sandbox = new CgroupSandbox();
    sandbox.create(host, {});
    const { mountPoint } = host.unified ?? { mountPoint: "" };
    const words = (file: string) => readFileSync(file, "utf8").trim().split(" ").sort();
    assert.deepEqual(words(`${mountPoint}${folder}/cgroup.subtree_control`), words(`${mountPoint}/cgroup.controllers`));
    assert.throws(() => rmdirSync(`${mountPoint}${folder}`), /EBUSY/);
  });
}
