import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { InvalidSpec } from "@trimaran/linux";
import { readSpec } from "./spec.ts";

const bundle = mkdtempSync(join(tmpdir(), "trimaran-"));
after(() => rmSync(bundle, { recursive: true }));
const read = (text: string) => {
  writeFileSync(join(bundle, "config.json"), text);
  return readSpec(bundle);
};

test("the shim reads what it needs, and leaves the rest to runsc", () => {
  const spec = read(
    '{"process":{"terminal":true},"hooks":{"poststop":[]},"linux":{"cgroupsPath":"/a","resources":{"x":1}}}',
  );
  assert.deepEqual(spec, {
    terminal: true,
    annotations: {},
    rootPath: "rootfs",
    cgroupsPath: "/a",
    hasPoststopHooks: true,
    networkNamespace: undefined,
    resources: { x: 1 },
  });
});

test("what is broken is InvalidSpec, by field", () => {
  assert.throws(() => readSpec("/none"), /config\.json: can't be read/);
  for (const [text, field] of [
    ["{", "config.json"],
    ["[]", "config.json"],
    ['{"linux":[]}', "linux"],
    ['{"linux":{"cgroupsPath":7}}', "linux.cgroupsPath"],
    ['{"linux":{"namespaces":[{"type":"pid"},{"type":"user","path":"/u"}]}}', 'linux.namespaces[1] "user" path: runsc'],
    ['{"root":{"path":"a\\u0000b"}}', "root.path"],
    ['{"annotations":{"a":1}}', 'annotations "a"'],
    ['{"process":{"args":"sh"}}', "process.args: not a list of strings"],
    ['{"process":{"env":["A=b",{"TOKEN":"x"}]}}', "process.env: not a list of strings"],
  ] as const)
    assert.throws(
      () => read(text),
      (error) => error instanceof InvalidSpec && error.message.startsWith(field),
    );
});
