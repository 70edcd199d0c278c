import assert from "node:assert/strict";
import { test } from "node:test";
import { formatRfc3339, parseRfc3339 } from "./rfc3339.ts";

test("times are written as Go writes them, and read back", () => {
  const times: readonly [bigint, string][] = [
    [0n, "1970-01-01T00:00:00Z"],
    [1_700_000_000_120_000_000n, "2023-11-14T22:13:20.12Z"],
    [1n, "1970-01-01T00:00:00.000000001Z"],
    [-1n, "1969-12-31T23:59:59.999999999Z"],
    [-62_135_596_800_000_000_000n, "0001-01-01T00:00:00Z"],
  ];
  for (const [ns, text] of times) {
    assert.equal(formatRfc3339(ns), text);
    assert.equal(parseRfc3339(text), ns);
  }
});

test("zones and long fractions are understood, what is no time is not", () => {
  assert.equal(parseRfc3339("1970-01-01T02:00:00.5+02:00"), 500_000_000n);
  assert.equal(parseRfc3339("1970-01-01T00:00:00.0000000019Z"), 1n);
  for (const bad of [
    "",
    "tomorrow",
    "1970-01-01",
    "1970-01-01T00:00:00",
    "1970-02-30T00:00:00Z",
    "1970-01-01T25:00:00Z",
    "1970-01-01 00:00:00Z",
  ]) {
    assert.equal(parseRfc3339(bad), undefined, bad);
  }
});
