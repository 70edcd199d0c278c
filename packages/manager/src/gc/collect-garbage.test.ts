import assert from "node:assert/strict";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { containerd } from "@trimaran/proto";
import { type Digest, digestOf, hexOf } from "../content/digest.ts";
import { formatRfc3339 } from "../content/rfc3339.ts";
import { Code } from "../errors/manager-error.ts";
import { ContainerRecords } from "../metadata/containers.ts";
import { ImageRecords } from "../metadata/images.ts";
import type { Labels } from "../metadata/labels.ts";
import { LeaseRecords } from "../metadata/leases.ts";
import { SnapshotRecords } from "../metadata/snapshots.ts";
import { openTestContent, type TestContent } from "../testing/test-content.ts";
import { collectGarbage } from "./collect-garbage.ts";
import type { CollectorHost } from "./collector-host.ts";
import type { SnapshotterDriver } from "./snapshotter-driver.ts";

const { COMMIT, WRITE } = containerd.services.content.v1.WriteAction;
const DAY_NS = 86_400_000_000_000n;

/** Snapshot directories without anything in them. */
class EmptyDirectories implements SnapshotterDriver {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
    mkdirSync(folder);
  }

  ids(): Promise<string[]> {
    return readdir(this.folder);
  }

  remove(id: string): Promise<void> {
    return rm(join(this.folder, id), { recursive: true });
  }
}

/** A store to collect in, with a clock that the test moves. */
class Store {
  readonly content: TestContent;
  readonly host: CollectorHost;
  readonly images: ImageRecords;
  readonly leases: LeaseRecords;
  readonly snapshots: SnapshotRecords;
  readonly directories: EmptyDirectories;
  aheadNs = 0n;

  constructor(content: TestContent) {
    const { database } = content;
    this.content = content;
    this.images = new ImageRecords(database);
    this.leases = new LeaseRecords(database);
    this.snapshots = new SnapshotRecords(database, "overlayfs");
    this.directories = new EmptyDirectories(join(content.root, "snapshots"));
    const snapshotters = new Map([["overlayfs", { records: this.snapshots, directories: this.directories }]]);
    this.host = { ...content.host, database, snapshotters, nowNs: () => content.host.nowNs() + this.aheadNs };
  }

  static async open(t: TestContext): Promise<Store> {
    const content = await openTestContent();
    t.after(() => content[Symbol.asyncDispose]());
    return new Store(content);
  }

  collect(): Promise<void> {
    return collectGarbage(this.host);
  }

  async blob(text: string, labels: Labels = {}, lease?: string, namespace = "default"): Promise<Digest> {
    async function* requests() {
      yield { action: COMMIT, ref: text, data: Buffer.from(text), labels };
    }
    for await (const _ of this.content.client(namespace).write(requests(), { lease }));
    return digestOf(text);
  }

  image(name: string, digest: string, labels: Labels = {}): void {
    const target = { mediaType: "m", digest, sizeBytes: 1n, annotations: {} };
    this.images.create("default", { name, labels, target, createdAtNs: 0n, updatedAtNs: 0n });
  }

  snapshot(key: string, parent = "", labels: Labels = {}): void {
    const id = this.snapshots.reserveId();
    mkdirSync(join(this.directories.folder, id));
    this.snapshots.create("default", id, { key: `${key} active`, parent, labels: {}, kind: "active", createdAtNs: 0n });
    const usage = { sizeBytes: 0n, inodes: 0n };
    this.snapshots.commit("default", `${key} active`, { name: key, labels, usage, committedAtNs: 0n });
  }

  lease(id: string, labels: Labels = {}): void {
    this.leases.create("default", { id, labels, createdAtNs: 0n });
  }

  container(id: string, snapshotKey: string): void {
    const record = { ...containerd.services.containers.v1.Container.decode(Buffer.alloc(0)), id, snapshotKey };
    new ContainerRecords(this.content.database).create("default", { ...record, snapshotter: "overlayfs" });
  }

