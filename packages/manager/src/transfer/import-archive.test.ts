import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { digestOf } from "../content/digest.ts";
import { Code } from "../errors/manager-error.ts";
import { type FixtureEntry, makeTar } from "../testing/tar-fixture.ts";
import { type ImportRequest, importArchive } from "./import-archive.ts";
import type { Platform } from "./platform.ts";
import { FakeServices } from "./testing/fake-services.ts";
import { type FixtureDescriptor, ImageFixture, named, OCI } from "./testing/image-fixture.ts";

const AMD64: Platform = { os: "linux", architecture: "amd64", variant: "", osVersion: "" };
const PREFIX = { name: "import", allowAnyName: true, addDigest: false, skipNamedDigest: false };

function requestOf(tar: Buffer, options: Partial<ImportRequest> = {}, chunkBytes = 65536): ImportRequest {
  const archive = (async function* () {
    for (let at = 0; at < tar.length; at += chunkBytes) yield tar.subarray(at, at + chunkBytes);
  })();
  const unpacks = [{ platform: AMD64, snapshotter: "overlayfs" }];
  const rest = { indexName: "", prefixes: [PREFIX], labels: {}, platforms: [], unpacks, forceCompress: false };
  return { archive, ...rest, ...options };
}

const run = (fake: FakeServices, tar: Buffer, options: Partial<ImportRequest> = {}) =>
  importArchive(fake.context(), requestOf(tar, options));

/** Import what nobody should, and see that it ends with that error and leaves no image and no half blob. */
async function refuses(tar: Buffer, code: Code, message: RegExp, options: Partial<ImportRequest> = {}): Promise<void> {
  const fake = new FakeServices();
  await assert.rejects(run(fake, tar, options), { code, message });
  assert.equal(fake.images.size, 0);
  assert.equal(fake.ingests.size, 0);
}

test("an OCI layout, plain, gzip or zstd, in chunks of any size", async () => {
  const fixture = new ImageFixture();
  const image = fixture.image(["one", "two", "three"]);
  const tar = fixture.layout([named(image, "reg.example/a:1")]);
  for (const [packed, chunkBytes] of [
    [tar, 100],
    [gzipSync(tar), 1000],
    [zstdCompressSync(tar), 7],
  ] as const) {
    const fake = new FakeServices();
    const images = await importArchive(fake.context(), requestOf(packed, {}, chunkBytes));
    assert.deepEqual(
      images.map(({ name, target }) => [name, target.digest]),
      [["reg.example/a:1", image.digest]],
    );
    for (const digest of fixture.blobs.keys()) assert.ok(fake.blobs.has(digest));
    assert.equal(fake.ingests.size, 0);
    assert.deepEqual([...fake.leases], ["the-lease"]);
    const chain = [...fake.snapshots.values()].map(({ layers }) => layers.length);
    assert.deepEqual(chain, [1, 2, 3]);
    assert.deepEqual(
      fake.progress.map(({ event }) => event).filter((event) => !event.startsWith("extract")),
      ["Importing", "saved", "Completed import"],
    );
  }
});

test("labels keep what is named: layers and config by the manifest, manifests by the index, snapshots by the config", async () => {
  const fixture = new ImageFixture();
  const image = fixture.image(["one", "two"]);
  const index = fixture.index([image]);
  const fake = new FakeServices();
  await run(fake, fixture.layout([named(index, "a:1")]));
  const labels = (digest: string) => fake.blobs.get(digest)?.labels ?? {};
  const manifest = JSON.parse(String(fixture.blobs.get(image.digest))) as {
    config: FixtureDescriptor;
    layers: FixtureDescriptor[];
  };
  assert.deepEqual(labels(index.digest), { "containerd.io/gc.ref.content.m.0": image.digest });
  assert.deepEqual(labels(image.digest), {
    "containerd.io/gc.ref.content.config": manifest.config.digest,
    "containerd.io/gc.ref.content.l.0": manifest.layers[0]?.digest,
    "containerd.io/gc.ref.content.l.1": manifest.layers[1]?.digest,
  });
  const top = [...fake.snapshots.keys()].at(-1);
  assert.deepEqual(labels(manifest.config.digest), { "containerd.io/gc.ref.snapshot.overlayfs": top });
  const [lower, upper] = fake.applied;
  assert.equal(top, digestOf(`${lower} ${upper}`));
  assert.equal(labels(manifest.layers[1]?.digest ?? "")["containerd.io/uncompressed"], upper);
});

