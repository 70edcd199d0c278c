import assert from "node:assert/strict";
import { test } from "node:test";
import { failureReason } from "./reason.ts";

const line = (level: string, msg: string) => JSON.stringify({ msg, level, time: "2026-01-01T00:00:00Z" });

test("the first error tells the cause, whoever of runsc's processes wrote it", () => {
  const log = `${line("warning", "odd")}${line("error", "no such file")}\n${line("error", "waiting for sandbox: EOF")}`;
  assert.equal(failureReason(log, "waiting for sandbox: EOF\n"), "no such file");
});

test("without a log line, stderr's first line", () => {
  assert.equal(
    failureReason("", "\nflag provided but not defined: -x\nUsage: …\n"),
    "flag provided but not defined: -x",
  );
  assert.equal(failureReason(line("info", "fine"), ""), undefined);
});

test("a line that was cut off is passed over, and braces in a message do no harm", () => {
  assert.equal(failureReason(`${line("error", 'a {b} {"c"}')}{"msg":"cut`, ""), 'a {b} {"c"}');
});

test("a spec that runsc repeats is not told: it holds the environment", () => {
  const msg = 'reading spec: no string\n{"process":{"env":["TOKEN=secret"]}}';
  assert.equal(failureReason(JSON.stringify({ level: "error", msg }), ""), "reading spec: no string");
});

test("a reason is one line", () => {
  assert.equal(
    failureReason('{"level":"error","msg":"mounting root:\\n  permission denied\\n"}', ""),
    "mounting root:; permission denied",
  );
});
