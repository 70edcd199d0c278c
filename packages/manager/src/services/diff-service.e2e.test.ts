import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { containerd } from "@trimaran/proto";
import { parseDigest } from "../content/digest.ts";
import { Code } from "../errors/manager-error.ts";
import { collect } from "../testing/collect.ts";
import { type FixtureEntry, makeTar } from "../testing/tar-fixture.ts";
import { openTestSnapshots, type TestSnapshots } from "../testing/test-snapshots.ts";
import { chainIds } from "../transfer/chain-id.ts";

const { COMMIT } = containerd.services.content.v1.WriteAction;
const snapshotter = "overlayfs";
const OCI = "application/vnd.oci.image.layer.v1.tar";
const DOCKER = "application/vnd.docker.image.rootfs.diff.tar";

async function open(t: TestContext): Promise<TestSnapshots> {
  const bed = await openTestSnapshots();
  t.after(() => bed[Symbol.asyncDispose]());
  return bed;
}

const sha256 = (bytes: Uint8Array) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** Store bytes as a blob; its descriptor. */
async function blob(bed: TestSnapshots, bytes: Uint8Array, mediaType: string) {
  const digest = sha256(bytes);
  const request = { action: COMMIT, ref: digest, data: bytes, total: BigInt(bytes.length), expected: digest };
  const requests = async function* () {
    yield request;
  };
  await collect(bed.content.client().write(requests()));
  return { mediaType, digest, size: BigInt(bytes.length) };
}

type Packed = readonly [mediaType: string, pack: (tar: Buffer) => Uint8Array];

/** Unpack layers as clients do, each on the one before; the diff ids that Apply said. */
async function unpack(
  bed: TestSnapshots,
  layers: readonly (readonly [readonly FixtureEntry[], Packed])[],
): Promise<string[]> {
  const client = bed.snapshots();
  const tars = layers.map(([entries]) => makeTar(entries));
  const chain = chainIds(tars.map(sha256));
  const digests: string[] = [];
  for (const [index, [, [mediaType, pack]]] of layers.entries()) {
    const key = `extract-${index} ${chain[index]}`;
    const { mounts } = await client.prepare({ snapshotter, key, parent: chain[index - 1] ?? "" });
    const diff = await blob(bed, pack(tars[index] ?? Buffer.alloc(0)), mediaType);
    const { applied } = await bed.diffs().apply({ diff, mounts, syncFs: index === 0 });
    assert.deepEqual([applied?.mediaType, applied?.size], [OCI, BigInt(tars[index]?.length ?? 0)]);
    digests.push(applied?.digest ?? "");
    await client.commit({ snapshotter, key, name: chain[index] ?? "" });
  }
  return digests;
}

/** Mount what the service answers, as `ctr` does. */
function mounted(
  bed: TestSnapshots,
  mounts: readonly containerd.types.Mount[],
): Disposable & { readonly path: string } {
  const [mount, ...more] = mounts;
  if (mount === undefined || more.length > 0) assert.fail("one mount is expected");
  const path = join(bed.scratch, `m${readdirSync(bed.scratch).length}`);
  mkdirSync(path);
  const options = mount.options.join(",");
  const type = mount.type === "bind" ? [] : ["-t", mount.type];
  execFileSync("mount", [...type, mount.source, "-o", options, path]);
  return { path, [Symbol.dispose]: () => void execFileSync("umount", [path]) };
}

/** Directories below each other, further than a path can say. */
function makeTooDeep(root: string): void {
  const chains = ["x", "y"].map((name) => join(root, name, ...Array<string>(10).fill("d".repeat(250))));
  for (const path of chains) mkdirSync(path, { recursive: true });
  renameSync(join(root, "y"), join(chains[0] ?? "", "y"));
}

const PLAIN: Packed = [OCI, (tar) => tar];
const GZIP: Packed = [`${OCI}+gzip`, gzipSync];
const ZSTD: Packed = [`${OCI}+zstd`, zstdCompressSync];