  /** Everything that is left, on record and on disk; fails if the two differ. */
  left(): { blobs: string[]; snapshots: string[] } {
    const blobs = this.content.host.catalog.blobs.list("default").map(({ digest }) => digest);
    const snapshots = this.snapshots.list("default");
    assert.deepEqual(readdirSync(join(this.content.root, "blobs/sha256")).sort(), blobs.map(hexOf));
    assert.deepEqual(readdirSync(this.directories.folder).sort(), snapshots.map(({ id }) => id).sort());
    return { blobs, snapshots: snapshots.map(({ key }) => key) };
  }
}

/** What a pull of an image of one layer leaves, less the image. */
async function pull(store: Store): Promise<Digest> {
  const layer = await store.blob("layer");
  store.snapshot("base");
  store.snapshot("top", "base");
  const config = await store.blob("config", { "containerd.io/gc.ref.snapshot.overlayfs": "top" });
  return await store.blob("manifest", {
    "containerd.io/gc.ref.content.config": config,
    "containerd.io/gc.ref.content.l.0": layer,
  });
}

test("the last reference takes manifest, config, layers and snapshots with it, and says so as containerd does", async (t) => {
  const store = await Store.open(t);
  store.image("i", await pull(store));
  await store.collect();
  assert.deepEqual([store.left().blobs.length, store.left().snapshots.length], [3, 2]);
  store.images.delete("default", "i");
  await store.collect();
  assert.deepEqual(store.left(), { blobs: [], snapshots: [] });
  const events = store.content.topics().filter((topic) => !topic.endsWith("/content/create"));
  assert.deepEqual(events, ["default /snapshot/remove", "default /snapshot/remove"]);
});

test("an image that has expired goes with all that it kept", async (t) => {
  const store = await Store.open(t);
  const expire = formatRfc3339(store.host.nowNs() + DAY_NS);
  store.image("i", await pull(store), { "containerd.io/gc.expire": expire });
  await store.collect();
  assert.equal(store.left().blobs.length, 3);
  store.aheadNs = DAY_NS;
  await store.collect();
  assert.deepEqual(store.left(), { blobs: [], snapshots: [] });
  assert.deepEqual(store.images.list("default"), []);
  assert.ok(store.content.topics().includes("default /images/delete"));
});

test("a container's snapshot and its parents survive the image", async (t) => {
  const store = await Store.open(t);
  await pull(store);
  store.snapshot("rw", "top");
  store.container("c", "rw");
  await store.collect();
  assert.deepEqual(store.left(), { blobs: [], snapshots: ["base", "rw", "top"] });
});

test("what a lease made or met lives until the lease is deleted or has expired", async (t) => {
  const store = await Store.open(t);
  store.lease("one");
  store.lease("two", { "containerd.io/gc.expire": formatRfc3339(store.host.nowNs() + DAY_NS) });
  const digest = await store.blob("a", {}, "one");
  await assert.rejects(store.blob("a", {}, "two"), { code: Code.AlreadyExists });
  for (const _ of "twice") await store.collect();
  store.leases.delete("default", "one");
  await store.collect();
  assert.deepEqual(store.left().blobs, [digest]);
  store.aheadNs = DAY_NS;
  await store.collect();
  assert.deepEqual(store.left().blobs, []);
  assert.deepEqual(store.leases.list("default"), [], "an expired lease is garbage itself");
});

test("a root label keeps a snapshot, a label on a config keeps a chain", async (t) => {
  const store = await Store.open(t);
  store.snapshot("a");
  store.snapshot("b", "a", { "containerd.io/gc.root": "now" });
  store.snapshot("c", "a");
  store.snapshot("d");
  const config = await store.blob("config", {
    "containerd.io/gc.root": "now",
    "containerd.io/gc.ref.snapshot.overlayfs": "c",
  });
  await store.collect();
  assert.deepEqual(store.left(), { blobs: [config], snapshots: ["a", "b", "c"] });
});

