import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { listenerOf } from "./listener.ts";
import { isThere, processAt } from "./process-state.ts";

test("a process is known by its pid and its start: another that got its pid is not taken for it", async () => {
  const own = await processAt(process.pid);
  assert.ok(own !== undefined && /^\d+$/.test(own.startTime));
  assert.equal(await isThere(own), true);
  assert.equal(await isThere({ ...own, startTime: "1" }), false);
  assert.equal(await processAt(2 ** 22 + 1), undefined); // above the highest pid
});

test("who listens on a socket is found by the kernel's tables", async () => {
  const path = `/tmp/shim-check-${process.pid}.sock`;
  await using server = createServer().listen(path);
  await once(server, "listening");
  assert.equal(await listenerOf(`unix://${path}`), process.pid);
  assert.equal(await listenerOf("unix:///tmp/nobody.sock"), undefined);
});
