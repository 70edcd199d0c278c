import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { isSmallTree } from "./small-tree.ts";

test("entries of all depths count; what cannot be looked at is not small", async () => {
  using directory = temporaryDirectory();
  mkdirSync(join(directory.path, "a/b/c"), { recursive: true });
  writeFileSync(join(directory.path, "a/b/x"), "");
  assert.equal(await isSmallTree(directory.path, 4), true);
  assert.equal(await isSmallTree(directory.path, 3), false);
  assert.equal(await isSmallTree(join(directory.path, "none"), 3), false);
});
