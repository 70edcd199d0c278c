import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Code } from "ttrpc-ts";
import { findDisk } from "./disk.ts";

test("a disk is found by its number once its node is there; one that does not come is an error", async () => {
  const root = `${mkdtempSync(join(tmpdir(), "trm-disk-"))}/`;
  try {
    await assert.rejects(findDisk(3, { root, limitMs: 20 }), { code: Code.Unavailable, message: /^disk 3: .* 20 ms/ });
    const finding = findDisk(3, { root, limitMs: 10_000 });
    const folder = join(root, "sys/bus/scsi/devices/0:0:0:3/block/sdb");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "dev"), "8:16\n");
    mkdirSync(join(root, "dev"));
    assert.equal(await Promise.race([finding, new Promise((resolve) => setTimeout(resolve, 30, "waits"))]), "waits");
    writeFileSync(join(root, "dev/sdb"), "");
    assert.deepEqual(await finding, { name: "sdb", major: 8, minor: 16 });
  } finally {
    rmSync(root, { recursive: true });
  }
});
