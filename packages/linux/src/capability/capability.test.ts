import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { CAPABILITIES, capabilityBit, capabilityNames, parseCapabilities } from "./capability.ts";

test("the table has 41 names, and its ends and middle are where the kernel has them", () => {
  assert.equal(CAPABILITIES.length, 41);
  assert.deepEqual(["CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE"].map(capabilityBit), [0, 21, 40]);
  assert.ok(Number(readFileSync("/proc/sys/kernel/cap_last_cap", "utf8")) <= 63);
});

test("names become masks, in any case", () => {
  const { masks, warnings } = parseCapabilities({ bounding: ["CAP_KILL", "cap_chown"], permitted: ["CAP_BPF"] });
  assert.deepEqual(masks, { bounding: 0x21n, effective: 0n, inheritable: 0n, permitted: 1n << 39n, ambient: 0n });
  assert.deepEqual(warnings, []);
  assert.deepEqual(capabilityNames(masks.bounding), ["CAP_CHOWN", "CAP_KILL"]);
});

test("unknown names are left out with a warning; the prefix is needed", () => {
  const { masks, warnings } = parseCapabilities({ effective: ["KILL", "CAP_NOPE", "CAP_BPF"] }, 38);
  assert.equal(masks.effective, 0n);
  assert.equal(warnings.length, 3);
  assert.match(warnings[0] ?? "", /^process\.capabilities\.effective\[0\] "KILL": unknown to us/);
  assert.match(warnings[2] ?? "", /unknown to this kernel/);
});

test("ambient needs permitted and inheritable", () => {
  const { masks, warnings } = parseCapabilities({
    ambient: ["CAP_KILL", "CAP_CHOWN"],
    permitted: ["CAP_KILL"],
    inheritable: ["CAP_KILL"],
  });
  assert.equal(masks.ambient, 0x20n);
  assert.match(warnings[0] ?? "", /CAP_CHOWN is not both/);
});
