import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { collect } from "../../testing/collect.ts";
import { decompress, detectCompression } from "./decompress.ts";
import { LayerError } from "./layer-error.ts";

const CONTENT = Buffer.from("a layer ".repeat(100_000));
const SKIPPABLE = Buffer.from([0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);

async function unpack(bytes: Buffer, chunkBytes: number, isPlain = false): Promise<Buffer> {
  const chunks = async function* () {
    for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
  };
  return Buffer.concat(await collect(decompress(chunks(), isPlain)));
}

test("the first bytes tell the compression, however the stream is cut", async () => {
  const packed = [
    CONTENT,
    gzipSync(CONTENT),
    zstdCompressSync(CONTENT),
    Buffer.concat([SKIPPABLE, zstdCompressSync(CONTENT)]),
    Buffer.concat([gzipSync(CONTENT.subarray(0, 1000)), gzipSync(CONTENT.subarray(1000))]),
    Buffer.concat([zstdCompressSync(CONTENT.subarray(0, 1000)), zstdCompressSync(CONTENT.subarray(1000))]),
  ];
  for (const [index, bytes] of packed.entries()) {
    const cuts = index === 0 ? [700, bytes.length] : [1, 700, bytes.length];
    for (const chunkBytes of cuts)
      assert.ok((await unpack(bytes, chunkBytes)).equals(CONTENT), `${index} ${chunkBytes}`);
  }
});

test("a layer that says it is not compressed is taken as it is", async () => {
  const bytes = gzipSync(CONTENT);
  assert.ok((await unpack(bytes, 512, true)).equals(bytes));
});

test("short and empty streams are no reason to fail", async () => {
  for (const text of ["", "x", "xyz"]) assert.equal((await unpack(Buffer.from(text), 1)).toString(), text);
  assert.equal(detectCompression(Buffer.from([0x1f])), "none");
  assert.equal(detectCompression(Buffer.from([0x28, 0xb5, 0x2f])), "none");
});

test("streams that are cut short or changed are errors of the layer", async () => {
  for (const pack of [gzipSync, zstdCompressSync]) {
    const good = Buffer.from(pack(CONTENT));
    const changed = Buffer.from(good);
    changed.fill(0xff, 20, 40);
    for (const bad of [good.subarray(0, good.length - 10), good.subarray(0, 12), changed]) {
      await assert.rejects(unpack(bad, 64), LayerError, pack.name);
    }
  }
});

test("a source that fails is not called a bad layer", async () => {
  const failing = async function* () {
    yield gzipSync(CONTENT).subarray(0, 100);
    throw new Error("disk");
  };
  await assert.rejects(collect(decompress(failing(), false)), { name: "Error", message: "disk" });
});
