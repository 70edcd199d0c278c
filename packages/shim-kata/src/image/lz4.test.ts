import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeLegacyLz4 } from "./lz4.ts";

const MAGIC = [0x02, 0x21, 0x4c, 0x18];

function frame(...blocks: number[][]): Buffer {
  const body = blocks.flatMap((block) => [block.length & 255, block.length >> 8, 0, 0, ...block]);
  return Buffer.from([...MAGIC, ...body]);
}
const letters = (text: string) => [...Buffer.from(text)];

test("literals, a match that overlaps itself, and long lengths", () => {
  const literals = [0x30, ...letters("abc")];
  const overlap = [0x20 | 6, ...letters("ab"), 2, 0, 0x10, ...letters("!")]; // 2 literals, then 10 bytes from 2 before
  const long = [0xf0, 20, ...letters("x".repeat(35))];
  assert.equal(decodeLegacyLz4(frame(literals)).toString(), "abc");
  assert.equal(decodeLegacyLz4(frame(overlap)).toString(), `${"ab".repeat(6)}!`);
  assert.equal(decodeLegacyLz4(frame(literals, long)).toString(), `abc${"x".repeat(35)}`);
});

test("the size that the kernel's build appends is no block", () => {
  const whole = Buffer.concat([frame([0x30, ...letters("abc")]), Buffer.from([3, 0, 0, 0])]);
  assert.equal(decodeLegacyLz4(whole).toString(), "abc");
});

for (const [what, data] of [
  ["another magic", Buffer.from("PK.......")],
  ["a block that is cut short", frame([0x30, ...letters("abc")]).subarray(0, -1)],
  ["literals beyond the block", frame([0x50, ...letters("abc")])],
  ["a match before the beginning", frame([0x10, ...letters("a"), 9, 0, 0x10, ...letters("!")])],
  ["a match at distance 0", frame([0x10, ...letters("a"), 0, 0, 0x10, ...letters("!")])],
] as const) {
  test(`${what} is a RangeError`, () => assert.throws(() => decodeLegacyLz4(data), RangeError));
}