test("three layers, packed in three ways: diff ids, chain ids, and whiteouts through the mounted overlay", async (t) => {
  const bed = await open(t);
  const layers = [
    [
      [
        { name: "dir/", type: "5", mode: 0o1777, uid: 7, gid: 8 },
        { name: "dir/gone", content: "1" },
        { name: "dir/kept", content: "1" },
        { name: "opaque/old", content: "1" },
        { name: "bin/su", content: "1", mode: 0o4755 },
      ],
      PLAIN,
    ],
    [[{ name: "dir/.wh.gone" }, { name: "opaque/new", content: "2" }, { name: "opaque/.wh..wh..opq" }], GZIP],
    [[{ name: "dir/third", content: "3" }], ZSTD],
  ] as const;
  const digests = await unpack(bed, layers);
  assert.deepEqual(
    digests,
    layers.map(([entries]) => sha256(makeTar(entries))),
  );
  const [top = ""] = chainIds(digests).slice(-1);
  const { mounts } = await bed.snapshots().view({ snapshotter, key: "v", parent: top });
  using root = mounted(bed, mounts);
  assert.deepEqual(readdirSync(join(root.path, "dir")).sort(), ["kept", "third"]);
  assert.deepEqual(readdirSync(join(root.path, "opaque")), ["new"]);
  const { mode, uid, gid } = lstatSync(join(root.path, "dir"));
  assert.deepEqual([mode & 0o7777, uid, gid], [0o1777, 7, 8], "the missing parent is like the lower one");
  assert.equal(lstatSync(join(root.path, "bin/su")).mode & 0o7777, 0o4755);
  assert.throws(() => writeFileSync(join(root.path, "x"), ""), { code: "EROFS" });
});

test("docker's types say nothing about compression, OCI's plain one is believed", async (t) => {
  const bed = await open(t);
  const tar = makeTar([{ name: "a" }]);
  for (const [index, mediaType] of [DOCKER, `${DOCKER}.gzip`, `${OCI}+zstd`].entries()) {
    const { mounts } = await bed.snapshots().prepare({ snapshotter, key: String(index) });
    const diff = await blob(bed, gzipSync(tar), mediaType).catch(() => ({
      mediaType,
      digest: sha256(gzipSync(tar)),
      size: 1n,
    }));
    assert.equal((await bed.diffs().apply({ diff, mounts })).applied?.digest, sha256(tar));
  }
  const { mounts } = await bed.snapshots().prepare({ snapshotter, key: "plain" });
  const diff = { mediaType: OCI, digest: sha256(gzipSync(tar)), size: 1n };
  await assert.rejects(bed.diffs().apply({ diff, mounts }), { code: Code.Unknown, message: /failed to extract layer/ });
});

test("what Apply cannot do has its code; a blob that was changed on disk is not what it was", async (t) => {
  const bed = await open(t);
  const tar = makeTar([{ name: "a", content: "good" }]);
  const diff = await blob(bed, tar, OCI);
  const { mounts } = await bed.snapshots().prepare({ snapshotter, key: "k" });
  const diffs = bed.diffs();
  const cases: [() => Promise<unknown>, Code, RegExp][] = [
    [
      () => diffs.apply({ diff: { ...diff, digest: sha256(Buffer.from("none")) }, mounts }),
      Code.NotFound,
      /not found$/,
    ],
    [() => bed.diffs("other").apply({ diff, mounts }), Code.NotFound, /not found$/],
    [() => bed.diffs("").apply({ diff, mounts }), Code.FailedPrecondition, /namespace is required/],
    [
      () => diffs.apply({ diff: { ...diff, mediaType: "text/plain" }, mounts }),
      Code.Unknown,
      /no processor for media-type/,
    ],
    [() => diffs.apply({ diff, mounts: [] }), Code.InvalidArgument, /^mounts: none/],
    [() => diffs.apply({ mounts }), Code.InvalidArgument, /diff.digest/],
    [
      () => diffs.diff({ left: mounts, right: mounts, mediaType: "text/plain" }),
      Code.Unimplemented,
      /not implemented$/,
    ],
    [() => diffs.diff({ left: mounts, right: [] }), Code.InvalidArgument, /^right: no mounts/],
    [
      () => diffs.diff({ left: mounts, right: [{ type: "bind", source: "/none", options: ["bind"] }] }),
      Code.Unknown,
      /ENOENT/,
    ],
    [
      () => diffs.apply({ diff, mounts: [{ type: "overlay", options: ["lowerdir="] }] }),
      Code.InvalidArgument,
      /lowerdir/,
    ],
  ];
  for (const [call, code, message] of cases) await assert.rejects(call(), { code, message });
  writeFileSync(join(bed.scratch, "a"), Buffer.alloc(1 << 20, 1));
  makeTooDeep(bed.scratch);
  const tooDeep = [{ type: "bind", source: bed.scratch, options: ["rbind"] }];
  const failing = diffs.diff({ left: [], right: tooDeep, mediaType: OCI });
  await assert.rejects(failing, { code: Code.Unknown, message: /^failed to compare: ENAMETOOLONG/ });
  assert.deepEqual((await bed.content.client().listStatuses({})).statuses, [], "no half of a layer is left");
  const path = bed.content.host.files.blobs.path(parseDigest("digest", diff.digest));
  rmSync(path);
  writeFileSync(path, makeTar([{ name: "a", content: "evil" }]));
  assert.notEqual((await diffs.apply({ diff, mounts })).applied?.digest, diff.digest);
});

