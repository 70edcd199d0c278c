import assert from "node:assert/strict";
import { test } from "node:test";
import { parseImageWishes } from "./image-config.ts";

const parse = (document: unknown) => parseImageWishes(Buffer.from(JSON.stringify(document)), "config");

test("what is absent or null is empty, as Go writes it", () => {
  const empty = { env: [], entrypoint: [], cmd: [], workingDir: "", user: "" };
  for (const document of [{}, { config: null }, { config: { Env: null, Cmd: null, User: "" } }]) {
    assert.deepEqual(parse(document), { defaults: empty, stopSignal: "" });
  }
  const { defaults, stopSignal } = parse({ config: { Cmd: ["sh"], User: "bob", StopSignal: "SIGQUIT" } });
  assert.deepEqual([defaults.cmd, defaults.user, stopSignal], [["sh"], "bob", "SIGQUIT"]);
});

test("wrong types are refused by field", () => {
  assert.throws(() => parse({ config: { Env: "A=1" } }), { code: 3, message: "config: config.Env: not a list" });
  assert.throws(() => parse({ config: { Cmd: ["sh", 1] } }), /config.Cmd\[1\]: not a string/);
  assert.throws(() => parse({ config: { User: 0 } }), /config.User: not a string/);
  assert.throws(() => parse({ config: [] }), /config: not an object/);
});
