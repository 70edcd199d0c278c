import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  symlinkSync,
  writeFileSync,
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

test("an opaque mark reaches its directory through a link, and entries of the same layer stay", async () => {
  using layer = await unpack([
    { name: "real", type: "5" },
    { name: "lnk", type: "2", linkName: "real" },
    { name: "real/kept", content: "1" },
    { name: "lnk/.wh..wh..opq" },
    { name: "new/.wh..wh..opq" },
  ]);
  for (const name of ["real", "new"]) {
    assert.equal(libc.lgetxattrs(join(layer.root, name)).get("trusted.overlay.opaque")?.toString(), "y", name);
  }
  assert.deepEqual(readdirSync(join(layer.root, "real")), ["kept"]);
});

test("a directory in the place of a whiteout still hides what was there", async () => {
  using layer = await unpack([{ name: ".wh.d" }, { name: "d", type: "5" }, { name: "d/x" }]);
  assert.equal(libc.lgetxattrs(join(layer.root, "d")).get("trusted.overlay.opaque")?.toString(), "y");
  await assert.rejects(unpack([{ name: ".wh.f" }, { name: "g", type: "1", linkName: "f" }]), /no "f" to link to/);
});

test("in a plain directory whiteouts remove, and opaque marks spare what the layer wrote", async () => {
  using bed = new ApplyBed(threads);
  await bed.plain([
    { name: "gone/deep/file", content: "1" },
    { name: "dir/old", content: "1" },
    { name: "dir/sub/old", content: "1" },
    { name: "lnk", type: "2", linkName: "dir" },
  ]);
  await bed.plain([
    { name: ".wh.gone" },
    { name: ".wh.never" },
    { name: "dir/sub/new", content: "2" },
    { name: "lnk/through", content: "2" },
    { name: "lnk/.wh..wh..opq" },
  ]);
  assert.deepEqual(readdirSync(bed.root).sort(), ["dir", "lnk"]);
  assert.deepEqual(readdirSync(join(bed.root, "dir")).sort(), ["sub", "through"]);
  assert.deepEqual(readdirSync(join(bed.root, "dir/sub")), ["new"]);
});

test("GHSA-rp3h-jf77-q9p4: thousands of opaque marks in a plain directory do not walk what the layer has written each time", {
  timeout: 120_000,
}, async () => {
  using bed = new ApplyBed(threads);
  await bed.plain([{ name: "dir/old", content: "1" }]);
  const count = 2500; // 6 million looks, were each mark a walk
  const written = Array.from({ length: count }, (_, i) => ({ name: `dir/sub/${i}`, content: "" }));
  const marks = Array.from({ length: count }, (_, i) => ({
    name: i % 2 === 0 ? "dir/.wh..wh..opq" : "dir/sub/.wh..wh..opq",
  }));
  const began = performance.now();
  await bed.plain([...written, ...marks]);
  assert.ok(performance.now() - began < 20_000, `${performance.now() - began} ms`);
  assert.deepEqual(
    [readdirSync(join(bed.root, "dir")), readdirSync(join(bed.root, "dir/sub")).length],
    [["sub"], count],
  );
});

test("other mounts are mounted where only the thread sees them", async () => {
  const before = readFileSync("/proc/self/mountinfo", "utf8");
  using bed = new ApplyBed(threads);
  using directory = temporaryDirectory();
  const [upper, work, lower] = ["upper", "work", "lower"].map((name) => join(directory.path, name));
  for (const path of [upper, work, lower]) mkdirSync(path ?? "");
  writeFileSync(join(lower ?? "", "old"), "1");
  const overlay = { type: "overlay", source: "overlay", target: "" };
  const options = [`lowerdir=${lower}`, `upperdir=${upper}`, `workdir=${work}`];
  const bind = { type: "bind", source: bed.root, target: "/mnt", options: ["rw"] };
  mkdirSync(join(lower ?? "", "mnt"));
  const mounts = [{ ...overlay, options }, bind];
  await bed.apply({ kind: "mounts", mounts }, [{ name: ".wh.old" }, { name: "mnt/x", content: "2" }], {});
  assert.deepEqual(readdirSync(bed.root), ["x"]);
  assert.ok(lstatSync(join(upper ?? "", "old")).isCharacterDevice(), "the overlay itself made the whiteout");
  const readOnly = [{ type: "bind", source: bed.root, target: "", options: ["ro", "rbind"] }];
  await assert.rejects(bed.apply({ kind: "mounts", mounts: readOnly }, [{ name: "y" }], {}), { code: "EROFS" });
  await assert.rejects(bed.apply({ kind: "mounts", mounts: [{ ...overlay, options: ["lowerdir=/none"] }] }, [], {}), {
    name: "LayerSystemError",
  });
  assert.equal(readFileSync("/proc/self/mountinfo", "utf8"), before);
  assert.deepEqual(readdirSync(mountRoot.path), []);
});

test("sparse files keep their holes", async () => {
  const sizeBytes = 1 << 30;
  const pax = { "GNU.sparse.map": `0,3,${sizeBytes / 2},2`, "GNU.sparse.size": String(sizeBytes) };
  using layer = await unpack([{ name: "s", content: "abcde", pax }, { name: "next" }]);
  const { size, blocks } = lstatSync(join(layer.root, "s"));
  assert.equal(size, sizeBytes);
  assert.ok(blocks * 512 < 1 << 20, "holes take no place");
  const fd = openSync(join(layer.root, "s"), "r");
  const read = Buffer.alloc(4);
  readSync(fd, read, 0, 4, sizeBytes / 2 - 1);
  closeSync(fd);
  assert.equal(read.toString("latin1"), "\0de\0");
});

