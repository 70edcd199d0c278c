import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { removeExecFiles } from "./exec-process.ts";

const work = mkdtempSync(join(tmpdir(), "trimaran-"));
after(() => rmSync(work, { recursive: true }));

test("a million probes leave no files: those of deleted execs go, those of live ones and of the container stay", () => {
  for (const name of ["exec-a.b.pid", "exec-a.b.log", "exec-a.b.json", "exec-live.pid", "pid", "create.log"])
    writeFileSync(join(work, name), "");
  removeExecFiles(work, (id) => id === "live");
  assert.deepEqual(readdirSync(work).sort(), ["create.log", "exec-live.pid", "pid"]);
  removeExecFiles(join(work, "none"), () => true);
});
