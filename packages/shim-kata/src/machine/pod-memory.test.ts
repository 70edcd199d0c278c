import assert from "node:assert/strict";
import { test } from "node:test";
import { splitMachine } from "./pod-memory.ts";

const mapping = (header: string, sizeKb: number, pssKb: number) =>
  `${header}\nSize:${`${sizeKb}`.padStart(16)} kB\nRss:   ${sizeKb} kB\nPss:${`${pssKb}`.padStart(16)} kB\nPss_Dirty: 0 kB\nVmFlags: rd wr\n`;

test("the guest's memory is QEMU's largest mapping; all else is QEMU's own", () => {
  const smaps = [
    mapping("55d0c0000000-55d0c0800000 r-xp 00000000 fe:00 123    /usr/bin/qemu-system-x86_64", 8192, 900),
    mapping("7f3bd3fff000-7f3bf3fff000 rw-p 00000000 00:1b 5242   /run/t/memory (deleted)", 524288, 30000),
    mapping("7f3c00000000-7f3c01800000 rwxp 00000000 00:00 0 ", 24576, 24000),
  ].join("");
  assert.deepEqual(splitMachine(smaps), { guestKb: 30000, vmmKb: 24900 });
  assert.deepEqual(splitMachine(""), { guestKb: 0, vmmKb: 0 });
});
