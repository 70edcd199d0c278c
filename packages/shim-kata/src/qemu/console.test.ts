import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { readLastWords } from "./console.ts";

const directory = mkdtempSync(join(tmpdir(), "kata-console-"));
after(() => rmSync(directory, { recursive: true }));
function lastWords(text: string) {
  const path = join(directory, "console.log");
  writeFileSync(path, text, "latin1");
  return readLastWords(path);
}

test("a panic is the reason, not what came after it", () => {
  const { reason, lines } = lastWords(
    "[ 1.0] Kernel panic - not syncing: sysrq\r\n[ 1.1] Call Trace:\r\n[ 1.2] end\r\n",
  );
  assert.equal(reason, "[ 1.0] Kernel panic - not syncing: sysrq");
  assert.equal(lines.at(-1), "[ 1.2] end");
});

test("without one it is init's last word", () => {
  assert.equal(
    lastWords("init: a: b\ninit: the agent ended: exit status 1\nx\n").reason,
    "init: the agent ended: exit status 1",
  );
  assert.equal(lastWords("all is well\n").reason, undefined);
});

test("what a guest writes can neither forge a line nor fill a log", () => {
  const { lines } = lastWords(`\x1b[31mred\x1b[0m\x07 \xff\u0000end\n${"x".repeat(5000)}\n${"y\n".repeat(100)}`);
  assert.equal(lines.length, 12);
  assert.equal(lastWords("\x1b[31mred\x1b[0m\x07 \xffend").lines[0], "red end");
  assert.equal(lastWords("x".repeat(50_000)).lines[0]?.length, 200);
});

test("no log is an empty one", () => {
  assert.deepEqual(readLastWords(join(directory, "none")), { reason: undefined, lines: [] });
});