test("the same archive twice is no error, and unpacks nothing twice", async () => {
  const fixture = new ImageFixture();
  const tar = fixture.layout([named(fixture.image(["one", "two"]), "a:1")]);
  const fake = new FakeServices();
  await run(fake, tar);
  await run(fake, tar, { labels: { again: "yes" } });
  assert.equal(fake.applied.length, 2);
  assert.equal(fake.images.get("a:1")?.labels.again, "yes");
});

test("of several platforms the wanted ones are needed, the others may be missing", async () => {
  const fixture = new ImageFixture();
  const own = { ...fixture.image(["x"]), platform: { os: "linux", architecture: "amd64" } };
  const other = {
    ...fixture.image(["y"], { os: "linux", architecture: "s390x" }),
    platform: { os: "linux", architecture: "s390x" },
  };
  const index = named(fixture.index([other, own]), "multi:1");
  const tar = fixture.layout([index], [other.digest]);
  const fake = new FakeServices();
  const [image] = await run(fake, tar, { platforms: [AMD64] });
  assert.equal(image?.target.digest, index.digest);
  assert.equal(fake.applied.length, 1);
  await run(new FakeServices(), tar);
  const riscv = { ...AMD64, architecture: "riscv64" };
  await refuses(tar, Code.NotFound, /no image for linux\/riscv64/, { platforms: [riscv] });
});

test("a single image is taken whatever it is for; an index without the platform gets its name, if something else fits", async () => {
  const fixture = new ImageFixture();
  const s390x = { os: "linux", architecture: "s390x" };
  const foreign = { ...fixture.image(["y"], s390x), platform: s390x };
  const index = named(fixture.index([foreign]), "index:1");
  const single = named(fixture.image(["z"], s390x), "single:1");
  const fake = new FakeServices();
  await run(fake, fixture.layout([index, single]), { platforms: [AMD64] });
  assert.deepEqual([...fake.images.keys()], ["index:1", "single:1"]);
  assert.equal(fake.applied.length, 1);
  assert.deepEqual(fake.blobs.get(foreign.digest)?.labels, {});
  await refuses(fixture.layout([index]), Code.NotFound, /no image for linux\/amd64/, { platforms: [AMD64] });
});

test("an attestation keeps what it names, and is not unpacked", async () => {
  const fixture = new ImageFixture();
  const own = { ...fixture.image(["x"]), platform: { os: "linux", architecture: "amd64" } };
  const config = fixture.blob("application/vnd.oci.empty.v1+json", "{}");
  const statement = fixture.blob("application/vnd.in-toto+json", '{"a":1}');
  const platform = { os: "unknown", architecture: "unknown" };
  const attestation = { ...fixture.document(OCI.manifest, { config, layers: [statement] }), platform };
  const fake = new FakeServices();
  await run(fake, fixture.layout([named(fixture.index([own, attestation]), "a:1")]));
  assert.deepEqual(fake.blobs.get(attestation.digest)?.labels, {
    "containerd.io/gc.ref.content.0": config.digest,
    "containerd.io/gc.ref.content.1": statement.digest,
  });
  assert.equal(fake.applied.length, 1);
});

