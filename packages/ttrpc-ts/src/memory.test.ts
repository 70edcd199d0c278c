import assert from "node:assert/strict";
import { test } from "node:test";
import { heapGrowth } from "../bench/heap-growth.ts";

test("memory is flat over 100000 calls that succeed, fail, time out, are given up", async () => {
  const { heapBytes, openCalls, activeCalls } = await heapGrowth(100_000);
  assert.ok(heapBytes < 1_000_000, `${heapBytes} bytes more`);
  assert.deepEqual([openCalls, activeCalls], [0, 0]);
});
