import assert from "node:assert/strict";
import { test } from "node:test";
import { formatLogLine, textLogger } from "./logger.ts";

test("a line has time, level, message and fields; what is absent is left out", () => {
  const line = formatLogLine(new Date(0), "warning", "exit status lost", {
    namespace: "default",
    pid: 4711,
    id: undefined,
  });
  assert.equal(
    line,
    'time="1970-01-01T00:00:00.000Z" level=warning msg="exit status lost" namespace=default pid=4711\n',
  );
});

test("a value cannot forge a line or a field", () => {
  const line = formatLogLine(new Date(0), "error", "x", { error: 'a\nlevel=info "b"', empty: "", id: "a b=c" });
  assert.ok(line.endsWith('msg="x" error="a\\nlevel=info \\"b\\"" empty="" id="a b=c"\n'));
});

test("debug lines only on request", () => {
  const lines: string[] = [];
  textLogger((line) => lines.push(line), false).debug("x");
  assert.equal(lines.length, 0);
  textLogger((line) => lines.push(line), true).debug("x");
  assert.equal(lines.length, 1);
});
