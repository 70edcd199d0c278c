import assert from "node:assert/strict";
import { test } from "node:test";
import { disassemble } from "../explain/disassemble.ts";
import { parseSpec } from "../spec/spec.ts";
import type { HostFeatures } from "./host.ts";
import { compileInit } from "./init.ts";
import { ProgramBuilder } from "./program.ts";
import { readStepTimes } from "./step-clock.ts";
import { defaultSpec } from "./testing/default-spec.ts";

const HOST: HostFeatures = {
  architecture: "x86_64",
  kernel: [6, 18],
  kcore: true,
  selinux: false,
  inUserNamespace: false,
  namespaceInodes: { network: 1, ipc: 2, uts: 3, user: 4 },
};

function compile(timed?: boolean) {
  return compileInit({
    id: "a",
    spec: parseSpec(JSON.stringify(defaultSpec(["sh"]))),
    bundle: "/b",
    rootfs: [],
    stdio: { kind: "slots", stdin: 0, stdout: 1, stderr: 2, prelude() {} },
    cgroup: { attachFiles: [], ownDirs: [] },
    host: HOST,
    ...(timed === undefined ? {} : { timed }),
  });
}

test("a program that is not timed has not a step or byte more", () => {
  assert.deepEqual(compile(false).bytes, compile().bytes);
  assert.equal(compile().timing, undefined);
  assert.ok(!disassemble(compile()).steps.some(({ call }) => call === "clock_gettime"));
});

test("a timed one has the same steps, clock readings between the groups, and tells before the gate", () => {
  const { steps } = disassemble(compile(true));
  const isOwn = ({ call, arguments: args }: (typeof steps)[number]) => call === "clock_gettime" || args[0] === "TIMES";
  const plain = disassemble(compile()).steps;
  assert.deepEqual(
    steps.filter((step) => !isOwn(step)).map(({ call, field }) => [call, field]),
    plain.map(({ call, field }) => [call, field]),
  );
  const told = steps.findIndex(({ call }) => call === "SYNC");
  assert.ok(told >= 0 && told < steps.findIndex(({ call }) => call === "GATE"));
  assert.ok(!steps.slice(told).some(({ call }) => call === "clock_gettime"));
  for (const step of steps.filter(isOwn)) assert.deepEqual(step.tolerates, ["any"], "no start fails for its clock");
  const { timing } = compile(true);
  assert.ok(timing !== undefined);
  assert.equal(steps.filter(({ call }) => call === "clock_gettime").length, 2 * (timing.marks.length + 1));
  for (const group of ["namespaces", "root filesystem", "mounts", "devices", "capabilities"])
    assert.ok(
      timing.marks.some((mark) => mark.group === group),
      group,
    );
});

test("a skip still ends where it did, past the clock", () => {
  const target = (timed: boolean) => {
    const b = new ProgramBuilder("x86_64", { timed });
    b.field = "process";
    const at = b.sys("umask", [0], { tolerate: ["EPERM"] });
    b.field = "mounts[0]";
    b.sys("setsid", []);
    b.skipOnError(at);
    b.field = "linux.seccomp";
    b.sys("chdir", [b.data.string("/")]);
    const { steps } = disassemble(b.build());
    const to = steps.find(({ call }) => call === "umask")?.jump?.to ?? -1;
    return steps.slice(to).find(({ call }) => call !== "clock_gettime")?.call;
  };
  assert.deepEqual([target(false), target(true)], ["chdir", "chdir"]);
});

function reading(wallS: number, cpuNs: number): Buffer {
  const bytes = Buffer.alloc(32);
  bytes.writeBigInt64LE(BigInt(wallS), 0);
  bytes.writeBigInt64LE(BigInt(cpuNs), 24);
  return bytes;
}

test("readings become times; a group that was skipped has none, and a new process counts anew", () => {
  const timing = {
    marks: [
      { group: "stdio", clones: false },
      { group: "namespaces", clones: true },
      { group: "mounts", clones: false },
      { group: "devices", clones: false },
    ],
  } as const;
  const data = Buffer.concat([reading(1, 100), reading(2, 400), reading(0, 0), reading(5, 50), reading(6, 70)]);
  const second = 1_000_000_000n;
  assert.deepEqual(readStepTimes(timing, data), [
    { group: "stdio", startNs: second, endNs: 2n * second, cpuNs: 300n },
    { group: "namespaces", startNs: 2n * second, endNs: 5n * second, cpuNs: undefined },
    { group: "devices", startNs: 5n * second, endNs: 6n * second, cpuNs: 20n },
  ]);
  assert.deepEqual(readStepTimes(timing, data.subarray(0, 40)), []);
});
