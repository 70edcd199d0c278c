import assert from "node:assert/strict";
import { test } from "node:test";
import { TarDecoder } from "./tar-decoder.ts";
import { TarError } from "./tar-header.ts";
import type { TarMember } from "./tar-members.ts";
import { encodeTarHeader, type TarHeaderFields, tarEnd, tarPadding } from "./tar-writer.ts";

/** What a decoder makes of an archive that comes in chunks of that size. */
function decode(archive: Buffer, chunkBytes: number): { member: TarMember; content: string }[] {
  const seen: { member: TarMember; content: string; isWhole: boolean }[] = [];
  const decoder = new TarDecoder({
    begin: (member) => void seen.push({ member, content: "", isWhole: false }),
    data: (chunk) => {
      const last = seen.at(-1);
      if (last !== undefined) last.content += chunk.toString("latin1");
    },
    end: () => {
      const last = seen.at(-1);
      if (last !== undefined) last.isWhole = true;
    },
  });
  for (let at = 0; at < archive.length; at += chunkBytes) decoder.push(archive.subarray(at, at + chunkBytes));
  decoder.finish();
  assert.ok(seen.every(({ isWhole }) => isWhole));
  return seen;
}

function encode(entries: readonly (TarHeaderFields & { readonly content?: string })[]): Buffer {
  const parts = entries.flatMap(({ content = "", ...fields }) => {
    const body = Buffer.from(content, "latin1");
    return [encodeTarHeader({ ...fields, sizeBytes: body.length }), body, tarPadding(body.length)];
  });
  return Buffer.concat([...parts, tarEnd()]);
}

test("what is written is read again, however it is cut", () => {
  const entries = [
    { name: "plain", type: "0", mode: 0o4755, uid: 1, gid: 2, mtimeSeconds: 1_700_000_000, content: "hello" },
    { name: "l".repeat(300), type: "2", mode: 0o777, linkName: "t".repeat(101) },
    { name: "latin-\xff-\xfe", type: "0", mode: 0o600, uid: 3_000_000, gid: 4_000_000, content: "x".repeat(513) },
    { name: "null", type: "3", mode: 0o666, deviceMajor: 1, deviceMinor: 300 },
    { name: "old", type: "5", mode: 0o755, mtimeSeconds: -5 },
    { name: "cap", type: "0", mode: 0o755, xattrs: new Map([["security.capability", Buffer.from([0, 1, 10, 255])]]) },
  ];
  const archive = encode(entries);
  for (const chunkBytes of [1, 7, 512, 1000, archive.length]) {
    const seen = decode(archive, chunkBytes);
    assert.equal(seen.length, entries.length);
    for (const [index, entry] of entries.entries()) {
      const { member, content } = seen[index] ?? assert.fail();
      for (const [key, value] of Object.entries(entry)) {
        if (key === "content") assert.equal(content, value);
        else assert.deepEqual(member[key as keyof TarMember], value, key);
      }
    }
  }
});

test("numbers and names that ustar can say need no PAX header", () => {
  assert.equal(
    encodeTarHeader({ name: "n".repeat(100), type: "0", mode: 0, uid: 8 ** 7 - 1, sizeBytes: 8 ** 11 - 1 }).length,
    512,
  );
  assert.equal(encodeTarHeader({ name: "n", type: "0", mode: 0, sizeBytes: 8 ** 11 }).length, 3 * 512);
});

test("an archive that ends within a member, a header or a padding is cut short; one without an end is not", () => {
  const archive = encode([{ name: "a", type: "0", mode: 0o644, content: "12345" }]);
  for (const length of [100, 512, 514, 600]) {
    assert.throws(() => decode(archive.subarray(0, length), 64), TarError, String(length));
  }
  for (const length of [0, 1024, 1536]) decode(archive.subarray(0, length), 64);
});
