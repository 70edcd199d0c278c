import assert from "node:assert/strict";
import { test } from "node:test";
import type { Limit } from "./limits.ts";
import { compileLimitsV1 } from "./limits-v1.ts";
import { compileLimitsV2, toCpuWeight } from "./limits-v2.ts";
import type { LinuxResources } from "./resources.ts";

const flat = (limits: readonly Limit[]): string[] =>
  limits.flatMap((limit) => [`${limit.file}=${limit.text}`, ...(limit.partner ? flat([limit.partner]) : [])]);
const v1 = (resources: LinuxResources) => flat(compileLimitsV1(resources));
const v2 = (resources: LinuxResources, files: Record<string, string> = {}) =>
  flat(compileLimitsV2(resources, (file) => files[file]));

test("cpu.shares to cpu.weight by the new formula", () => {
  assert.deepEqual([1, 2, 3, 512, 1024, 262144, 1e9].map(toCpuWeight), [1, 1, 2, 59, 100, 10000, 10000]);
});

test("memory: limit, swap, reservation", () => {
  const memory = { limit: 1 << 20, swap: 3 << 20, reservation: 4096 };
  assert.deepEqual(v1({ memory }), [
    "memory.limit_in_bytes=1048576",
    "memory.memsw.limit_in_bytes=3145728",
    "memory.soft_limit_in_bytes=4096",
  ]);
  assert.deepEqual(v2({ memory }), ["memory.swap.max=2097152", "memory.max=1048576", "memory.low=4096"]);
  assert.deepEqual(v2({ memory: { limit: 7, swap: 7 } }), ["memory.swap.max=0", "memory.max=7"]);
  assert.deepEqual(v2({ memory: { limit: -1 } }), ["memory.swap.max=max", "memory.max=max"]);
  assert.deepEqual(v1({ memory: { limit: -1 } }), ["memory.limit_in_bytes=-1", "memory.memsw.limit_in_bytes=-1"]);
  assert.deepEqual(v1({ memory: { limit: 0, swap: 0 } }), []);
  assert.deepEqual(v1({ memory: { limit: 2 ** 63 - 1024 } }), [`memory.limit_in_bytes=${2n ** 63n - 1024n}`]);
});

test("memory: what is refused", () => {
  assert.throws(() => v2({ memory: { swap: 5 } }), /linux\.resources\.memory\.swap: needs memory\.limit/);
  assert.throws(() => v1({ memory: { limit: 9, swap: 8 } }), /memory\.swap 8: below memory\.limit 9/);
  assert.throws(() => v1({ memory: { limit: 1.5 } }), /memory\.limit: 1\.5 is not an integer/);
  assert.throws(() => v1({ memory: { swappiness: 101 } }), /not 0 to 100/);
  assert.throws(
    () => v2({ memory: { limit: 10, checkBeforeUpdate: true } }, { "memory.current": "11" }),
    /in use \(11 bytes\)/,
  );
});

test("cpu: quota, period, burst, idle", () => {
  const cpu = { quota: 50000, period: 100000, burst: 1000 };
  assert.deepEqual(v1({ cpu }), ["cpu.cfs_period_us=100000", "cpu.cfs_quota_us=50000", "cpu.cfs_burst_us=1000"]);
  assert.deepEqual(v2({ cpu }), ["cpu.max=50000 100000", "cpu.max.burst=1000"]);
  assert.deepEqual(v2({ cpu: { quota: -1 } }), ["cpu.max=max"]);
  assert.deepEqual(v2({ cpu: { period: 5000 } }, { "cpu.max": "700 100000" }), ["cpu.max=700 5000"]);
  assert.deepEqual(v2({ cpu: { shares: 512, idle: 1 } }), ["cpu.idle=1"]);
  assert.deepEqual(v2({ cpu: { cpus: "0-1", mems: "0" } }), ["cpuset.cpus=0-1", "cpuset.mems=0"]);
});

test("pids, blockIO, hugepages, rdma, network", () => {
  assert.deepEqual(
    [-1, 0, 7].map((limit) => v1({ pids: { limit } })[0]),
    ["pids.max=max", "pids.max=1", "pids.max=7"],
  );
  const blockIO = {
    weight: 500,
    throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 99 }],
    throttleWriteIOPSDevice: [{ major: 8, minor: 1, rate: 5 }],
  };
  assert.deepEqual(v1({ blockIO }), [
    "blkio.weight=500",
    "blkio.throttle.read_bps_device=8:0 99",
    "blkio.throttle.write_iops_device=8:1 5",
  ]);
  assert.deepEqual(v2({ blockIO }), ["io.bfq.weight=500", "io.max=8:0 rbps=99", "io.max=8:1 wiops=5"]);
  assert.deepEqual(compileLimitsV2({ blockIO }, () => undefined)[0]?.otherwise, {
    file: "io.weight",
    text: "default 4950",
  });
  assert.deepEqual(v2({ hugepageLimits: [{ pageSize: "2MB", limit: 4194304 }] }), [
    "hugetlb.2MB.max=4194304",
    "hugetlb.2MB.rsvd.max=4194304",
  ]);
  assert.deepEqual(v1({ rdma: { mlx5_1: { hcaHandles: 3 } } }), ["rdma.max=mlx5_1 hca_handle=3 hca_object=max"]);
  assert.deepEqual(v1({ network: { classID: 5, priorities: [{ name: "eth0", priority: 2 }] } }), [
    "net_cls.classid=5",
    "net_prio.ifpriomap=eth0 2",
  ]);
  assert.throws(() => v2({ network: { classID: 5 } }), /needs cgroup v1/);
  assert.throws(() => v1({ hugepageLimits: [{ pageSize: "../2MB", limit: 1 }] }), /pageSize/);
});

