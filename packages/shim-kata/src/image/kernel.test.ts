import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { extractKernel } from "./kernel.ts";

const ELF = Buffer.from("\x7fELF and the rest", "latin1");

/** One sector of set-up, then the payload. */
function bzImage(payload: Buffer): Buffer {
  const head = Buffer.alloc(1024);
  head[0x1f1] = 1;
  head.write("HdrS", 0x202);
  head.writeUInt32LE(0, 0x248);
  head.writeUInt32LE(payload.length, 0x24c);
  return Buffer.concat([head, payload]);
}

test("gzip, zstd with the size behind it, and a kernel that is not compressed", () => {
  const size = Buffer.from([ELF.length, 0, 0, 0]);
  assert.deepEqual(extractKernel(bzImage(gzipSync(ELF))), ELF);
  assert.deepEqual(extractKernel(bzImage(Buffer.concat([zstdCompressSync(ELF), size]))), ELF);
  assert.deepEqual(extractKernel(ELF), ELF);
});

for (const [what, image, message] of [
  ["no kernel", Buffer.from("#!/bin/sh\n"), /neither a bzImage nor an ELF file/],
  ["one that is cut short", bzImage(gzipSync(ELF)).subarray(0, -5), /payload ends at \d+, the file at \d+/],
  ["one in another compression", bzImage(Buffer.from("BZh9 and so on")), /not known \(0x425a6839\)/],
  ["something else inside", bzImage(gzipSync(Buffer.from("text"))), /no ELF file/],
] as const) {
  test(`${what} is an error that says so`, () => assert.throws(() => extractKernel(image), message));
}
