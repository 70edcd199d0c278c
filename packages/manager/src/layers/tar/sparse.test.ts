import assert from "node:assert/strict";
import { test } from "node:test";
import { collect } from "../../testing/collect.ts";
import { type FixtureEntry, headerBlock, makeTar, sealHeader } from "../../testing/tar-fixture.ts";
import { StreamSource } from "./byte-source.ts";
import { TarError } from "./tar-header.ts";
import { readTar } from "./tar-reader.ts";

async function read(tar: Buffer) {
  const source = async function* () {
    yield tar;
  };
  const members = [];
  for await (const { body, ...member } of readTar(new StreamSource(source()))) {
    members.push({ ...member, content: Buffer.concat(await collect(body())).toString() });
  }
  return members;
}

const octal = (value: number) => `${value.toString(8).padStart(11, "0")}\0`;

/** GNU tar's own form: a map in the header, and 21 pairs in each block after it. */
function oldGnu(extents: readonly (readonly [number, number])[], realSize: number, content: string): Buffer {
  const header = headerBlock({ name: "s", type: "S" }, content.length);
  header.write("ustar  \0", 257, "latin1");
  const put = (block: Buffer, at: number, pair: readonly [number, number]) =>
    void block.write(octal(pair[0]) + octal(pair[1]), at, "latin1");
  for (const [index, pair] of extents.slice(0, 4).entries()) put(header, 386 + index * 24, pair);
  header[482] = extents.length > 4 ? 1 : 0;
  header.write(octal(realSize), 483, "latin1");
  const blocks = [sealHeader(header)];
  for (let at = 4; at < extents.length; at += 21) {
    const block = Buffer.alloc(512);
    for (const [index, pair] of extents.slice(at, at + 21).entries()) put(block, index * 24, pair);
    block[504] = extents.length > at + 21 ? 1 : 0;
    blocks.push(block);
  }
  const body = Buffer.alloc(Math.ceil(content.length / 512) * 512);
  body.write(content);
  return Buffer.concat([...blocks, body, makeTar([{ name: "next", content: "n" }])]);
}

const pax = (records: Record<string, string>, content: string): Buffer =>
  makeTar([
    { name: "GNUSparseFile.0/s", pax: records, content } satisfies FixtureEntry,
    { name: "next", content: "n" },
  ]);

test("all four forms of a sparse file are read", async () => {
  const map = Buffer.alloc(512);
  map.write("2\n10\n3\n100\n2\n");
  const forms = [
    oldGnu(
      [
        [10, 3],
        [100, 2],
      ],
      200,
      "abcde",
    ),
    pax({ "GNU.sparse.name": "s", "GNU.sparse.size": "200", "GNU.sparse.map": "10,3,100,2" }, "abcde"),
    pax(
      { "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "s", "GNU.sparse.realsize": "200" },
      `${map}abcde`,
    ),
  ];
  for (const form of forms) {
    const [sparse, next] = await read(form);
    const extents = [
      { offset: 10, sizeBytes: 3 },
      { offset: 100, sizeBytes: 2 },
    ];
    assert.deepEqual(sparse?.sparse, { realSizeBytes: 200, extents });
    assert.deepEqual([sparse?.name, sparse?.type, sparse?.content, sparse?.sizeBytes], ["s", "0", "abcde", 5]);
    assert.deepEqual([next?.name, next?.content], ["next", "n"]);
  }
});

test("a map of GNU tar goes on in further blocks", async () => {
  const extents = Array.from({ length: 60 }, (_, index) => [index * 10, 1] as const);
  const [sparse, next] = await read(oldGnu(extents, 1000, "x".repeat(60)));
  assert.equal(sparse?.sparse?.extents.length, 60);
  assert.equal(next?.name, "next");
});

test("repeated offsets and lengths of PAX 0.0", async () => {
  const pairs = Buffer.from("22 GNU.sparse.size=20\n23 GNU.sparse.offset=4\n25 GNU.sparse.numbytes=2\n");
  const [sparse] = await read(
    makeTar([
      { name: "x", type: "x", content: pairs },
      { name: "s", content: "ab" },
    ]),
  );
  assert.deepEqual(sparse?.sparse, { realSizeBytes: 20, extents: [{ offset: 4, sizeBytes: 2 }] });
});

test("maps that lie are refused", async () => {
  const bad = [
    oldGnu([[10, 4]], 200, "abcde"),
    oldGnu([[198, 5]], 200, "abcde"),
    oldGnu(
      [
        [100, 2],
        [10, 3],
      ],
      200,
      "abcde",
    ),
    pax({ "GNU.sparse.map": "1,2,3" }, "ab"),
    pax({ "GNU.sparse.map": "0,2" }, "ab"),
    pax({ "GNU.sparse.map": "-1,2", "GNU.sparse.size": "9" }, "ab"),
    pax({ "GNU.sparse.major": "1", "GNU.sparse.realsize": "9" }, "99999\n".padEnd(600, "x")),
    pax({ "GNU.sparse.numbytes": "1" }, "a"),
  ];
  for (const [index, tar] of bad.entries()) await assert.rejects(read(tar), TarError, String(index));
});