test("names: full ones, prefixed tags, digests, the index", async () => {
  const fixture = new ImageFixture();
  const one = fixture.image(["1"]);
  const tagged = { ...fixture.image(["2"]), annotations: { "org.opencontainers.image.ref.name": "v2" } };
  const tar = fixture.layout([named(one, "reg/x:1"), tagged, fixture.image(["3"])]);
  const names = async (options: Partial<ImportRequest>) =>
    (await run(new FakeServices(), tar, options)).map(({ name }) => name);
  assert.deepEqual(await names({}), ["reg/x:1", "import:v2"]);
  assert.deepEqual(await names({ indexName: "all" }), ["all", "reg/x:1", "import:v2"]);
  assert.deepEqual(await names({ prefixes: [{ ...PREFIX, name: "base", allowAnyName: false }] }), ["base:v2"]);
  assert.deepEqual(await names({ prefixes: [{ ...PREFIX, name: "reg/x", allowAnyName: false }] }), [
    "reg/x:1",
    "reg/x:v2",
  ]);
  const digests = await names({ prefixes: [{ ...PREFIX, addDigest: true, skipNamedDigest: true }] });
  assert.deepEqual(digests.slice(0, 2), ["reg/x:1", "import:v2"]);
  assert.match(digests[2] ?? "", /^import@sha256:/);
});

function dockerSave(extra: Partial<Record<"RepoTags" | "Layers" | "Config", unknown>> = {}): FixtureEntry[] {
  const layer = makeTar([{ name: "file", content: "layer" }]);
  const upper = makeTar([{ name: "file", content: "upper" }]);
  const diffIds = [layer, upper, layer].map((tar) => digestOf(tar));
  const config = JSON.stringify({ os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids: diffIds } });
  const image = {
    Config: "c.json",
    RepoTags: ["busybox:1", "reg.example/b:2"],
    Layers: ["1/layer.tar", "2/layer.tar", "3/layer.tar"],
    ...extra,
  };
  return [
    { name: "1/layer.tar", content: layer },
    { name: "2/layer.tar", content: gzipSync(upper) },
    { name: "3/layer.tar", type: "2", linkName: "../1/layer.tar" },
    { name: "c.json", content: config },
    { name: "manifest.json", content: JSON.stringify([image]) },
    { name: "repositories", content: "{}" },
  ];
}

test("what docker save writes gets a manifest and an index, and its tags become full names", async () => {
  const fake = new FakeServices();
  const images = await run(fake, makeTar(dockerSave()));
  assert.deepEqual(
    images.map(({ name }) => name),
    ["docker.io/library/busybox:1", "reg.example/b:2"],
  );
  const manifest = JSON.parse(String(fake.blobs.get(images[0]?.target.digest ?? "")?.bytes)) as {
    layers: FixtureDescriptor[];
  };
  assert.deepEqual(
    manifest.layers.map(({ mediaType }) => mediaType.split(".").slice(-2).join(".")),
    ["diff.tar", "tar.gzip", "diff.tar"],
  );
  assert.equal(fake.applied.length, 3);
});

test("a plain layer of docker's is replaced by its compressed twin, or gets one on demand", async () => {
  const compressed = new FakeServices();
  const [first] = await run(compressed, makeTar(dockerSave()), { forceCompress: true });
  const again = new FakeServices();
  const twin = again.addBlob(gzipSync(makeTar([{ name: "file", content: "layer" }])), {
    "containerd.io/uncompressed": digestOf(makeTar([{ name: "file", content: "layer" }])),
  });
  const [second] = await run(again, makeTar(dockerSave()));
  assert.equal(first?.target.digest, second?.target.digest);
  assert.deepEqual(again.leased, [twin, twin]);
  const manifest = String(again.blobs.get(second?.target.digest ?? "")?.bytes);
  assert.ok(manifest.includes(twin) && manifest.includes("diff.tar.gzip"));
});

