import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { doctor } from "./doctor.ts";

const folder = mkdtempSync(join(tmpdir(), "trimaran-"));
after(() => rmSync(folder, { recursive: true }));

/** A runsc of which one platform works. */
async function look(works: string) {
  const flags = "  -log-format value\n  -platform value";
  const script = `#!/bin/sh
case "$*" in
  --version) echo "runsc version 1.2.3";;
  flags) printf '${flags}\n';;
  *--platform=${works}*) exit 0;;
  *) echo no such platform >&2; exit 128;;
esac
`;
  writeFileSync(join(folder, "runsc"), script);
  chmodSync(join(folder, "runsc"), 0o755);
  const checks = await doctor(`${folder}:${process.env.PATH}`);
  return new Map(checks.map((check) => [check.name, check]));
}

test("each platform is tried; one that works is enough", async () => {
  const found = await look("ptrace");
  assert.deepEqual(
    ["runsc", "platform systrap", "platform ptrace", "sandbox"].map((name) => found.get(name)?.status),
    ["ok", "note", "ok", "ok"],
  );
  assert.match(found.get("platform systrap")?.found ?? "", /no such platform/);
});

test("none works: a problem", async () => {
  assert.equal((await look("abacus")).get("sandbox")?.status, "problem");
});

test("no runsc: a problem, and how to get one", async () => {
  const [runsc] = await doctor("/none");
  assert.equal(runsc?.status, "problem");
  assert.match(runsc?.fix ?? "", /apt-get install runsc/);
});
