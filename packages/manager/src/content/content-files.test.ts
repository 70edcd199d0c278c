import assert from "node:assert/strict";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Code } from "../errors/manager-error.ts";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { CHUNK_BYTES } from "./blob-files.ts";
import { ContentFiles } from "./content-files.ts";
import { type Digest, type DigestAlgorithm, digestOf, hexOf } from "./digest.ts";
import { ingestKey } from "./ingest-directory.ts";
import type { IngestWriter } from "./ingest-writer.ts";

const START_NS = 1_700_000_000_000_000_000n;
const ANYTHING = { totalBytes: 0, expected: undefined };

async function openFiles(t: TestContext): Promise<{ files: ContentFiles; root: string }> {
  const directory = temporaryDirectory();
  t.after(() => directory[Symbol.dispose]());
  const root = join(directory.path, "content");
  return { files: await ContentFiles.open(root, () => START_NS), root };
}

function write(
  files: ContentFiles,
  ref: string,
  options: { totalBytes?: number; algorithm?: DigestAlgorithm; shared?: Digest } = {},
): Promise<IngestWriter> {
  return files.openIngest({ backendRef: `ns/1/${ref}`, ref, totalBytes: 0, algorithm: "sha256", ...options });
}

async function commit(files: ContentFiles, ref: string, text: string): Promise<Digest> {
  await using writer = await write(files, ref);
  await writer.append(Buffer.from(text));
  return await writer.commit(ANYTHING, (digest) => digest);
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

async function readAll(files: ContentFiles, digest: Digest): Promise<string> {
  await using blob = await files.blobs.open(digest);
  return Buffer.concat(await collect(blob.chunks(0, blob.sizeBytes))).toString();
}

test("an ingest has containerd's files, and its blob lies where containerd has it", async (t) => {
  const { files, root } = await openFiles(t);
  const path = join(root, "ingest", ingestKey("ns/1/a"));
  {
    await using writer = await write(files, "a", { totalBytes: 5 });
    assert.deepEqual(writer.status, { startedAtNs: START_NS, updatedAtNs: START_NS, offsetBytes: 0, totalBytes: 5 });
    assert.equal(writer.digest(), digestOf(""));
    await writer.append(Buffer.from("hel"));
    assert.equal(writer.digest(), digestOf("hel"));
    assert.deepEqual(readdirSync(path).sort(), ["data", "ref", "startedat", "total", "updatedat"]);
    assert.equal(readFileSync(join(path, "ref"), "utf8"), "ns/1/a");
    assert.equal(readFileSync(join(path, "startedat"), "utf8"), "2023-11-14T22:13:20Z");
    assert.equal(readFileSync(join(path, "total"), "utf8"), "5");
    assert.equal(statSync(join(path, "data")).mode & 0o777, 0o644);
    await writer.append(Buffer.from("lo"));
    assert.equal(await writer.commit({ totalBytes: 5, expected: digestOf("hello") }, (_, size) => size), 5);
  }
  const blob = join(root, "blobs", "sha256", hexOf(digestOf("hello")));
  assert.equal(readFileSync(blob, "utf8"), "hello");
  assert.equal(statSync(blob).mode & 0o777, 0o444);
  assert.deepEqual(readdirSync(join(root, "ingest")), []);
});

test("a closed ingest is resumed, with its size, digest and times", async (t) => {
  const { files } = await openFiles(t);
  {
    await using writer = await write(files, "a");
    await writer.append(Buffer.from("hello"));
  }
  assert.equal((await files.ingestStatus("ns/1/a"))?.offsetBytes, 5);
  assert.equal(files.isOpen("ns/1/a"), false);
  await using writer = await write(files, "a");
  assert.deepEqual([writer.offsetBytes, writer.digest(), writer.status.startedAtNs], [5, digestOf("hello"), START_NS]);
  await writer.append(Buffer.from(" world"));
  assert.equal(await writer.commit(ANYTHING, (digest) => digest), digestOf("hello world"));
});

test("another total starts over, the same or none does not", async (t) => {
  const { files } = await openFiles(t);
  for (const [totalBytes, offset] of [
    [0, 0],
    [7, 1],
    [7, 2],
    [0, 3],
    [8, 0],
    [8, 1],
  ] as const) {
    await using writer = await write(files, "a", { totalBytes });
    assert.equal(writer.offsetBytes, offset, `total ${totalBytes}`);
    await writer.append(Buffer.from("x"));
  }
});

test("there is one writer per ref, and the next comes when it has gone", async (t) => {
  const { files } = await openFiles(t);
  {
    await using _ = await write(files, "a");
    await assert.rejects(write(files, "a"), { code: Code.Unavailable, message: /locked/ });
    await using other = await write(files, "b");
    assert.equal(other.offsetBytes, 0);
  }
  const racing = await Promise.allSettled([write(files, "a"), write(files, "a")]);
  assert.deepEqual(racing.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  for (const each of racing) if (each.status === "fulfilled") await each.value[Symbol.asyncDispose]();
});

test("a commit that does not come to what was expected leaves the ingest, which can go on", async (t) => {
  const { files, root } = await openFiles(t);
  await using writer = await write(files, "a");
  await writer.append(Buffer.from("hello"));
  const record = () => assert.fail("recorded");
  await assert.rejects(writer.commit({ totalBytes: 6, expected: undefined }, record), {
    code: Code.FailedPrecondition,
    message: '"a" failed size validation: 5 != 6',
  });
  await assert.rejects(writer.commit({ totalBytes: 5, expected: digestOf("x") }, record), {
    code: Code.FailedPrecondition,
    message: `unexpected commit digest ${digestOf("hello")}, expected ${digestOf("x")}`,
  });
  assert.deepEqual(readdirSync(join(root, "blobs", "sha256")), []);
  await writer.clear();
  assert.equal(writer.digest(), digestOf(""));
  await writer.append(Buffer.from("x"));
  await writer.commit({ totalBytes: 1, expected: digestOf("x") }, () => undefined);
  assert.equal(await readAll(files, digestOf("x")), "x");
});

test("sha512 is verified and stored beside sha256, whatever the ingest began with", async (t) => {
  const { files, root } = await openFiles(t);
  const expected = digestOf("hello", "sha512");
  for (const algorithm of ["sha256", "sha512"] as const) {
    await using writer = await write(files, algorithm, { algorithm });
    await writer.append(Buffer.from("hello"));
    assert.equal(writer.digest(), digestOf("hello", algorithm));
    assert.equal(await writer.commit({ totalBytes: 0, expected }, (digest) => digest), expected);
  }
  assert.deepEqual(readdirSync(join(root, "blobs", "sha512")), [hexOf(expected)]);
});

test("a blob that is there already is kept, and the ingest goes", async (t) => {
  const { files, root } = await openFiles(t);
  const digest = await commit(files, "a", "hello");
  const { ino } = statSync(files.blobs.path(digest));
  assert.equal(await commit(files, "b", "hello"), digest);
  assert.equal(statSync(files.blobs.path(digest)).ino, ino);
  assert.deepEqual(readdirSync(join(root, "ingest")), []);
});

test("a shared writer starts at the end of the blob and commits without data", async (t) => {
  const { files, root } = await openFiles(t);
  const digest = await commit(files, "a", "hello");
  await using writer = await write(files, "b", { shared: digest });
  assert.deepEqual([writer.offsetBytes, writer.digest(), writer.status.totalBytes], [5, digest, 5]);
  assert.equal(await files.blobs.sweep(digest, () => true), false, "in use");
  assert.equal(await writer.commit({ totalBytes: 5, expected: digest }, (_, size) => size), 5);
  assert.deepEqual(readdirSync(join(root, "ingest")), []);
  assert.equal(await files.blobs.sweep(digest, () => true), true);
  await assert.rejects(write(files, "c", { shared: digest }), { code: Code.NotFound });
  assert.equal(files.isOpen("ns/1/c"), false);
});

test("a shared writer that writes gets bytes of its own", async (t) => {
  const { files } = await openFiles(t);
  const digest = await commit(files, "a", "hello");
  {
    await using writer = await write(files, "more", { shared: digest });
    await writer.append(Buffer.from(" world"));
    assert.equal(await writer.commit(ANYTHING, (each) => each), digestOf("hello world"));
  }
  await using writer = await write(files, "less", { shared: digest });
  await writer.clear();
  await writer.append(Buffer.from("new"));
  assert.equal(await writer.commit(ANYTHING, (each) => each), digestOf("new"));
  assert.equal(await readAll(files, digest), "hello");
});

test("after a commit nothing that the writer does reaches the blob", async (t) => {
  const { files } = await openFiles(t);
  const writer = await write(files, "a");
  await writer.append(Buffer.from("hello"));
  await assert.rejects(
    writer.commit(ANYTHING, () => {
      throw new Error("no record");
    }),
    /no record/,
  );
  await assert.rejects(writer.clear(), { code: Code.FailedPrecondition });
  await assert.rejects(writer.append(Buffer.from("x")), { code: Code.FailedPrecondition });
  await writer[Symbol.asyncDispose]();
  await writer[Symbol.asyncDispose]();
  assert.equal(await readAll(files, digestOf("hello")), "hello");
  assert.equal(await files.blobs.sweep(digestOf("hello"), () => true), true, "no pin is left");
});

test("an abort takes the ingest from its writer", async (t) => {
  const { files, root } = await openFiles(t);
  await using writer = await write(files, "a");
  await writer.append(Buffer.from("hello"));
  const writing = writer.append(Buffer.alloc(8 << 20)).catch(() => {});
  await files.abort("ns/1/a");
  await writing;
  assert.deepEqual(readdirSync(join(root, "ingest")), []);
  await assert.rejects(writer.append(Buffer.from("x")), { code: Code.FailedPrecondition, message: /aborted/ });
  await assert.rejects(
    writer.commit(ANYTHING, () => assert.fail("recorded")),
    { code: Code.FailedPrecondition },
  );
  assert.equal(await files.ingestStatus("ns/1/b"), undefined);
  await files.abort("ns/1/b");
});

test("half an ingest, as a kill leaves it, is started over", async (t) => {
  const { files, root } = await openFiles(t);
  const path = join(root, "ingest", ingestKey("ns/1/a"));
  for (const [name, text] of [
    ["ref", ""],
    ["ref", "ns/1/"],
    ["startedat", ""],
    ["data", "junk"],
  ] as const) {
    rmSync(path, { recursive: true, force: true });
    mkdirSync(path);
    writeFileSync(join(path, name), text);
    assert.equal(await files.ingestStatus("ns/1/a"), undefined);
    await using writer = await write(files, "a");
    assert.equal(writer.offsetBytes, 0);
  }
  writeFileSync(join(path, "startedat"), "");
  writeFileSync(join(path, "total"), "many");
  await using writer = await write(files, "a");
  assert.equal(writer.status.totalBytes, 0);
  assert.ok(writer.status.startedAtNs > 0n);
});

test("what was changed on disk while the ingest was closed is noticed", async (t) => {
  const { files, root } = await openFiles(t);
  {
    await using writer = await write(files, "a");
    await writer.append(Buffer.from("hello"));
  }
  appendFileSync(join(root, "ingest", ingestKey("ns/1/a"), "data"), "!");
  await using writer = await write(files, "a");
  assert.deepEqual([writer.offsetBytes, writer.digest()], [6, digestOf("hello!")]);
});

test("reads come in chunks of a MiB, from any offset, also of a blob that is removed meanwhile", async (t) => {
  const { files } = await openFiles(t);
  const text = `${"0123456789abcdef".repeat((CHUNK_BYTES / 16) * 2)}end`;
  const digest = await commit(files, "a", text);
  await using blob = await files.blobs.open(digest);
  assert.equal(await files.blobs.sweep(digest, () => true), true);
  const sizes = (await collect(blob.chunks(0, blob.sizeBytes))).map(({ length }) => length);
  assert.deepEqual(sizes, [CHUNK_BYTES, CHUNK_BYTES, 3]);
  const middle = Buffer.concat(await collect(blob.chunks(CHUNK_BYTES - 3, 6))).toString();
  assert.equal(middle, "def012");
  assert.equal(Buffer.concat(await collect(blob.chunks(text.length - 3, 1000))).toString(), "end");
  await assert.rejects(files.blobs.open(digest), { code: Code.NotFound });
});

test("a sweep spares what is pinned or wanted, walks over strangers' files and takes unknown ingests", async (t) => {
  const { files, root } = await openFiles(t);
  const digest = await commit(files, "a", "hello");
  writeFileSync(join(root, "blobs", "sha256", "README"), "not ours");
  assert.deepEqual(await collect(files.blobs.walk()), [digest]);
  const pins = [files.blobs.pin(digest), files.blobs.pin(digest)];
  for (const pin of pins) {
    assert.equal(await files.blobs.sweep(digest, () => true), false);
    pin[Symbol.dispose]();
    pin[Symbol.dispose]();
  }
  assert.equal(await files.blobs.sweep(digest, () => false), false);
  assert.equal(await files.blobs.sweep(digest, () => true), true);
  assert.equal(await files.blobs.sweep(digest, () => true), false);
  for (const ref of ["known", "unknown"]) await (await write(files, ref))[Symbol.asyncDispose]();
  mkdirSync(join(root, "ingest", "lost+found"));
  assert.equal(await files.sweepIngests(() => new Set([ingestKey("ns/1/known")])), 1);
  assert.deepEqual(readdirSync(join(root, "ingest")).sort(), [ingestKey("ns/1/known"), "lost+found"].sort());
});

test("hashing what is there can be interrupted, and then the ingest is free", async (t) => {
  const { files } = await openFiles(t);
  await (await write(files, "a"))[Symbol.asyncDispose]();
  const request = { backendRef: "ns/1/a", ref: "a", totalBytes: 0, algorithm: "sha256" as const };
  await assert.rejects(files.openIngest({ ...request, signal: AbortSignal.abort() }), { name: "AbortError" });
  await (await write(files, "a"))[Symbol.asyncDispose]();
});

test("a store is opened again as it was left", async (t) => {
  const { files, root } = await openFiles(t);
  const digest = await commit(files, "a", "hello");
  const again = await ContentFiles.open(root, () => START_NS);
  assert.equal(await readAll(again, digest), "hello");
  assert.ok(existsSync(join(root, "ingest")));
});
