import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import {
  findTemplate,
  newTemplatePaths,
  publishTemplate,
  removeTemplate,
  removeTemplates,
  removeUnfinished,
  templateDirectory,
} from "./store.ts";

const root = mkdtempSync(join(tmpdir(), "kata-store-"));
after(() => rmSync(root, { recursive: true }));

function publish(key: string) {
  const { directory, memory } = newTemplatePaths(root, key);
  mkdirSync(directory, { recursive: true });
  writeFileSync(memory, "pages");
  writeFileSync(join(directory, "qmp.sock"), "");
  return publishTemplate(root, key, directory, Buffer.from("devices"));
}

test("a published template is found again, without what was left of its making", () => {
  const template = publish("a");
  assert.deepEqual(findTemplate(root, "a"), template);
  assert.deepEqual(readdirSync(template.directory).sort(), ["memory", "state", "template.json"]);
  assert.ok(!existsSync(newTemplatePaths(root, "a").directory));
  removeTemplate(root, "a");
  removeTemplate(root, "a");
  assert.equal(findTemplate(root, "a"), undefined);
});

for (const [what, damage] of [
  ["a state that was changed", (path: string) => writeFileSync(join(path, "state"), "Devices")],
  ["a memory that was cut", (path: string) => truncateSync(join(path, "memory"), 3)],
  ["a record that is no JSON", (path: string) => writeFileSync(join(path, "template.json"), "{")],
  ["a record of another key", (path: string) => writeFileSync(join(path, "template.json"), '{"key":"z"}')],
  ["a record of nothing", (path: string) => writeFileSync(join(path, "template.json"), "null")],
] as const) {
  test(`${what} is no template`, () => {
    const { directory } = publish("b");
    assert.ok(findTemplate(root, "b"));
    damage(directory);
    assert.equal(findTemplate(root, "b"), undefined);
    assert.ok(findTemplate(root, publish("b").key), "a new one takes its place");
  });
}

test("what a killed build has left goes with the next one", () => {
  const { directory } = newTemplatePaths(root, "half");
  mkdirSync(directory, { recursive: true });
  publish("whole");
  removeUnfinished(root);
  assert.ok(!existsSync(directory) && findTemplate(root, "whole"));
  removeUnfinished(join(root, "none"));
});

test("no more than four are kept: each holds memory", () => {
  for (const key of ["1", "2", "3", "4", "5", "6"]) publish(key);
  assert.equal(readdirSync(root).length, 4);
  assert.ok(findTemplate(root, "6"));
});

test("all can be removed; what is no template stays", () => {
  publish("7");
  mkdirSync(join(root, "somebody-else"));
  assert.ok(removeTemplates(root) > 0);
  assert.deepEqual(readdirSync(root), ["somebody-else"]);
  assert.equal(removeTemplates(join(root, "none")), 0);
});

test("a folder in memory is preferred, also one that is yet to be made", () => {
  assert.equal(templateDirectory(["/proc/x", "/dev/shm/not/there"]), "/dev/shm/not/there");
  assert.equal(templateDirectory(["/proc/x", "/sys/x"]), "/proc/x");
});
