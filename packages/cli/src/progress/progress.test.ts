import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { formatBlobLine } from "./blob-line.ts";
import { ProgressDisplay } from "./progress-display.ts";

const DIGEST = `sha256:${"0123456789abcdef".repeat(4)}`;

test("a moving blob has a bar, sizes and a rate; all cut to the terminal", () => {
  const state = { label: "layer x", event: "downloading", doneBytes: 512 * 1024, totalBytes: 1 << 20, rate: 2 << 20 };
  const line = formatBlobLine(state, 100);
  assert.match(line, /^layer x {2,}\[={10}> {9}\] {2}512 KiB \/ 1\.00 MiB {2}2\.00 MiB\/s {2}downloading$/);
  assert.equal(formatBlobLine(state, 10).length, 10);
});

test("without a terminal there is one line per finished step, and none for the rest", async () => {
  const target = new PassThrough();
  const clock = { nowMs: 0 };
  using display = new ProgressDisplay(target, () => clock.nowMs);
  await display.listener({ event: "Pulling from x", name: "x" });
  for (const [nowMs, event, doneBytes] of [
    [0, "waiting", 0],
    [100, "downloading", 0],
    [1100, "downloading", 1 << 20],
    [2100, "complete", 2 << 20],
  ] as const) {
    clock.nowMs = nowMs;
    await display.listener({ event, name: `layer-${DIGEST}`, doneBytes, totalBytes: 2 << 20 });
  }
  target.end();
  const text = (await target.toArray()).join("");
  assert.match(text, /^layer sha256:0123456789ab +2\.00 MiB {2}1\.00 MiB\/s {2}complete\n$/);
});