test("the changes of a container as a layer: stored, labelled, leased, and the same tree when it is applied", async (t) => {
  const bed = await open(t);
  const client = bed.snapshots();
  const base: FixtureEntry[] = ["removed", "replaced", "linked", "chmodded", "same"].map((name) => ({
    name: `etc/${name}`,
    content: name,
    mtime: 1000,
  }));
  const [parent = ""] = await unpack(bed, [[base, GZIP]]);
  const { mounts } = await client.prepare({ snapshotter, key: "container", parent });
  {
    using root = mounted(bed, mounts);
    const etc = join(root.path, "etc");
    rmSync(join(etc, "removed"));
    rmSync(join(etc, "replaced"));
    mkdirSync(join(etc, "replaced"));
    linkSync(join(etc, "linked"), join(etc, "link"));
    execFileSync("chmod", ["4711", join(etc, "chmodded")]);
    writeFileSync(join(root.path, "new"), "n".repeat(3_000_000));
  }
  const left = (await client.view({ snapshotter, key: "container-parent-view", parent })).mounts;
  bed.content.createLease("l");
  const request = { left, right: mounts, ref: "container diff", labels: { mine: "1" } };
  const { diff } = await bed.diffs().diff(request, { lease: "l" });
  assert.equal(diff?.mediaType, `${OCI}+gzip`);
  assert.ok(bed.content.leased("l").includes(`content ${diff?.digest}`));
  const { info } = await bed.content.client().info({ digest: diff?.digest ?? "" });
  assert.deepEqual([info?.labels.mine, info?.size], ["1", diff?.size]);
  assert.deepEqual((await bed.content.client().listStatuses({})).statuses, []);

  const again = await bed.diffs().diff(request);
  assert.deepEqual(again.diff, diff, "there already, which is no error");

  const copy = (await client.prepare({ snapshotter, key: "copy", parent })).mounts;
  const { applied } = await bed.diffs().apply({ ...(diff === undefined ? {} : { diff }), mounts: copy });
  assert.equal(applied?.digest, info?.labels["containerd.io/uncompressed"]);
  using one = mounted(bed, mounts);
  using two = mounted(bed, copy);
  execFileSync("diff", ["-r", one.path, two.path]);
  const [a, b] = ["linked", "link"].map((name) => lstatSync(join(two.path, "etc", name)).ino);
  assert.equal(a, b);
  assert.equal(lstatSync(join(two.path, "etc/chmodded")).mode & 0o7777, 0o4711);
  assert.equal(existsSync(join(two.path, "etc/removed")), false);
  assert.equal(readFileSync(join(two.path, "new"), "utf8").length, 3_000_000);
});

test("ids that are mapped own the root directory", async (t) => {
  const bed = await open(t);
  const labels = {
    "containerd.io/snapshot/uidmapping": "1:5:1,0:100000:65536",
    "containerd.io/snapshot/gidmapping": "0:200000:65536",
  };
  await bed.snapshots().prepare({ snapshotter, key: "k", labels });
  const { uid, gid, mode } = lstatSync(bed.directories.fs("1"));
  assert.deepEqual([uid, gid, mode & 0o7777], [100_000, 200_000, 0o755]);
  await bed.snapshots().commit({ snapshotter, key: "k", name: "n" });
  await bed.snapshots().prepare({ snapshotter, key: "child", parent: "n" });
  assert.equal(lstatSync(bed.directories.fs("2")).uid, 100_000, "like the parent's");
});

test("two overlays on the same lower directories can be mounted at once", async (t) => {
  const bed = await open(t);
  const digests = await unpack(bed, [
    [[{ name: "a" }], PLAIN],
    [[{ name: "b" }], PLAIN],
  ]);
  const [top = ""] = chainIds(digests).slice(-1);
  const mounts = await Promise.all(
    ["x", "y"].map(async (key) => (await bed.snapshots().prepare({ snapshotter, key, parent: top })).mounts),
  );
  using _x = mounted(bed, mounts[0] ?? []);
  using y = mounted(bed, mounts[1] ?? []);
  assert.deepEqual(readdirSync(y.path).sort(), ["a", "b"]);
});
