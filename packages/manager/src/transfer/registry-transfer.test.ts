import assert from "node:assert/strict";
import { test } from "node:test";
import { digestOf } from "../content/digest.ts";
import { Code } from "../errors/manager-error.ts";
import { parseReference } from "../registry/reference.ts";
import { Registry } from "../registry/registry.ts";
import { FakeRegistry } from "../testing/fake-registry.ts";
import { checkImage, imageUsage } from "./check-image.ts";
import type { Platform } from "./platform.ts";
import { type PullRequest, pullImage } from "./pull-image.ts";
import { pushImage } from "./push-image.ts";
import { getImage } from "./store-image.ts";
import { FakeServices } from "./testing/fake-services.ts";
import { type FixtureDescriptor, ImageFixture, OCI } from "./testing/image-fixture.ts";

const AMD64: Platform = { os: "linux", architecture: "amd64", variant: "", osVersion: "" };
const S390X = { os: "linux", architecture: "s390x" };
const PULL: PullRequest = {
  name: "img",
  labels: {},
  platforms: [AMD64],
  allMetadata: true,
  unpacks: [{ platform: AMD64, snapshotter: "overlayfs" }],
};

/** Put all of a fixture's blobs into a registry, and a tag on one. */
function publish(server: FakeRegistry, fixture: ImageFixture, root: FixtureDescriptor): void {
  for (const [digest, bytes] of fixture.blobs) {
    const isDocument = bytes[0] === 0x7b;
    const { mediaType } = isDocument ? (JSON.parse(String(bytes)) as { mediaType?: string }) : {};
    if (mediaType === undefined) server.blobs.set(digest, bytes);
    else server.manifests.set(digest, { type: mediaType, bytes });
  }
  const tagged = server.manifests.get(root.digest);
  if (tagged !== undefined) server.manifests.set("t", tagged);
}

async function open(server: FakeRegistry, name = "a/b:t", signal = new AbortController().signal): Promise<Registry> {
  const reference = parseReference(`${server.host}/${name}`);
  return Registry.open({ reference, signal, stallMs: 500, retry: { attempts: 2, backoffMs: 1 } });
}

function multi(): {
  fixture: ImageFixture;
  index: FixtureDescriptor;
  own: FixtureDescriptor;
  other: FixtureDescriptor;
} {
  const fixture = new ImageFixture();
  const own = {
    ...fixture.image(["one", "two", "three", "four", "five"]),
    platform: { os: "linux", architecture: "amd64" },
  };
  const other = { ...fixture.image(["y"], S390X), platform: S390X };
  return { fixture, index: fixture.index([other, own]), own, other };
}

