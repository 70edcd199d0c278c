import assert from "node:assert/strict";
import { test } from "node:test";
import type { CgroupStats } from "@trimaran/linux";
import { Code } from "ttrpc-ts";
import { parseEventStats } from "./stats.ts";

const EVENT = `{"type":"stats","id":"c","data":{"cpu":{"usage":{"total":5000000}},"memory":{"usage":{"usage":4096}},"pids":{"current":2}}}\n`;
const base = (version: 1 | 2): CgroupStats =>
  ({
    version,
    metrics: {
      cpu: { usage: { total: 1n }, usageUsec: 1n },
      memory: { usage: { usage: 1n, limit: 9n } },
      pids: { current: 9n, limit: 7n },
    },
  }) as unknown as CgroupStats;

test("what runsc says of a member takes the place of the cgroup's numbers; limits stay", () => {
  const stats = parseEventStats(EVENT, base(1));
  assert.ok(stats.version === 1);
  assert.equal(stats.metrics.cpu.usage.total, 5_000_000n);
  assert.deepEqual(stats.metrics.memory.usage, { usage: 4096n, limit: 9n });
  assert.deepEqual(stats.metrics.pids, { current: 2n, limit: 7n });
});

test("on v2 the time is in microseconds", () => {
  const stats = parseEventStats(EVENT, base(2));
  assert.ok(stats.version === 2);
  assert.equal(stats.metrics.cpu.usageUsec, 5000n);
  assert.equal(stats.metrics.memory.usage, 4096n);
});

test("no JSON is Unavailable; missing numbers are 0", () => {
  assert.throws(() => parseEventStats("", base(1)), { code: Code.Unavailable });
  const stats = parseEventStats('{"data":{"pids":{"current":-1}}}', base(1));
  assert.ok(stats.version === 1);
  assert.deepEqual([stats.metrics.cpu.usage.total, stats.metrics.pids.current], [0n, 0n]);
});