test("names are bytes, times have nanoseconds, and what is out of range is moved into it", async () => {
  const name = Buffer.from([0x66, 0xff, 0xfe]);
  using layer = await unpack([
    { name: "x", content: "1", pax: { path: name, mtime: "1700000000.123456789" } },
    { name: "d/", type: "5", pax: { mtime: "-5" } },
    { name: "f", pax: { mtime: "99999999999999", atime: "1" } },
    { name: "a", pax: { mtime: "1000", atime: "2000.5" } },
  ]);
  assert.ok(readdirSync(layer.root, { encoding: "buffer" }).some((entry) => entry.equals(name)));
  const at = Buffer.concat([Buffer.from(`${layer.root}/`), name]);
  assert.equal(lstatSync(at, { bigint: true }).mtimeNs, 1_700_000_000_123_456_789n);
  assert.equal(lstatSync(join(layer.root, "d")).mtimeMs, 0);
  assert.ok(lstatSync(join(layer.root, "f")).mtimeMs >= 1e12);
  const { atimeMs, mtimeMs } = lstatSync(join(layer.root, "a"));
  assert.deepEqual([atimeMs, mtimeMs], [2_000_000, 1_000_000]);
});

test("a layer over a limit is stopped early, with a clear error", async () => {
  const limits = { bytes: 1 << 20, entries: 5 };
  const bomb = gzipSync(makeTar([{ name: "zeros", content: Buffer.alloc(8 << 20) }]));
  await assert.rejects(unpack(bomb, { limits }), /layer: more than 1048576 bytes/);
  const many = Array.from({ length: 6 }, (_, index) => ({ name: String(index) }));
  await assert.rejects(unpack(many, { limits }), /layer: more than 5 members/);
  await assert.rejects(unpack([{ name: "a/b/c/d/e/f" }], { limits }), /layer: more than 5 members/);
  (await unpack(many.slice(1), { limits }))[Symbol.dispose]();
});

test("trailing bytes count for the digest, and a type that says so is taken as it is", async () => {
  const tar = Buffer.concat([makeTar([{ name: "a" }]), Buffer.alloc(10_240), Buffer.from("trailing")]);
  const digest = `sha256:${createHash("sha256").update(tar).digest("hex")}`;
  for (const bytes of [tar, gzipSync(tar)]) {
    using bed = new ApplyBed(threads);
    assert.deepEqual(await bed.upper(bytes), { digest, sizeBytes: tar.length });
  }
  await assert.rejects(unpack(gzipSync(tar), { isPlain: true }), /tar at byte 0/);
});

test("a signal ends the work, and the thread", async () => {
  using bed = new ApplyBed(threads);
  const abort = new AbortController();
  const many = makeTar(Array.from({ length: 20_000 }, (_, index) => ({ name: `d${index % 100}/f${index}` })));
  const unpacking = bed.upper(many, { signal: abort.signal });
  setImmediate(() => abort.abort(new Error("enough")));
  await assert.rejects(unpacking, /enough/);
  await assert.rejects(bed.upper([], { signal: AbortSignal.abort(new Error("before")) }), /before/);
  await bed.upper([{ name: "afterwards" }]);
});

test("the process keeps its root, umask and working directory, and many jobs may run at once", async () => {
  const before = [process.umask(), process.cwd(), readlinkSync("/proc/self/root")];
  const beds = Array.from({ length: 8 }, () => new ApplyBed(threads));
  try {
    await Promise.all(beds.map((bed) => bed.upper([{ name: "etc/passwd", content: "x", mode: 0o666 }])));
    for (const bed of beds) assert.equal(lstatSync(join(bed.root, "etc/passwd")).mode & 0o7777, 0o666);
  } finally {
    for (const bed of beds) bed[Symbol.dispose]();
  }
  assert.deepEqual([process.umask(), process.cwd(), readlinkSync("/proc/self/root")], before);
});

test("odd members: links to nothing, names too long, types unknown", async () => {
  const long = "x".repeat(256);
  const cases: [FixtureEntry[], RegExp][] = [
    [[{ name: "l", type: "2" }], /l: a link to nothing/],
    [[{ name: "p", pax: { path: `dir/${long}` } }], /the name is too long/],
    [[{ name: "V", type: "V" }], /members of type "V" are not supported/],
    [[{ name: "d/f" }, { name: "d/f", type: "1", linkName: "d" }], /no "d" to link to/],
  ];
  for (const [entries, message] of cases) await assert.rejects(unpack(entries), { name: "LayerError", message });
  using layer = await unpack([
    { name: "a/b", content: "1" },
    { name: "a", content: "file now" },
    { name: "a", type: "5" },
    { name: "." },
    { name: "/" },
    { name: "./" },
    { name: "a/../../c" },
  ]);
  assert.deepEqual(readdirSync(layer.root).sort(), ["a", "c"]);
  assert.deepEqual(readdirSync(join(layer.root, "a")), []);
});