test("what only v1 has: its files there, an error that names the field on v2", () => {
  const cases: [LinuxResources, readonly string[], RegExp][] = [
    [{ memory: { swappiness: 7 } }, ["memory.swappiness=7"], /memory\.swappiness: needs cgroup v1/],
    [{ memory: { disableOOMKiller: true } }, ["memory.oom_control=1"], /memory\.disableOOMKiller: needs cgroup v1/],
    [{ cpu: { realtimePeriod: 9000 } }, ["cpu.rt_period_us=9000"], /cpu\.realtimePeriod: needs cgroup v1/],
    [{ cpu: { realtimeRuntime: 500 } }, ["cpu.rt_runtime_us=500"], /cpu\.realtimeRuntime: needs cgroup v1/],
    [{ blockIO: { leafWeight: 300 } }, ["blkio.leaf_weight=300"], /blockIO\.leafWeight: needs cgroup v1/],
    [
      { blockIO: { weightDevice: [{ major: 8, minor: 0, leafWeight: 20 }] } },
      ["blkio.leaf_weight_device=8:0 20"],
      /blockIO\.weightDevice\[0\]\.leafWeight: needs cgroup v1/,
    ],
    [{ network: { classID: 5 } }, ["net_cls.classid=5"], /network\.classID: needs cgroup v1/],
    [
      { network: { priorities: [{ name: "eth0", priority: 2 }] } },
      ["net_prio.ifpriomap=eth0 2"],
      /network\.priorities: needs cgroup v1/,
    ],
  ];
  for (const [resources, files, message] of cases) {
    assert.deepEqual(v1(resources), files);
    assert.throws(() => v2(resources), message);
  }
  const both = { realtimePeriod: 9000, realtimeRuntime: 500 };
  assert.deepEqual(v1({ cpu: both }), ["cpu.rt_period_us=9000", "cpu.rt_runtime_us=500"]);
  assert.deepEqual(v1({ memory: { useHierarchy: true } }), ["memory.use_hierarchy=1"]);
  assert.deepEqual(v2({ memory: { useHierarchy: true, disableOOMKiller: false } }), []); // v2 is always so
});

test("what no kernel has any more is left out: memory.kernel, memory.kernelTCP", () => {
  const memory = { kernel: 1 << 20, kernelTCP: 1 << 20 };
  assert.deepEqual([v1({ memory } as LinuxResources), v2({ memory } as LinuxResources)], [[], []]);
});

test("blockIO by device, each kind of limit", () => {
  const device = (rate: number) => [{ major: 8, minor: 16, rate }];
  const blockIO = {
    weightDevice: [{ major: 8, minor: 0, weight: 250 }],
    throttleReadBpsDevice: device(1),
    throttleWriteBpsDevice: device(2),
    throttleReadIOPSDevice: device(3),
    throttleWriteIOPSDevice: device(4),
  };
  assert.deepEqual(v1({ blockIO }), [
    "blkio.weight_device=8:0 250",
    ...["read_bps_device=8:16 1", "write_bps_device=8:16 2", "read_iops_device=8:16 3", "write_iops_device=8:16 4"].map(
      (line) => `blkio.throttle.${line}`,
    ),
  ]);
  const lines = ["rbps=1", "wbps=2", "riops=3", "wiops=4"].map((limit) => `io.max=8:16 ${limit}`);
  assert.deepEqual(v2({ blockIO }), ["io.bfq.weight=8:0 250", ...lines]);
});

test("rdma: both counts, and one alone; hugepages on v1, and their reservations", () => {
  const rdma = { mlx5_0: { hcaObjects: 9 }, mlx5_1: { hcaHandles: 3, hcaObjects: 4 } };
  const lines = ["mlx5_0 hca_handle=max hca_object=9", "mlx5_1 hca_handle=3 hca_object=4"];
  for (const compile of [v1, v2])
    assert.deepEqual(
      compile({ rdma }),
      lines.map((line) => `rdma.max=${line}`),
    );
  assert.deepEqual(v1({ hugepageLimits: [{ pageSize: "1GB", limit: 0 }] }), [
    "hugetlb.1GB.limit_in_bytes=0",
    "hugetlb.1GB.rsvd.limit_in_bytes=0",
  ]);
});

test("unified: line by line, last, only file names, only on v2", () => {
  assert.deepEqual(v2({ unified: { "io.max": "8:0 rbps=1\n8:1 rbps=2\n" } }), [
    "io.max=8:0 rbps=1",
    "io.max=8:1 rbps=2",
  ]);
  for (const file of ["../x", "cgroup.procs", "a/b.c", "memory", ""]) {
    assert.throws(() => v2({ unified: { [file]: "1" } }), { name: "CgroupError" }, file);
  }
  assert.throws(() => v1({ unified: { "memory.high": "1" } }), /needs cgroup v2/);
});
