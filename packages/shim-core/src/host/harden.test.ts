import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { lazyNative } from "@trimaran/linux";
import { refuseDumps } from "./harden.ts";

const PR_GET_DUMPABLE = 3;

/** In a process of its own: 1 before, and what it is after `refuseDumps` with these effective capabilities. */
function dumpable(capabilities: string): string {
  const script = `
    const { lazyNative } = await import(${JSON.stringify(import.meta.resolve("@trimaran/linux"))});
    const { refuseDumps } = await import(${JSON.stringify(import.meta.resolve("./harden.ts"))});
    const native = lazyNative();
    const get = () => native.check("prctl", [${PR_GET_DUMPABLE}, 0, 0, 0, 0]);
    const before = get();
    refuseDumps(native, "CapEff:\\t${capabilities}\\n");
    process.stdout.write([before, get()].join(" ")); // console.log would colour numbers`;
  return execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" }).trim();
}

test("no dumps where the starters can still open our program", () => {
  assert.equal(dumpable("000001ffffffffff"), "1 0");
});

test("without CAP_SYS_PTRACE all stays as it is", () => {
  assert.equal(dumpable("000001fffff7ffff"), "1 1");
  refuseDumps(lazyNative(), "CapEff:\t0000000000000000\n");
});