test("pull: metadata of all platforms, layers of one, labels, an image, snapshots; a second pull fetches nothing", async () => {
  await using server = await FakeRegistry.open();
  const { fixture, index, own, other } = multi();
  publish(server, fixture, index);
  const fake = new FakeServices();
  using registry = await open(server);
  const image = await pullImage(fake.context(), registry, { ...PULL, labels: { a: "b" } });
  assert.equal(image.target.digest, index.digest);
  assert.deepEqual(fake.images.get("img")?.labels, { a: "b" });
  const otherLayers = (JSON.parse(String(fixture.blobs.get(other.digest))) as { layers: FixtureDescriptor[] }).layers;
  const missing = [...fixture.blobs.keys()].filter((digest) => !fake.blobs.has(digest));
  assert.deepEqual(missing, [otherLayers[0]?.digest]);
  for (const [digest, { labels }] of fake.blobs) {
    assert.equal(labels["containerd.io/distribution.source.127.0.0.1"], "a/b", digest);
  }
  assert.equal(fake.blobs.get(own.digest)?.labels["containerd.io/gc.ref.content.l.4"]?.length, 71);
  assert.equal(fake.applied.length, 5);
  const blobEvents = fake.progress.filter(({ name }) => name?.startsWith("layer-"));
  assert.ok(blobEvents.some(({ event, parents }) => event === "waiting" && parents?.[0] === `manifest-${own.digest}`));
  assert.ok(blobEvents.some(({ event, doneBytes, totalBytes }) => event === "complete" && doneBytes === totalBytes));
  assert.match(fake.progress.at(-1)?.event ?? "", /^Completed pull from OCI Registry \(127/);
  server.seen.length = 0;
  await pullImage(fake.context(), registry, PULL);
  assert.deepEqual(
    server.seen.map(({ method }) => method),
    ["HEAD"],
  );

  const status = await checkImage(fake.context(), image, "overlayfs", AMD64);
  assert.deepEqual(status, { isComplete: true, missing: [], isUnpacked: true });
  const elsewhere = await checkImage(fake.context(), image, "overlayfs", { ...AMD64, architecture: "s390x" });
  assert.deepEqual([elsewhere.isComplete, elsewhere.missing.length, elsewhere.isUnpacked], [false, 1, false]);
  const usage = await imageUsage(fake.context(), image, "overlayfs", AMD64);
  assert.equal(usage.snapshotBytes, 5 * 4096);
  assert.equal(
    usage.contentBytes,
    [...fake.blobs.values()].reduce((sum, { bytes }) => sum + bytes.length, 0),
  );
});

test("pull without the other platforms' metadata asks for one manifest", async () => {
  await using server = await FakeRegistry.open();
  const { fixture, index, other } = multi();
  publish(server, fixture, index);
  const fake = new FakeServices();
  using registry = await open(server);
  await pullImage(fake.context(), registry, { ...PULL, allMetadata: false });
  assert.ok(!fake.blobs.has(other.digest));
});

test("pull goes on with half a blob, and waits for another writer of it", async () => {
  await using server = await FakeRegistry.open();
  const { fixture, index } = multi();
  publish(server, fixture, index);
  const [layer = "", content = Buffer.alloc(0)] = [...fixture.blobs][0] ?? [];
  const fake = new FakeServices();
  fake.ingests.set(`layer-${layer}`, content.subarray(0, 100));
  fake.locked.add(`layer-${layer}`);
  setTimeout(() => fake.locked.clear(), 30);
  using registry = await open(server);
  await pullImage(fake.context(), registry, PULL);
  assert.equal(server.seen.find(({ path }) => path.endsWith(layer))?.headers.range, "bytes=100-");
  assert.equal(fake.ingests.size, 0);
});

test("pull: what a registry must not get away with", async () => {
  const cases: [string, (server: FakeRegistry, fixture: ImageFixture, layer: string) => void, number, RegExp][] = [
    [
      "other bytes of the right length",
      (server, _, layer) => server.blobs.set(layer, Buffer.alloc(server.blobs.get(layer)?.length ?? 0)),
      Code.FailedPrecondition,
      /layer sha256:.*is not what its descriptor says/,
    ],
    ["a missing layer", (server, _, layer) => server.blobs.delete(layer), Code.NotFound, /404/],
    [
      "another length",
      (server, _, layer) => server.blobs.set(layer, Buffer.alloc(5)),
      Code.DataLoss,
      /5 bytes instead of/,
    ],
  ];
  for (const [name, spoil, code, message] of cases) {
    await using server = await FakeRegistry.open();
    const { fixture, index } = multi();
    publish(server, fixture, index);
    const [layer = ""] = fixture.blobs.keys();
    spoil(server, fixture, layer);
    const fake = new FakeServices();
    using registry = await open(server);
    await assert.rejects(pullImage(fake.context(), registry, PULL), { code, message }, name);
    assert.equal(fake.images.size, 0, name);
    assert.ok(!fake.blobs.has(layer), name);
    if (code === Code.FailedPrecondition) assert.ok(!fake.ingests.has(`layer-${layer}`), "the next try starts clean");
  }
});

test("pull: documents that are no image", async () => {
  const pull = async (type: string, document: unknown, platforms: readonly Platform[] = []) => {
    await using server = await FakeRegistry.open();
    server.addManifest(type, document, "t");
    using registry = await open(server);
    await pullImage(new FakeServices().context(), registry, { ...PULL, platforms });
  };
  const v1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
  await assert.rejects(pull(v1, {}), {
    code: Code.InvalidArgument,
    message: /neither an index nor a manifest that we know/,
  });
  await assert.rejects(pull(OCI.manifest, { config: {}, layers: [] }), { message: /config\.mediaType: missing/ });
  await assert.rejects(pull(OCI.manifest, []), { message: /not an object/ });
  const child = { mediaType: OCI.manifest, digest: digestOf("x"), size: 9 << 20 };
  await assert.rejects(pull(OCI.index, { manifests: [child] }), { message: /8388608 at most/ });
  await assert.rejects(pull(OCI.index, { manifests: [{ ...child, size: 1 }] }), { code: Code.NotFound });
  await assert.rejects(pull(OCI.index, { manifests: [] }, [AMD64]), { message: /no image for linux\/amd64/ });
});

test("an abort in the middle of a pull ends it, and the half of a blob stays for the next one", async () => {
  await using server = await FakeRegistry.open();
  const { fixture, index } = multi();
  publish(server, fixture, index);
  const controller = new AbortController();
  const [layer = ""] = fixture.blobs.keys();
  server.intercept = (request) => {
    if (!request.url?.endsWith(layer)) return false;
    setImmediate(() => controller.abort());
    return true; // and never an answer
  };
  using registry = await open(server, "a/b:t", controller.signal);
  const fake = new FakeServices();
  await assert.rejects(pullImage(fake.context(controller.signal), registry, PULL));
  assert.equal(fake.images.size, 0);
});

test("push: blobs, manifests, the index, the tag last; a second one mounts or finds all; missing parts are found first", async () => {
  await using server = await FakeRegistry.open();
  const { fixture, index, own } = multi();
  const fake = new FakeServices();
  for (const bytes of fixture.blobs.values()) fake.addBlob(bytes);
  const context = fake.context();
  const target = {
    ...index,
    digest: digestOf(fixture.blobs.get(index.digest) ?? ""),
    annotations: {},
    platform: undefined,
  };
  const image = { name: "img", target };
  using registry = await open(server, "a/b:t");
  await pushImage(context, registry, image, []);
  for (const digest of fixture.blobs.keys()) assert.ok(server.blobs.has(digest) || server.manifests.has(digest));
  const puts = server.seen.filter(({ method, path }) => method === "PUT" && path.includes("/manifests/"));
  assert.equal(puts.at(-1)?.path, "/v2/a/b/manifests/t");
  assert.equal(digestOf(server.manifests.get("t")?.bytes ?? ""), index.digest);

  server.seen.length = 0;
  server.intercept = (request, response) => {
    if (request.method !== "HEAD" || !request.url?.includes("/blobs/")) return false;
    return response.writeHead(404).end().writableEnded; // the other repository does not have them yet
  };
  using other = await open(server, "c/d:t");
  await pushImage(context, other, image, [AMD64]);
  const posts = server.seen.filter(({ method }) => method === "POST");
  assert.ok(posts.length === 6 && posts.every(({ path }) => path.includes("&from=a%2Fb")));
  assert.equal(digestOf(server.manifests.get("t")?.bytes ?? ""), own.digest);

  const [layer = ""] = fixture.blobs.keys();
  fake.blobs.delete(layer);
  server.seen.length = 0;
  await assert.rejects(pushImage(context, registry, image, []), {
    code: Code.NotFound,
    message: /is not in the store/,
  });
  assert.equal(server.seen.length, 0);
  await assert.rejects(getImage(context, "nobody"), { code: Code.NotFound });
});
