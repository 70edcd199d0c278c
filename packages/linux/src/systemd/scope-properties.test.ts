import assert from "node:assert/strict";
import { test } from "node:test";
import type { CgroupMode } from "../cgroup/host.ts";
import type { LinuxResources } from "../cgroup/resources.ts";
import { isVariant } from "../dbus/value.ts";
import type { Property } from "./manager.ts";
import { resourceProperties } from "./resource-properties.ts";
import { scopeProperties, updateProperties } from "./scope-properties.ts";
import { annotationProperties } from "./unit-annotations.ts";

const INFINITY = 2n ** 64n - 1n;

function plain(properties: readonly Property[]): Record<string, unknown> {
  return Object.fromEntries(properties.map(([name, { value }]) => [name, value]));
}

function limits(mode: CgroupMode, resources: LinuxResources, files: Readonly<Record<string, string>> = {}) {
  return plain(resourceProperties(mode, resources, (file) => files[file]));
}

test("a scope: what it always has, and its process", () => {
  const start = { id: "web", pid: 77, resources: {}, devices: true, annotations: new Map<string, string>() };
  const properties = scopeProperties("v2", { unit: "trm-web.scope", slice: "a.slice" }, start);
  assert.ok(properties.every(([, value]) => isVariant(value)));
  assert.deepEqual(plain(properties), {
    ...{
      Description: "trimaran container web",
      Slice: "a.slice",
      PIDs: [77],
      Delegate: true,
      DefaultDependencies: false,
    },
    ...{ CollectMode: "inactive-or-failed", MemoryAccounting: true, CPUAccounting: true, TasksAccounting: true },
    IOAccounting: true,
  });
});

test("v2: limits as systemd has them", () => {
  const resources = {
    memory: { limit: 1000, swap: 1500, reservation: 500 },
    cpu: { shares: 1024, quota: 33_333, period: 100_000, cpus: "0-1,9", mems: "0" },
    pids: { limit: 0 },
  };
  assert.deepEqual(limits("v2", resources), {
    ...{ MemoryMax: 1000n, MemorySwapMax: 500n, MemoryLow: 500n, CPUWeight: 100n, TasksMax: 1n },
    ...{ CPUQuotaPerSecUSec: 340_000n, CPUQuotaPeriodUSec: 100_000n }, // never less than what was asked for
    ...{ AllowedCPUs: Uint8Array.of(3, 2), AllowedMemoryNodes: Uint8Array.of(1) },
  });
});

test("v2: no limit, and what is left alone", () => {
  const none = { memory: { limit: -1 }, cpu: { quota: -1 }, pids: { limit: -1 } };
  assert.deepEqual(limits("v2", none), {
    ...{ MemoryMax: INFINITY, MemorySwapMax: INFINITY, CPUQuotaPerSecUSec: INFINITY, TasksMax: INFINITY },
  });
  assert.deepEqual(limits("v2", { memory: { limit: 0 }, cpu: { shares: 0, quota: 0, period: 0, cpus: "" } }), {});
});

test("v2: half of a quota gets its other half from the file", () => {
  assert.deepEqual(limits("v2", { cpu: { quota: 10_000 } }, { "cpu.max": "max 20000" }), {
    CPUQuotaPerSecUSec: 500_000n,
  });
  assert.deepEqual(limits("v2", { cpu: { period: 50_000 } }, { "cpu.max": "10000 100000" }), {
    CPUQuotaPerSecUSec: 200_000n,
    CPUQuotaPeriodUSec: 50_000n,
  });
});

test("v2: of unified, what systemd would overwrite", () => {
  const unified = {
    ...{ "memory.high": "4096", "memory.min": "max", "cpu.max": "50000 100000", "cpu.weight": "7" },
    ...{ "cpuset.cpus": "1", "pids.max": "9", "io.max": "8:0 rbps=1", "memory.oom.group": "1" },
  };
  assert.deepEqual(limits("v2", { unified }), {
    ...{ MemoryHigh: 4096n, MemoryMin: INFINITY, CPUQuotaPerSecUSec: 500_000n, CPUQuotaPeriodUSec: 100_000n },
    ...{ CPUWeight: 7n, AllowedCPUs: Uint8Array.of(2), TasksMax: 9n },
  });
  assert.throws(
    () => limits("v2", { unified: { "memory.max": "10G" } }),
    /unified\["memory\.max"\]: "10G" is no number/,
  );
});

test("v1: its own names, and devices, because systemd would allow all", () => {
  const resources = {
    ...{ memory: { limit: 1000 }, cpu: { shares: 512 }, pids: { limit: 5 }, blockIO: { weight: 500 } },
    devices: [
      { allow: false, access: "rwm" },
      { allow: true, type: "c", major: 10, minor: 229, access: "rw" },
      { allow: true, type: "b", major: 8, access: "r" },
    ],
  };
  const start = { id: "web", pid: 77, resources, devices: true, annotations: new Map<string, string>() };
  const properties = scopeProperties("hybrid", { unit: "u.scope", slice: "a.slice" }, start);
  const { MemoryLimit, CPUShares, TasksMax, BlockIOWeight, DevicePolicy, DeviceAllow } = plain(properties);
  assert.deepEqual([MemoryLimit, CPUShares, TasksMax, BlockIOWeight, DevicePolicy], [1000n, 512n, 5n, 500n, "strict"]);
  const allowed = DeviceAllow as string[][];
  for (const entry of [
    ["/dev/char/10:229", "rw"],
    ["block-8", "r"],
    ["block-*", "m"],
    ["/dev/char/1:3", "rwm"],
    ["char-136", "rwm"],
  ])
    assert.ok(
      allowed.some((each) => each.join() === entry.join()),
      entry.join(),
    );
  assert.deepEqual(plain(updateProperties("v1", { devices: [{ allow: true, access: "rwm" }] }, () => undefined)), {
    DevicePolicy: "auto",
    DeviceAllow: [],
  });
  assert.deepEqual(
    updateProperties("v2", resources, () => undefined).filter(([name]) => name.startsWith("Device")),
    [],
  );
});

test("values that cannot be are errors that name the field", () => {
  assert.throws(() => limits("v2", { memory: { limit: 1.5 } }), /linux\.resources\.memory\.limit/);
  assert.throws(() => limits("v2", { cpu: { cpus: "3-1" } }), /linux\.resources\.cpu\.cpus/);
});

test("annotations: three properties, in GVariant's text form; everything else is refused", () => {
  const parse = (name: string, text: string) =>
    plain(
      annotationProperties(
        new Map([
          [`org.systemd.property.${name}`, text],
          ["other", "x"],
        ]),
      ),
    );
  assert.deepEqual(parse("TimeoutStopUSec", "uint64 7000000"), { TimeoutStopUSec: 7_000_000n });
  assert.deepEqual(parse("TimeoutStopSec", "7"), { TimeoutStopUSec: 7_000_000n });
  assert.deepEqual(parse("KillSignal", "int32 15"), { KillSignal: 15 });
  assert.deepEqual(parse("CollectMode", "'inactive'"), { CollectMode: "inactive" });
  for (const [name, text] of [
    ["ExecStopPost", "[('/bin/sh', ['sh'], false)]"],
    ["constructor", "1"],
    ["KillSignal", "99999999999"],
    ["KillSignal", "'TERM'"],
    ["CollectMode", "inactive"],
    ["TimeoutStopSec", "-1"],
  ] as const)
    assert.throws(() => parse(name, text), { name: "InvalidSpec" }, `${name} ${text}`);
});
