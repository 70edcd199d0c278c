import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { loadSyscalls } from "../host/syscalls.ts";
import type { FixtureEntry } from "../testing/tar-fixture.ts";
import { makeTar } from "../testing/tar-fixture.ts";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { ApplyBed, type ApplyOptions } from "./testing/apply-bed.ts";
import { LayerThreads } from "./thread/layer-threads.ts";

const libc = loadSyscalls();
const mountRoot = temporaryDirectory();
const threads = new LayerThreads({ mountRoot: mountRoot.path });
after(async () => {
  await threads[Symbol.asyncDispose]();
  mountRoot[Symbol.dispose]();
});

interface UnpackedBed extends Disposable {
  readonly root: string;
  readonly digest: string;
}

/** Unpack into a fresh upper directory. */
async function unpack(layer: readonly FixtureEntry[] | Buffer, options: ApplyOptions = {}): Promise<UnpackedBed> {
  const bed = new ApplyBed(threads);
  try {
    const { digest } = await bed.upper(layer, options);
    return { root: bed.root, digest, [Symbol.dispose]: () => bed[Symbol.dispose]() };
  } catch (error) {
    bed[Symbol.dispose]();
    throw error;
  }
}

test("plain, gzip and zstd layers have the same content and diff id", async () => {
  const tar = makeTar([{ name: "a", content: "hello", mode: 0o4755, uid: 5, gid: 6, mtime: 1000 }]);
  const diffId = `sha256:${createHash("sha256").update(tar).digest("hex")}`;
  for (const bytes of [tar, gzipSync(tar), zstdCompressSync(tar)]) {
    using layer = await unpack(Buffer.from(bytes));
    const { mode, uid, gid, mtimeMs } = lstatSync(join(layer.root, "a"));
    assert.equal(layer.digest, diffId);
    assert.deepEqual([mode & 0o7777, uid, gid, mtimeMs], [0o4755, 5, 6, 1_000_000]);
    assert.equal(readFileSync(join(layer.root, "a"), "utf8"), "hello");
  }
});

test("names and links cannot lead out of the root", async () => {
  using layer = await unpack([
    { name: "../../outside/a", content: "1" },
    { name: "/outside/b", content: "2" },
    { name: "up", type: "2", linkName: "../outside" },
    { name: "up/c", content: "3" },
    { name: "abs", type: "2", linkName: "/outside" },
    { name: "abs/d", content: "4" },
    { name: "deep", type: "2", linkName: "x/../../../../outside" },
    { name: "deep/e", content: "5" },
  ]);
  assert.deepEqual(readdirSync(join(layer.root, "outside")).sort(), ["a", "b", "c", "d", "e"]);
});

test("the last part of a name is never followed", async () => {
  using layer = await unpack([
    { name: "link", type: "2", linkName: "target" },
    { name: "link", content: "file now" },
    { name: "dir", type: "2", linkName: "/etc" },
    { name: "dir/", type: "5" },
  ]);
  assert.ok(lstatSync(join(layer.root, "link")).isFile());
  assert.ok(lstatSync(join(layer.root, "dir")).isDirectory());
});

test("a loop of links, or a file for a parent, is an error", async () => {
  const loop = [{ name: "a", type: "2", linkName: "b" }, { name: "b", type: "2", linkName: "a" }, { name: "a/x" }];
  await assert.rejects(unpack(loop), /too many symbolic links/);
  await assert.rejects(unpack([{ name: "f" }, { name: "f/x" }]), /not a directory/);
});

test("hard links stay inside, and their targets must be in the layer", async () => {
  using layer = await unpack([
    { name: "a", content: "x" },
    { name: "b", type: "1", linkName: "a" },
    { name: "b", type: "1", linkName: "b" },
  ]);
  assert.equal(lstatSync(join(layer.root, "b")).nlink, 2);
  for (const linkName of ["missing", "../../../../etc/passwd", "", "dir"]) {
    await assert.rejects(
      unpack([
        { name: "dir", type: "5" },
        { name: "h", type: "1", linkName },
      ]),
      /to link to/,
    );
  }
});

test("whiteouts and opaque directories become overlayfs' own", async () => {
  using layer = await unpack([
    { name: ".wh.gone" },
    { name: "dir/new", content: "1" },
    { name: "dir/.wh..wh..opq" },
    { name: ".wh..wh.plnk/1" },
    { name: ".wh..wh.aufs" },
  ]);
  const { rdev, mode } = lstatSync(join(layer.root, "gone"));
  assert.deepEqual([rdev, mode & 0o170000], [0, 0o020000]);
  assert.equal(libc.lgetxattrs(join(layer.root, "dir")).get("trusted.overlay.opaque")?.toString(), "y");
  assert.deepEqual(readdirSync(layer.root).sort(), ["dir", "gone"]);
  for (const name of [".wh.", ".wh..", ".wh..."]) await assert.rejects(unpack([{ name }]), /invalid whiteout name/);
  await assert.rejects(unpack([{ name: "x" }, { name: ".wh.x" }]), /the same layer has what it hides/);
});

test("binary attributes survive, trusted ones are ignored", async () => {
  const capability = Buffer.from("0100000200040000000000000000000000000000", "hex");
  using layer = await unpack([
    {
      name: "ping",
      pax: { "SCHILY.xattr.security.capability": capability, "SCHILY.xattr.trusted.overlay.opaque": "y" },
    },
  ]);
  const xattrs = libc.lgetxattrs(join(layer.root, "ping"));
  assert.deepEqual(xattrs.get("security.capability"), capability);
  assert.equal(xattrs.has("trusted.overlay.opaque"), false);
});

test("a parent that the layer leaves out is like the lower one's", async () => {
  using directory = temporaryDirectory();
  mkdirSync(join(directory.path, "tmp"));
  chownSync(join(directory.path, "tmp"), 11, 12);
  chmodSync(join(directory.path, "tmp"), 0o1777);
  symlinkSync("/etc", join(directory.path, "etc"));
  using layer = await unpack([{ name: "tmp/x" }, { name: "etc/x" }], { lowers: [directory.path] });
  const { mode, uid, gid } = lstatSync(join(layer.root, "tmp"));
  assert.deepEqual([mode & 0o7777, uid, gid], [0o1777, 11, 12]);
  assert.equal(lstatSync(join(layer.root, "etc")).mode & 0o7777, 0o755);
});

test("directories get their times at the end, devices their numbers", async () => {
  using layer = await unpack([
    { name: "dir", type: "5", mtime: 5000, mode: 0o750 },
    { name: "dir/null", type: "3", device: [1, 3], mode: 0o666 },
    { name: "dir/fifo", type: "6", mode: 0o600 },
    { name: "dir/link", type: "2", linkName: "anything/../at all" },
  ]);
  const dir = lstatSync(join(layer.root, "dir"));
  assert.deepEqual([dir.mtimeMs, dir.mode & 0o7777], [5_000_000, 0o750]);
  assert.equal(lstatSync(join(layer.root, "dir/null")).rdev, 0x103);
  assert.ok(lstatSync(join(layer.root, "dir/fifo")).isFIFO());
  assert.equal(readlinkSync(join(layer.root, "dir/link")), "anything/../at all");
});
