import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { EngineWatch } from "./engine-watch.ts";

test("what V8 says of its own failure is seen, however it is cut; all passes on as it was", async () => {
  const target = new PassThrough();
  using watch = new EngineWatch(target);
  for (const chunk of ["not ok 1\n# Fatal", " error i"]) watch.write(chunk);
  await new Promise((resolve) => watch.write("", resolve));
  assert.equal(watch.hasFailed, false);
  await new Promise((resolve) => watch.write("n , line 0\n", resolve));
  assert.equal(watch.hasFailed, true);
  target.end();
  assert.equal(await text(target), "not ok 1\n# Fatal error in , line 0\n");
});
