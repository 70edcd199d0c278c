import assert from "node:assert/strict";
import { test } from "node:test";
import { oldestFirst } from "./monitors.ts";

test("monitors are told in the order of their beginning, also when pids have begun again", () => {
  const all = [
    { pid: 300, startTime: 52 },
    { pid: 299, startTime: 52 },
    { pid: 32_760, startTime: 41 },
    { pid: 32_766, startTime: 47 },
  ];
  assert.deepEqual(
    oldestFirst(all).map(({ pid }) => pid),
    [32_760, 32_766, 299, 300],
  );
});
