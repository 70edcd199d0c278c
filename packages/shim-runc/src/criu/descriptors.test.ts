import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { DESCRIPTORS } from "./arguments.ts";
import { pipesOf } from "./descriptors.ts";

let folder: string;
let path: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "criu-descriptors-"));
  path = join(folder, DESCRIPTORS);
});
after(() => rmSync(folder, { recursive: true, force: true }));

test("names of pipes; anything else is none of them", () => {
  const hostile = ["pipe:[7]", "pipe:[8]\n--action-script=/evil", "/dev/null", "pipe:[9]"];
  writeFileSync(path, JSON.stringify(hostile));
  assert.deepEqual(pipesOf(folder), ["pipe:[7]", "", ""]);
  for (const text of ["", "{", "{}", "7", '"pipe:[7]"', "[[[]]]"]) {
    writeFileSync(path, text);
    assert.ok(!pipesOf(folder).some((name) => name !== ""), text);
  }
});

/** Each would hold up, or fill, whoever reads it as a file. */
const HOSTILE: Readonly<Record<string, () => unknown>> = {
  "a FIFO": () => execFileSync("mkfifo", [path]),
  "a link to a device without end": () => symlinkSync("/dev/zero", path),
  "2 GB of nothing": () => {
    writeFileSync(path, "");
    truncateSync(path, 2 ** 31);
  },
};

for (const [what, make] of Object.entries(HOSTILE))
  test(`a checkpoint whose descriptors are ${what} has none, at once`, () => {
    rmSync(path, { force: true });
    make();
    assert.deepEqual(pipesOf(folder), []);
  });
