import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { Code } from "../errors/manager-error.ts";
import { algorithmOf, digestOf, digestSoFar, hexOf, parseDigest } from "./digest.ts";

const EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

test("a digest has an algorithm and as many digits as that makes", () => {
  assert.equal(digestOf(""), EMPTY);
  const long = parseDigest("digest", `sha512:${"0".repeat(128)}`);
  assert.deepEqual([algorithmOf(long), hexOf(long)], ["sha512", "0".repeat(128)]);
  for (const bad of [
    "",
    "sha256:",
    EMPTY.slice(7),
    EMPTY.toUpperCase(),
    `${EMPTY}0`,
    "md5:0",
    `sha512:${hexOf(long).slice(1)}`,
    `${EMPTY}\n`,
    "sha256:../../etc/passwd",
  ]) {
    assert.throws(() => parseDigest("digest", bad), { code: Code.InvalidArgument }, bad);
  }
});

test("asking a hash for the digest so far does not end it", () => {
  const hash = createHash("sha256");
  assert.equal(digestSoFar("sha256", hash), EMPTY);
  assert.equal(digestSoFar("sha256", hash.update("ab")), digestOf("ab"));
  assert.equal(digestSoFar("sha256", hash.update("c")), digestOf("abc"));
});
