import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { addMember, inheritUndo, removeMember } from "./members.ts";

test("what is left of a sandbox's containers is undone before the sandbox, once", () => {
  const state = mkdtempSync(join(tmpdir(), "trimaran-members-"));
  try {
    const bundle = (id: string, undo: string): string => {
      mkdirSync(join(state, id));
      writeFileSync(join(state, id, "trimaran.undo"), undo);
      return join(state, id);
    };
    const sandbox = bundle("pod", "kill-pid 7 70\nunlink /run/socket\n");
    inheritUndo(sandbox);
    for (const id of ["gone", "twice"]) addMember(sandbox, id, bundle(id, `umount /${id}\nunlink /cut o`));
    addMember(sandbox, "twice", join(state, "twice")); // its Create came again
    addMember(sandbox, "unmade", join(state, "unmade"));
    removeMember(sandbox, "gone");
    for (let n = 0; n < 2; n++) {
      inheritUndo(sandbox);
      const undo = readFileSync(join(sandbox, "trimaran.undo"), "utf8");
      assert.equal(undo, "umount /twice\nkill-pid 7 70\nunlink /run/socket\n");
    }
  } finally {
    rmSync(state, { recursive: true });
  }
});