test("bytes stay as long as one namespace has them on record, or an ingest began with them", async (t) => {
  const store = await Store.open(t);
  const kept = { "containerd.io/gc.root": "1" };
  const digest = await store.blob("a", kept, undefined, "one");
  await store.blob("a", kept, undefined, "two");
  const path = join(store.content.root, "blobs/sha256");
  await store.content.client("one").delete({ digest });
  await store.collect();
  assert.deepEqual(readdirSync(path), [hexOf(digest)]);
  async function* share() {
    yield { ref: "r", expected: digest };
  }
  for await (const { offset } of store.content.client("three").write(share())) assert.equal(offset, 1n);
  await store.content.client("two").delete({ digest });
  await store.collect();
  assert.deepEqual(readdirSync(path), [hexOf(digest)]);
  store.aheadNs = DAY_NS;
  await store.collect();
  assert.deepEqual(readdirSync(path), []);
});

test("an ingest goes after a day, unless a lease holds it or somebody writes", async (t) => {
  const store = await Store.open(t);
  store.lease("l");
  const client = store.content.client();
  const begin = (ref: string, lease?: string) => {
    const waits = Promise.withResolvers<void>();
    async function* requests() {
      yield { action: WRITE, ref, data: Buffer.from("x") };
      await waits.promise;
    }
    const answers = client.write(requests(), { lease })[Symbol.asyncIterator]();
    const end = () => {
      waits.resolve();
      return answers.next();
    };
    return { first: answers.next(), end };
  };
  const [old, leased, open] = [begin("old"), begin("leased", "l"), begin("open")];
  await Promise.all([old.first, leased.first, open.first]);
  await Promise.all([old.end(), leased.end()]);
  const refs = async () => (await client.listStatuses({})).statuses.map(({ ref }) => ref);
  await store.collect();
  assert.deepEqual(await refs(), ["leased", "old", "open"]);
  store.aheadNs = DAY_NS + 1_000_000_000n;
  await store.collect();
  assert.deepEqual(await refs(), ["leased", "open"]);
  assert.equal(readdirSync(join(store.content.root, "ingest")).length, 2);
  await open.end();
  store.leases.delete("default", "l");
  await store.collect();
  assert.deepEqual(await refs(), []);
  assert.deepEqual(readdirSync(join(store.content.root, "ingest")), []);
});

test("what a crash left on disk goes, and a directory that cannot go does not keep the rest", async (t) => {
  const store = await Store.open(t);
  const digest = await store.blob("kept", { "containerd.io/gc.root": "1" });
  const { root } = store.content;
  writeFileSync(join(root, "blobs/sha256", hexOf(digestOf("left"))), "left");
  mkdirSync(join(root, "ingest", "0".repeat(64)));
  mkdirSync(join(store.directories.folder, "7"));
  await store.collect();
  assert.deepEqual(store.left(), { blobs: [digest], snapshots: [] });
  assert.deepEqual(readdirSync(join(root, "ingest")), []);

  const directories: SnapshotterDriver = {
    ids: async () => ["8", "9"],
    remove: async (id) => {
      throw new Error(`${id} is busy`);
    },
  };
  const stuck = { records: new SnapshotRecords(store.content.database, "stuck"), directories };
  const snapshotters = new Map([["stuck", stuck], ...store.host.snapshotters]);
  mkdirSync(join(store.directories.folder, "9"));
  await assert.rejects(collectGarbage({ ...store.host, snapshotters }), { message: "8 is busy; 9 is busy" });
  assert.deepEqual(readdirSync(store.directories.folder), []);
});

test("collections at every moment of many writes lose nothing that is leased, and leave nothing else", async (t) => {
  const store = await Store.open(t);
  store.lease("l");
  const state = { writing: true };
  const collecting = (async () => {
    for (; state.writing; await new Promise((resolve) => setImmediate(resolve))) await store.collect();
  })();
  const texts = Array.from({ length: 60 }, (_, index) => `blob ${index}`);
  const write = async (text: string) => {
    await store.blob(`${text} unleased`);
    await store.blob(text, {}, "l");
    // The same bytes from elsewhere, now and then while they are being swept there.
    await store
      .blob(`${text} unleased`, {}, undefined, "elsewhere")
      .catch((error: unknown) => assert.fail(String(error)));
  };
  for (let start = 0; start < texts.length; start += 4) await Promise.all(texts.slice(start, start + 4).map(write));
  state.writing = false;
  await collecting;
  await store.collect();
  assert.deepEqual(store.left().blobs, texts.map((text) => digestOf(text)).sort());
});
