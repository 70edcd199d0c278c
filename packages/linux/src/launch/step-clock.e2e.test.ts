import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { SeccompCompiler } from "../seccomp/compiler.ts";
import { lazyNative } from "../syscall/native.ts";
import { SYNC_CODE } from "./opcodes.ts";
import { defaultSpec } from "./testing/default-spec.ts";
import { TestPod } from "./testing/pod.ts";

let pod: TestPod;
before(async () => {
  pod = await TestPod.open();
});
after(() => pod[Symbol.asyncDispose]());

const MARK_BYTES = 32;

/** What a timed container tells: CLOCK_MONOTONIC of each reading, in nanoseconds. */
async function run(config: ReturnType<typeof defaultSpec>, more: Parameters<TestPod["create"]>[1] = {}) {
  const told: Buffer[] = [];
  pod.onSync = (sync, link) => {
    assert.equal(sync.code, SYNC_CODE.TIMES);
    told.push(Buffer.from(sync.data));
    link.syncReply(sync.key, 0, 0n);
  };
  const container = await pod.create(config, { ...more, timed: true });
  assert.equal(container.failure, undefined);
  await container.start();
  const { code } = await container.end();
  assert.equal(told.length, 1);
  const [data = Buffer.alloc(0)] = told;
  const marks = Array.from({ length: data.length / MARK_BYTES }, (_, i) => data.subarray(i * MARK_BYTES));
  return { code, times: marks.map((mark) => mark.readBigInt64LE(0) * 1_000_000_000n + mark.readBigInt64LE(8)) };
}

/** In the order in which they were read, between these two moments; what was skipped is 0. */
function assertOrdered(times: readonly bigint[], from: bigint, to: bigint): void {
  const read = times.filter((time) => time > 0n);
  assert.ok(read.length >= 15, `${read.length} readings`);
  assert.deepEqual(
    read,
    read.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0)),
  );
  assert.ok((read[0] ?? 0n) >= from && (read.at(-1) ?? 0n) <= to);
}

for (const noNewPrivileges of [true, false]) {
  test(`times are told before a filter that forbids to tell them (noNewPrivileges ${noNewPrivileges})`, async () => {
    const config = defaultSpec(["true"]);
    config.process.noNewPrivileges = noNewPrivileges;
    const compiled = new SeccompCompiler(lazyNative()).compile({
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ names: ["sendmsg", "clock_gettime"], action: "SCMP_ACT_KILL_PROCESS" }],
    });
    assert.ok(compiled);
    const from = process.hrtime.bigint();
    const seccomp = { bytes: compiled.program, flags: compiled.flags, passesGate: true };
    const { code, times } = await run(config, { seccomp });
    assert.equal(code, 0);
    assertOrdered(times, from, process.hrtime.bigint());
  });
}

test("a second process goes on with the clock: a pid namespace that is joined", async () => {
  const config = defaultSpec(["true"]);
  Object.assign(config.linux.namespaces[0] ?? {}, { path: "/proc/self/ns/pid" });
  const from = process.hrtime.bigint();
  const { code, times } = await run(config);
  assert.equal(code, 0);
  assertOrdered(times, from, process.hrtime.bigint());
});
