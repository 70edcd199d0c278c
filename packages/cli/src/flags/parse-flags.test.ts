import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMount } from "./parse-mount.ts";
import { parseSignal } from "./parse-signal.ts";
import { parseCount, parsePositive, parseSize } from "./parse-size.ts";
import { parseEnv, resolveEnv } from "./run-flags.ts";

test("sizes, counts, numbers", () => {
  assert.deepEqual(["1", "64m", "1.5G", "2KiB", "8b"].map(parseSize), [1, 64 << 20, 1.5 * 2 ** 30, 2048, 8]);
  for (const text of ["", "m", "-1", "0", "1x", "64 m", "1e9", "99999999t"])
    assert.throws(() => parseSize(text), RangeError);
  assert.equal(parsePositive("0.5"), 0.5);
  for (const text of ["", " ", "0", "-1", "x", "Infinity"]) assert.throws(() => parsePositive(text), RangeError);
  assert.equal(parseCount("100"), 100);
  for (const text of ["", "0", "1.5", "-1"]) assert.throws(() => parseCount(text), RangeError);
});

test("signals by name and number", () => {
  assert.deepEqual(["9", "KILL", "SIGKILL", "sigterm", "RTMIN+1"].map(parseSignal), [9, 9, 9, 15, 35]);
  for (const text of ["", "0", "65", "SIG", "FOO", "RTMIN+31"])
    assert.throws(() => parseSignal(text), RangeError, text);
});

test("mounts in ctr's and docker's words", () => {
  const expected = { destination: "/data", type: "bind", source: "/host", options: ["rbind", "ro"] };
  assert.deepEqual(parseMount("type=bind,src=/host,dst=/data,options=ro"), expected);
  assert.deepEqual(parseMount("source=/host,target=/data,readonly"), expected);
  assert.deepEqual(parseMount("type=bind,src=/host,dst=/data,options=rbind:ro"), expected);
  assert.deepEqual(parseMount("type=tmpfs,dst=/t"), { destination: "/t", type: "tmpfs", source: "tmpfs", options: [] });
  assert.throws(() => parseMount("src=/host,dst=data"), /dst "data": not an absolute path/);
  assert.throws(() => parseMount("dst=/data"), /src is missing/);
  assert.throws(() => parseMount("src=/a,dst=/b,shared=1"), /"shared" is unknown/);
});

test("K=V as it is, K alone from our own environment", () => {
  assert.deepEqual(resolveEnv(["A=1", "B", "C"], { B: "2" }), ["A=1", "B=2"]);
  assert.equal(parseEnv("A=b=c"), "A=b=c");
  assert.throws(() => parseEnv("=x"), RangeError);
});
