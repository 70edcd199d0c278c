import assert from "node:assert/strict";
import { test } from "node:test";
import { SerialQueue } from "./queue.ts";
import { Waiters } from "./waiters.ts";

test("everybody who waits gets the value; who gave up does not", async () => {
  const waiters = new Waiters<number>();
  const gone = new AbortController();
  const open = [waiters.wait(new AbortController().signal), waiters.wait(new AbortController().signal)];
  const abandoned = waiters.wait(gone.signal);
  gone.abort(new Error("connection closed"));
  await assert.rejects(abandoned, { message: "connection closed" });
  waiters.settle(7);
  assert.deepEqual(await Promise.all(open), [7, 7]);
});

test("jobs of one queue never overlap, and a failed one does not stop the next", async () => {
  const queue = new SerialQueue();
  const order: string[] = [];
  const first = queue.run(async () => {
    order.push("first in");
    await new Promise((resolve) => setImmediate(resolve));
    order.push("first out");
    throw new Error("no");
  });
  const second = queue.run(() => order.push("second"));
  await assert.rejects(first, { message: "no" });
  await second;
  assert.deepEqual(order, ["first in", "first out", "second"]);
});
