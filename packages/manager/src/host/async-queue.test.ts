import assert from "node:assert/strict";
import { test } from "node:test";
import { AsyncQueue } from "./async-queue.ts";

test("values come in order, before and after somebody waits; the end comes after them", async () => {
  const queue = new AsyncQueue<number>();
  queue.push(1);
  const reader = queue[Symbol.asyncIterator]();
  assert.deepEqual(await reader.next(), { value: 1, done: false });
  const waiting = reader.next();
  queue.push(2);
  queue.push(3);
  queue.end();
  queue.push(4);
  assert.deepEqual(await waiting, { value: 2, done: false });
  assert.deepEqual(await reader.next(), { value: 3, done: false });
  assert.deepEqual(await reader.next(), { value: undefined, done: true });
});

test("a failure comes after the values", async () => {
  const queue = new AsyncQueue<number>();
  queue.push(1);
  queue.fail(new RangeError("x"));
  const seen: number[] = [];
  await assert.rejects(async () => {
    for await (const value of queue) seen.push(value);
  }, RangeError);
  assert.deepEqual(seen, [1]);
});

test("a writer waits for the reader, but not for one that has gone", async () => {
  const queue = new AsyncQueue<number>();
  for (const value of [1, 2, 3]) queue.push(value);
  const reader = queue[Symbol.asyncIterator]();
  const written = { yet: false };
  const waiting = queue.below(2).then(() => {
    written.yet = true;
  });
  await reader.next();
  await Promise.resolve();
  assert.equal(written.yet, false);
  await reader.next();
  await waiting;
  for (const value of [4, 5, 6]) queue.push(value);
  const second = queue.below(1);
  await reader.return?.();
  await second;
  assert.equal(queue.isOpen, false);
});
