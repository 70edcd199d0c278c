import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { rewriteVolumes } from "./rewrite-spec.ts";

const bundle = mkdtempSync(join(tmpdir(), "trimaran-"));
after(() => rmSync(bundle, { recursive: true }));
const path = join(bundle, "config.json");
const rewritten = (text: string): string => {
  writeFileSync(path, text, { mode: 0o600 });
  rewriteVolumes(bundle, "member");
  assert.deepEqual(readdirSync(bundle), ["config.json"]);
  return readFileSync(path, "utf8");
};

test("only the volumes change: numbers of 64 bits keep their digits, the file its mode", () => {
  const limits = '"process":{"rlimits":[{"hard":18446744073709551615,"soft":1.50}]}';
  const spec = (mount: string) =>
    `{${limits},"mounts":[{"destination":"/dev/shm",${mount},"source":"/s","options":["rw"]}]`;
  assert.equal(rewritten(`${spec('"type":"bind"')}}`), `${spec('"type":"tmpfs"')}}`);
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test("what has no such volumes, or is no spec, stays as it is", () => {
  for (const text of [
    '{ "mounts": [] }',
    "[]",
    "null",
    '{"mounts":{}}',
    '{"mounts":[null]}',
    '{"mounts":[{"destination":1}]}',
  ])
    assert.equal(rewritten(text), text);
});
