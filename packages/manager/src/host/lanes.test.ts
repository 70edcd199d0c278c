import assert from "node:assert/strict";
import { test } from "node:test";
import { Lanes } from "./lanes.ts";

test("one at a time per key, in order, also after a failure; other keys go on", async () => {
  const lanes = new Lanes();
  const gate = Promise.withResolvers<void>();
  const seen: string[] = [];
  const first = lanes.run("a", async () => {
    await gate.promise;
    seen.push("a1");
    throw new Error("first");
  });
  const second = lanes.run("a", async () => void seen.push("a2"));
  await lanes.run("b", async () => void seen.push("b"));
  assert.deepEqual(seen, ["b"]);
  gate.resolve();
  await assert.rejects(first, /first/);
  await second;
  assert.deepEqual(seen, ["b", "a1", "a2"]);
});
