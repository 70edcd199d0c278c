import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { doctor } from "./doctor.ts";

const SOURCES = { node: "/none/node", directory: "/none", busybox: "/none/busybox" };

async function look(searchPath: string) {
  const signal = AbortSignal.timeout(20_000);
  const cacheDirectory = mkdtempSync(join(tmpdir(), "trimaran-"));
  try {
    const checks = await doctor(SOURCES, { searchPath, signal, cacheDirectory });
    return new Map(checks.map((check) => [check.name, check]));
  } finally {
    rmSync(cacheDirectory, { recursive: true });
  }
}

test("without QEMU: a problem, and how to get one", async () => {
  const qemu = (await look("/none")).get("qemu");
  assert.equal(qemu?.status, "problem");
  assert.match(qemu?.fix ?? "", /apt-get install qemu-system-x86/);
});

test("a QEMU without an image: kvm is not claimed to work, nor not to", async () => {
  const folder = mkdtempSync(join(tmpdir(), "trimaran-"));
  try {
    for (const name of ["qemu-system-x86_64", "qemu-system-aarch64"]) {
      writeFileSync(join(folder, name), "#!/bin/sh\necho QEMU emulator version 8.2.0\n");
      chmodSync(join(folder, name), 0o755);
    }
    const found = await look(folder);
    assert.deepEqual(
      ["qemu", "image", "kvm"].map((name) => found.get(name)?.status),
      ["ok", "problem", "note"],
    );
    assert.match(found.get("kvm")?.found ?? "", /can't be tried/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
