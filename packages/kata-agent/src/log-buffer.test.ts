import assert from "node:assert/strict";
import { test } from "node:test";
import { LogBuffer } from "./log-buffer.ts";

const never = new AbortController().signal;

test("lines are kept until they are acknowledged, and a read waits for the next one", async () => {
  const log = new LogBuffer();
  log.add("one");
  log.add("two");
  assert.deepEqual(await log.read(0, never), { last: 2, lines: ["one", "two"] });
  assert.deepEqual(await log.read(1, never), { last: 2, lines: ["two"] });
  const next = log.read(2, never);
  log.add("three");
  assert.deepEqual(await next, { last: 3, lines: ["three"] });
});

test("a host that does not fetch loses the oldest lines", async () => {
  const log = new LogBuffer();
  for (let i = 1; i <= 5000; i++) log.add(`line ${i}`);
  const { last, lines } = await log.read(0, never);
  assert.deepEqual([last, lines.length, lines.at(-1)], [5000, 1000, "line 5000"]);
});
