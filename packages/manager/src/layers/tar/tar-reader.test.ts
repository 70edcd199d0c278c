import assert from "node:assert/strict";
import { test } from "node:test";
import { type FixtureEntry, headerBlock, makeTar, sealHeader } from "../../testing/tar-fixture.ts";
import { StreamSource } from "./byte-source.ts";
import { toText } from "./byte-string.ts";
import { TarError } from "./tar-header.ts";
import { readTar, type TarEntry } from "./tar-reader.ts";

interface Read {
  readonly entry: TarEntry;
  readonly content: string;
}

async function readAll(bytes: Uint8Array, chunkBytes = bytes.length): Promise<Read[]> {
  const chunks = async function* () {
    for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
  };
  const result: Read[] = [];
  for await (const entry of readTar(new StreamSource(chunks()))) {
    const parts: Buffer[] = [];
    for await (const part of entry.body()) parts.push(Buffer.from(part));
    result.push({ entry, content: Buffer.concat(parts).toString("utf8") });
  }
  return result;
}

const read = (...entries: FixtureEntry[]) => readAll(makeTar(entries));

test("members come with names, contents and metadata, however the stream is cut", async () => {
  const tar = makeTar([
    { name: "dir/", type: "5", mode: 0o1755 },
    { name: "dir/file", content: "x".repeat(600), uid: 7, gid: 8, mtime: 99 },
    { name: "link", type: "2", linkName: "dir/file" },
    { name: "null", type: "3", device: [1, 3] },
  ]);
  for (const chunkBytes of [1, 511, 513, tar.length]) {
    const [dir, file, link, device, ...more] = await readAll(tar, chunkBytes);
    assert.equal(more.length, 0);
    assert.deepEqual([dir?.entry.type, dir?.entry.mode], ["5", 0o1755]);
    assert.equal(file?.content, "x".repeat(600));
    assert.deepEqual([file?.entry.uid, file?.entry.gid, file?.entry.mtimeSeconds], [7, 8, 99]);
    assert.equal(link?.entry.linkName, "dir/file");
    assert.deepEqual([device?.entry.deviceMajor, device?.entry.deviceMinor], [1, 3]);
  }
});

test("PAX records override one header, binary attributes included", async () => {
  const capability = Buffer.from([1, 0, 0, 2, 0xff, 0x0a, 0, 0x3d]);
  const [first, second] = await read(
    {
      name: "short",
      pax: { path: "long/€", mtime: "1.5", uid: "4000000", "SCHILY.xattr.security.capability": capability },
    },
    { name: "next" },
  );
  const { name, mtimeSeconds, mtimeNanoseconds, uid } = first?.entry ?? {};
  assert.deepEqual([toText(name ?? ""), mtimeSeconds, mtimeNanoseconds, uid], ["long/€", 1, 500_000_000, 4000000]);
  assert.deepEqual(first?.entry.xattrs.get("security.capability"), capability);
  assert.deepEqual([second?.entry.name, second?.entry.xattrs.size], ["next", 0]);
});

test("GNU long names and base-256 numbers", async () => {
  const name = "n".repeat(300);
  const [entry] = await read(
    { name: "././@LongLink", type: "L", content: `${name}\0` },
    { name: "././@LongLink", type: "K", content: "target\0" },
    { name: "x", type: "2" },
  );
  assert.deepEqual([entry?.entry.name, entry?.entry.linkName], [name, "target"]);
  const block = headerBlock({ name: "big" }, 0);
  block.set([0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff], 108);
  const [big] = await readAll(Buffer.concat([sealHeader(block), Buffer.alloc(1024)]));
  assert.equal(big?.entry.uid, 0x7fffffff);
});

test("a body that nobody reads is skipped", async () => {
  const names: string[] = [];
  const tar = makeTar([{ name: "a", content: "1".repeat(1000) }, { name: "b" }]);
  for await (const { name } of readTar(new StreamSource(streamOf(tar)))) names.push(name);
  assert.deepEqual(names, ["a", "b"]);
});

test("malformed archives are refused with the position", async () => {
  const good = makeTar([{ name: "a", content: "1".repeat(1000) }]);
  const badSum = Buffer.from(good);
  badSum[0] = 0x62;
  const cases: [Buffer, RegExp][] = [
    [badSum, /tar at byte 0: checksum/],
    [good.subarray(0, 700), /cut short/],
    [good.subarray(0, 100), /cut short in a header/],
    [makeTar([{ name: "x", type: "x", content: "99 path=a\n" }]), /bad length/],
    [makeTar([{ name: "x", type: "x", content: "8 pathx\n" }]), /no "="/],
    [makeTar([{ name: "x", pax: { size: "-1" } }]), /size -1/],
    [makeTar([{ name: "x", pax: { "GNU.sparse.major": "2" } }]), /sparse format 2.0/],
    [makeTar([{ name: "x", pax: { "GNU.sparse.major": "1" } }]), /sparse map is cut short/],
    [makeTar([{ name: "x", pax: { "GNU.sparse.map": "0,1,9,1", "GNU.sparse.size": "9" } }]), /beyond the end/],
    [
      makeTar([{ name: "x", pax: { "GNU.sparse.map": "0,5", "GNU.sparse.size": "9" } }]),
      /of 5 bytes, the archive has 0/,
    ],
    [makeTar([{ name: "x", pax: { path: "a\0b" } }]), /a NUL in/],
    [makeTar([{ name: "x", pax: { uid: String(2 ** 32 - 1) } }]), /uid 4294967295 is not possible/],
    [makeTar([{ name: "" }]), /without a name/],
  ];
  for (const [tar, message] of cases) {
    await assert.rejects(readAll(tar), (error) => error instanceof TarError && message.test(error.message));
  }
});

async function* streamOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
