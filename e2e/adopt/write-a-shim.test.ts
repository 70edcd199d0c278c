import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { docBlocks, runDocument } from "../harness/doc-blocks.ts";
import { startContainerd } from "../harness/plain-containerd.ts";
import { endTaskServers, isThrowAway } from "../harness/throw-away.ts";

const ROOT = join(import.meta.dirname, "../..");
const PAGE = join(ROOT, "docs/write-a-shim.md");

if (isThrowAway(import.meta.filename, ROOT))
  test("a shim of one's own: the code that is shown is the example, and each command works", {
    timeout: 120_000,
  }, async () => {
    const pieces = docBlocks(PAGE).filter(({ language }) => language === "ts");
    const code = `${pieces.map(({ text }) => text).join("\n\n")}\n`;
    assert.equal(code, readFileSync(join(ROOT, "packages/shim-core/example/hello-shim.ts"), "utf8"));
    mkdirSync(join(ROOT, "my-shim"));
    writeFileSync(join(ROOT, "my-shim/hello-shim.ts"), code);
    await using _containerd = await startContainerd();
    try {
      const { promises } = await runDocument(PAGE, ROOT);
      assert.equal(promises, 6);
    } finally {
      endTaskServers();
    }
  });
