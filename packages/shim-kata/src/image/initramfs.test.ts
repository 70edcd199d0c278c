import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { DIRECTORY_MODE, encodeCpio, PROGRAM_MODE } from "./cpio.ts";
import { orderModules } from "./modules.ts";

const directory = mkdtempSync(join(tmpdir(), "kata-modules-"));
after(() => rmSync(directory, { recursive: true }));

function module(path: string, depends: string): void {
  mkdirSync(dirname(join(directory, path)), { recursive: true });
  writeFileSync(join(directory, path), `code\0license=GPL\0depends=${depends}\0name=x\0`);
}
module("kernel/b/virtio.ko", "virtio_ring");
module("kernel/a/virtio_ring.ko", "");
module("kernel/c/virtio-rng.ko", "virtio,virtio_ring");
module("kernel/c/loop1.ko", "loop2");
module("kernel/c/loop2.ko", "loop1");
const names = (wanted: string[], builtin = "") =>
  orderModules(
    directory,
    wanted.map((name) => ({ name, reason: "" })),
    builtin,
  ).map(({ name }) => name);

test("a module comes after what it depends on, once, however its name is written", () => {
  assert.deepEqual(names(["virtio_rng", "virtio"]), ["virtio_ring", "virtio", "virtio-rng"]);
});

test("what is built in is left out, what is missing is named, a circle ends", () => {
  assert.deepEqual(names(["virtio"], "kernel/a/virtio_ring.ko\n"), ["virtio"]);
  assert.throws(() => names(["erofs"]), /kernel module erofs: not below/);
  assert.deepEqual(names(["loop1"]).sort(), ["loop1", "loop2"]);
});

test("an archive has headers of 110 bytes, everything at multiples of 4, and a trailer", () => {
  const archive = encodeCpio([
    { path: "dev", mode: DIRECTORY_MODE },
    { path: "init", mode: PROGRAM_MODE, content: Buffer.from("abcde") },
  ]);
  const text = archive.toString("latin1");
  assert.equal(text.slice(0, 22), "0707010000000100" + "0041ed");
  assert.equal(text.indexOf("070701", 6), 116, "the name is padded: 110 + 4 bytes are 116");
  assert.equal(text.slice(116 + 54, 116 + 62), "00000005");
  assert.equal(text.slice(116 + 110, 116 + 110 + 5), "init\0");
  assert.equal(text.slice(232 + 0, 232 + 8), "abcde\0\0\0");
  assert.ok(text.includes("TRAILER!!!\0"));
  assert.equal(archive.length % 4, 0);
});
