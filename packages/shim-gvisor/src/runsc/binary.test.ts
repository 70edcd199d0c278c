import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Code } from "ttrpc-ts";
import { findBinary, identityOf, inspectBinary, parseFlags } from "./binary.ts";

const folder = mkdtempSync(join(tmpdir(), "trimaran-"));
after(() => rmSync(folder, { recursive: true }));

function program(name: string, script: string): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

test("a name is looked up in PATH, an absolute path is taken; what is missing tells the fix", () => {
  const path = program("runsc-a", "true");
  assert.equal(findBinary("runsc-a", `/none:${folder}`), path);
  assert.equal(findBinary(path, ""), path);
  const fix = /install it \(apt-get install runsc\), or set binary_name/;
  assert.throws(() => findBinary("runsc-none", folder), { code: Code.FailedPrecondition, message: fix });
  assert.throws(() => findBinary(folder, ""), { code: Code.FailedPrecondition, message: /is no program/ });
  assert.throws(() => findBinary("./runsc", folder), { code: Code.InvalidArgument });
});

test("version and flags are asked for", async () => {
  const flags = "echo '  -log-format string'; echo '  -platform string'; echo '    (default \"systrap\")'";
  const path = program("runsc-b", `[ "$1" = --version ] && echo 'runsc version 9.9' || { ${flags}; }`);
  const binary = await inspectBinary(path);
  assert.equal(binary.version, "9.9");
  assert.equal(binary.flags.get("platform"), "systrap");
});

test("another program is no runsc", async () => {
  await assert.rejects(inspectBinary(program("other", "echo hello")), {
    code: Code.FailedPrecondition,
    message: /other: does not answer as runsc does/,
  });
});

test("a file that was replaced is another", () => {
  const path = program("runsc-c", "true");
  const before = identityOf(path);
  program("runsc-c", "true true");
  assert.notEqual(identityOf(path), before);
});

test("flags: names with and without a default", () => {
  const text =
    "  -debug\n    \tenable debug logging.\n  -dcache int\n    \tcache size (default -1)\n  -file-access value\n    \tx\n";
  assert.deepEqual(
    [...parseFlags(text)],
    [
      ["debug", ""],
      ["dcache", "-1"],
      ["file-access", ""],
    ],
  );
});
