import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAge } from "./format-age.ts";
import { formatSize } from "./format-size.ts";
import { table } from "./table.ts";

test("sizes have three digits and a unit", () => {
  const cases: [number, string][] = [
    [0, "0 B"],
    [999, "999 B"],
    [1000, "0.98 KiB"],
    [1536, "1.50 KiB"],
    [76_021_760, "72.5 MiB"],
    [1023 * 1024, "1.00 MiB"],
    [5 * 2 ** 40, "5.00 TiB"],
    [2000 * 2 ** 50, "2000 PiB"],
  ];
  for (const [bytes, text] of cases) assert.equal(formatSize(bytes), text);
});

test("ages are in the largest whole unit", () => {
  const cases: [number, string][] = [
    [-5000, "just now"],
    [999, "just now"],
    [1000, "1 second ago"],
    [90_000, "1 minute ago"],
    [7_200_000, "2 hours ago"],
    [15 * 86_400_000, "2 weeks ago"],
  ];
  for (const [ms, text] of cases) assert.equal(formatAge(ms), text);
});

test("cells are aligned, long ones cut, and no name forges a line", () => {
  const text = table(
    ["A", "B"],
    [
      ["x", "y\nz"],
      ["longer", "b".repeat(50)],
    ],
  );
  assert.equal(text, `A       B\nx       y?z\nlonger  ${"b".repeat(39)}…\n`);
});
