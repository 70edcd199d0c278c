import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Check, isFault } from "./checks/check.ts";
import { CHECKS } from "./checks/index.ts";
import { DEVIATIONS, knownReason } from "./deviations.ts";
import { checksPage } from "./report/checks-page.ts";
import { listText, resultJson, resultText, summaryText } from "./report/report.ts";
import { chooseChecks, type Result } from "./run.ts";

const ids = (checks: readonly Check[]) => checks.map(({ id }) => id);

test("each id is there once, and each check names where its rule is", () => {
  assert.equal(new Set(ids(CHECKS)).size, CHECKS.length);
  for (const { id, sections, title } of CHECKS) {
    assert.match(sections, /^\d+(\.\d+)?(, \d+(\.\d+)?)*$/, id);
    assert.ok(title.length > 20, id);
  }
});

test("faults and slow checks run when they are asked for; names are ids, beginnings of ids, or numbers", () => {
  const plain = chooseChecks({ faults: false, slow: false });
  assert.ok(plain.every((check) => !isFault(check) && check.isSlow !== true));
  assert.equal(chooseChecks({ faults: true, slow: true }).length, CHECKS.length);
  const only = (...names: string[]) => ids(chooseChecks({ only: names, faults: false, slow: false }));
  assert.deepEqual(only("info"), ["info.answer", "info.version"]);
  assert.deepEqual(only("task.kill"), ["task.kill"]);
  assert.equal(only("faults.kill-during").length, 4);
  assert.deepEqual(only("start.unconnected"), ["start.unconnected"]);
  assert.deepEqual(only("9"), ["start.unconnected"]);
  assert.throws(() => only("task.kil"), /--only task.kil: no such check/);
});

test("a known deviation names a check that is there, and is one shim's and version's", () => {
  for (const id of DEVIATIONS.flatMap(({ checks }) => checks)) assert.ok(ids(CHECKS).includes(id as Check["id"]), id);
  const reasonOf = (name: string, version: string) => knownReason({ name, version }, "wire.reused-id");
  assert.match(reasonOf("containerd-shim-runc-v2", "1.6.20~ds1") ?? "", /ttrpc 1.1/);
  assert.equal(reasonOf("containerd-shim-runc-v2", "2.1.9"), undefined);
  assert.equal(reasonOf("containerd-shim-mine-v1", "1.6.0"), undefined);
});

test("CHECKS.md is up to date; if not: npm run docs", () => {
  const page = readFileSync(join(import.meta.dirname, "../CHECKS.md"), "utf8");
  assert.equal(page, checksPage(CHECKS, DEVIATIONS));
});

const [check] = CHECKS;
assert.ok(check !== undefined);
const failed: Result = {
  check,
  verdict: { kind: "failed", expected: "one\nline", came: "\x1b[31mred" },
  durationMs: 1234,
  journal: ["start = exit status 0"],
};

test("a failure says what was expected, what came, and what was asked; what a shim says forges no line", () => {
  const style = { colour: false, verbose: false };
  assert.equal(
    resultText(failed, style),
    `FAIL        start.text                     1.2 s  ${check.title} (§2.5 #3)
            expected  one; line
            came      ?[31mred
            asked     start = exit status 0
`,
  );
  assert.doesNotMatch(resultText({ ...failed, verdict: { kind: "passed" } }, style), /asked/);
  assert.match(resultText({ ...failed, verdict: { kind: "passed" } }, { ...style, verbose: true }), /asked/);
  assert.match(summaryText([failed], 2000), /^\n0 passed, 1 failed, .* in 2\.0 s\n\nagain.*--only start\.text\n$/);
  const { title, sections, numbers } = check;
  assert.deepEqual(resultJson(failed), {
    check: "start.text",
    verdict: "failed",
    expected: "one\nline",
    came: "\x1b[31mred",
    title,
    sections,
    numbers,
    duration_ms: 1234,
    asked: ["start = exit status 0"],
  });
  assert.match(listText([check]), /^start\.text +§2\.5 #3 +as containerd 1\.6/);
});
