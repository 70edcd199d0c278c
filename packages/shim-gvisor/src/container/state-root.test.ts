import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { claimRoot, leaveRoot } from "./state-root.ts";

const folder = mkdtempSync(join(tmpdir(), "trimaran-"));
after(() => rmSync(folder, { recursive: true }));

test("the directory goes with its last container; a second claim of the same one is no other", () => {
  const root = join(folder, "deep/root");
  claimRoot(root, "a.lock");
  claimRoot(root, "a.lock");
  claimRoot(root, "b.lock");
  assert.deepEqual(readdirSync(root), ["a.lock", "b.lock"]);
  rmSync(join(root, "a.lock"));
  leaveRoot(root);
  assert.ok(existsSync(root), "b is there");
  rmSync(join(root, "b.lock"));
  leaveRoot(root);
  assert.ok(!existsSync(root));
  leaveRoot(root);
});

test("what stands in the way is told", () => {
  writeFileSync(join(folder, "file"), "");
  assert.throws(() => claimRoot(join(folder, "file"), "a.lock"), { code: "EEXIST" });
  assert.throws(() => leaveRoot(join(folder, "file")), { code: "ENOTDIR" });
});
