import assert from "node:assert/strict";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { findShimBinary, shimBinaryName } from "./runtime-binary.ts";

test("only the last two parts of a runtime's name count", () => {
  assert.equal(shimBinaryName("io.containerd.runc.v2"), "containerd-shim-runc-v2");
  assert.equal(shimBinaryName("io.containerd.trimaran-runc.v2"), "containerd-shim-trimaran-runc-v2");
  assert.equal(shimBinaryName("a.b"), "containerd-shim-a-b");
  for (const name of ["runc", "", ".runc.v2", "io.containerd.runc.", "a/b.c", "./x.y"]) {
    assert.throws(() => shimBinaryName(name), /neither a name/, name);
  }
});

test("the first executable of the directories is taken, an absolute path as it is", async () => {
  using directory = temporaryDirectory();
  const shim = join(directory.path, "containerd-shim-x-v1");
  writeFileSync(shim, "");
  await assert.rejects(findShimBinary("a.x.v1", [directory.path]), /no containerd-shim-x-v1 in/);
  chmodSync(shim, 0o755);
  assert.equal(await findShimBinary("a.x.v1", ["", "relative", directory.path]), shim);
  assert.equal(await findShimBinary(shim, []), shim);
  await assert.rejects(findShimBinary(`${shim}.no`, []), /no executable file there/);
});
