import assert from "node:assert/strict";
import { test } from "node:test";
import type { Span } from "@trimaran/manager/trace";
import { toWaterfall } from "./waterfall.ts";
import { formatSvg } from "./waterfall-svg.ts";
import { formatText } from "./waterfall-text.ts";

const MS = 1_000_000;

function span(
  name: string,
  parentId: string | undefined,
  fromMs: number,
  toMs: number,
  more: Partial<Span> = {},
): Span {
  const times = { startNs: BigInt(fromMs * MS), endNs: BigInt(toMs * MS) };
  return {
    traceId: "t",
    spanId: name,
    ...(parentId !== undefined && { parentId }),
    name,
    process: "command",
    ...times,
    ...more,
  };
}

const SPANS = [
  span("late", "run", 150, 160),
  span("create", "run", 120, 140),
  span("run", undefined, 100, 150),
  span("mounts", "create", 125, 130, { process: "container", attributes: { cpu_us: 1500 } }),
  span("open", "run", 101, 110),
  span("stray", "nobody", 130, 135, { error: "it <broke>" }),
];

test("parts under their whole, in the order in which they began; what came after its end is left out", () => {
  const rows = toWaterfall(SPANS);
  assert.deepEqual(
    rows.map(({ name, depth, startMs, durationMs }) => [name, depth, startMs, durationMs]),
    [
      ["run", 0, 0, 50],
      ["open", 1, 1, 9],
      ["create", 1, 20, 20],
      ["mounts", 2, 25, 5],
      ["stray", 1, 30, 5],
    ],
  );
  assert.equal(rows[3]?.cpuMs, 1.5);
});

test("parents in a circle end, and no whole is no waterfall", () => {
  assert.deepEqual(toWaterfall([span("a", "b", 0, 1), span("b", "a", 0, 1)]), []);
  const circle = [span("run", undefined, 0, 9), span("a", "b", 1, 2), span("b", "a", 1, 2)];
  assert.deepEqual(
    toWaterfall(circle).map(({ name }) => name),
    ["run"],
  );
});

test("text: bars in the whole's scale, and no line longer than the terminal but by an error", () => {
  const lines = formatText(toWaterfall(SPANS), 100).trimEnd().split("\n");
  assert.equal(lines.length, 6);
  const bar = (line = "") => [line.indexOf("█"), line.lastIndexOf("█") - line.indexOf("█") + 1] as const;
  const [from, width] = bar(lines[1]);
  const [createFrom, createWidth] = bar(lines[3]);
  assert.ok(Math.abs(createFrom - from - width * 0.4) <= 1 && Math.abs(createWidth - width * 0.4) <= 1);
  for (const line of lines.slice(0, 5)) assert.ok(line.length <= 100, line);
  assert.match(lines[4] ?? "", /25\.0 +5\.00 +1\.50 +mounts +container/);
  assert.match(lines[5] ?? "", /failed: it <broke>$/);
});

test("picture: a bar a row, names as text whatever is in them", () => {
  const svg = formatSvg(toWaterfall([span('run"/><script>', undefined, 0, 10), ...SPANS.slice(0, 0)]));
  assert.match(svg, /^<svg [^>]*xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
  assert.doesNotMatch(svg, /<script/);
  assert.equal([...formatSvg(toWaterfall(SPANS)).matchAll(/<g>/g)].length, 5);
});