test("hostile archives end with the field and the reason, and leave nothing", async () => {
  const fixture = new ImageFixture();
  const image = fixture.image(["one"]);
  const [layer = ""] = fixture.blobs.keys();
  const layout = (manifests: FixtureDescriptor[], without?: string[]) => fixture.layout(manifests, without);
  await refuses(layout([named(image, "a:1")], [layer]), Code.NotFound, new RegExp(`${layer} of manifest.*not found`));
  await refuses(layout([named(image, "a:1")], [image.digest]), Code.NotFound, /manifest.*not found/);
  await refuses(layout([{ ...image, size: image.size + 1 }]), Code.DataLoss, /bytes in the store, the descriptor says/);
  await refuses(layout([{ ...image, digest: "sha256:abc" }]), Code.InvalidArgument, /manifests\[0\]\.digest/);
  await refuses(layout([{ ...image, size: -1 }]), Code.InvalidArgument, /manifests\[0\]\.size/);
  await refuses(layout([{ ...image, mediaType: OCI.index }]), Code.InvalidArgument, /mediaType.*in the document/);
  await refuses(
    layout([{ ...image, mediaType: "text/html" }]),
    Code.InvalidArgument,
    /neither an index nor a manifest/,
  );
  await refuses(layout([]), Code.InvalidArgument, /no image is in it/);
  const both = fixture.document(OCI.manifest, { manifests: [], config: image, layers: [] });
  await refuses(layout([both]), Code.InvalidArgument, /manifests: not in a manifest/);
  const huge = { ...image, size: 9 << 20 };
  await refuses(layout([huge]), Code.ResourceExhausted, /bytes; 8388608 at most/);
  let deep = fixture.index([image]);
  for (let depth = 0; depth < 5; depth++) deep = fixture.index([deep]);
  await refuses(layout([deep]), Code.InvalidArgument, /nested more than 4 deep/);
  const many = fixture.index(Array.from({ length: 2001 }, () => image));
  await refuses(layout([many]), Code.InvalidArgument, /2001 of them/);

  const lie = makeTar([{ name: `blobs/sha256/${"a".repeat(64)}`, content: "other" }]);
  await refuses(lie, Code.FailedPrecondition, /blobs\/sha256\/aa.*is not what its descriptor says/);
  await refuses(makeTar([{ name: "x", content: "y" }]), Code.InvalidArgument, /neither index\.json/);
  await refuses(Buffer.from("no tar at all".repeat(100)), Code.InvalidArgument, /image archive: tar/);
  await refuses(layout([image]).subarray(0, 3000), Code.InvalidArgument, /cut short/);
  await refuses(gzipSync(layout([image])).subarray(0, 900), Code.InvalidArgument, /image archive: gzip/);
  await refuses(makeTar([{ name: "oci-layout", content: '{"imageLayoutVersion":"9"}' }]), Code.InvalidArgument, /"9"/);
  const cases: [object, RegExp][] = [
    [{ Layers: ["../../etc/passwd"] }, /Layers\[0\]: "\.\.\/\.\.\/etc\/passwd" is not in the archive/],
    [{ Layers: [5] }, /\[0\]\.Layers\[0\]: not a string/],
    [{ Config: "none.json" }, /\[0\]\.Config: "none\.json"/],
    [{ RepoTags: ["UP/per"] }, /image reference "UP\/per"/],
    [{ RepoTags: "x" }, /RepoTags: not a list/],
  ];
  for (const [extra, message] of cases) {
    await refuses(makeTar(dockerSave(extra)), Code.InvalidArgument, message);
  }
});

test("a layer that is not what the config says is not committed", async () => {
  const fixture = new ImageFixture();
  const layer = fixture.blob(OCI.layer, makeTar([{ name: "evil" }]));
  const config = fixture.document(OCI.config, {
    os: "linux",
    architecture: "amd64",
    rootfs: { diff_ids: [digestOf("good")] },
  });
  const image = fixture.document(OCI.manifest, { config, layers: [layer] });
  const fake = new FakeServices();
  await assert.rejects(run(fake, fixture.layout([named(image, "a:1")])), {
    code: Code.FailedPrecondition,
    message: /wrong diff id/,
  });
  assert.equal(fake.snapshots.size, 0);
  const short = fixture.document(OCI.manifest, { config, layers: [layer, layer] });
  await assert.rejects(run(fake, fixture.layout([named(short, "a:1")])), /1 diff ids for 2 layers/);
});

test("an abort ends an import that waits for its stream", async () => {
  const fake = new FakeServices();
  const controller = new AbortController();
  const archive = (async function* () {
    yield makeTar([{ name: "a", content: "x".repeat(3000) }]).subarray(0, 2000);
    controller.abort();
    controller.signal.throwIfAborted();
  })();
  const request = { ...requestOf(Buffer.alloc(0)), archive };
  await assert.rejects(importArchive(fake.context(controller.signal), request), { name: "AbortError" });
});
