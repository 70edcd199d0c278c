import assert from "node:assert/strict";
import { test } from "node:test";
import { Work } from "./work.ts";

test("a method counts until it is settled, whatever the end; the one apart never does", async () => {
  const work = new Work();
  const gates = [Promise.withResolvers<number>(), Promise.withResolvers<number>(), Promise.withResolvers<number>()];
  const [create, exec, wait] = gates.map(
    ({ promise }) =>
      (_request: never, _context: never) =>
        promise,
  );
  assert.ok(create && exec && wait);
  const methods = work.counting({ create, exec, wait, state: (_request: never, _context: never) => 4 }, "wait");
  const nothing = undefined as never;
  const answers = [methods.create(nothing, nothing), methods.exec(nothing, nothing), methods.wait(nothing, nothing)];
  assert.equal(methods.state(nothing, nothing), 4);
  gates[0]?.resolve(1);
  assert.equal(await answers[0], 1);
  assert.equal(work.isNone, false);
  gates[1]?.reject(new Error("no"));
  await assert.rejects(async () => await answers[1]);
  assert.equal(work.isNone, true, "only Wait is open");
});
