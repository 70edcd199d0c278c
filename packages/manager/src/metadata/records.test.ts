import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { digestOf } from "../content/digest.ts";
import { Code } from "../errors/manager-error.ts";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { BlobRecords } from "./blobs.ts";
import { Database } from "./database.ts";
import { type ImageRecord, ImageRecords } from "./images.ts";
import { IngestRecords } from "./ingests.ts";
import { LeaseRecords, leaseResource } from "./leases.ts";
import { NamespaceRecords } from "./namespaces.ts";
import { SnapshotRecords } from "./snapshots.ts";

function open() {
  const directory = temporaryDirectory();
  const database = Database.open(join(directory.path, "meta.db"));
  const snapshots = new SnapshotRecords(database, "overlayfs");
  return {
    database,
    snapshots,
    prepare: (key: string, parent = "", kind: "active" | "view" = "active") =>
      snapshots.create("ns", snapshots.reserveId(), { key, parent, kind, labels: {}, createdAtNs: 1n }),
    commit: (key: string, name: string) =>
      snapshots.commit("ns", key, {
        name,
        labels: { n: name },
        usage: { sizeBytes: 5n, inodes: 2n },
        committedAtNs: 9n,
      }),
    [Symbol.dispose]: () => {
      database[Symbol.dispose]();
      directory[Symbol.dispose]();
    },
  };
}

const image = (name: string): ImageRecord => ({
  name,
  labels: { a: "1" },
  target: { mediaType: "m", digest: digestOf(name), sizeBytes: 2n ** 40n, annotations: { x: "y" } },
  createdAtNs: 1_700_000_000_123_456_789n,
  updatedAtNs: 2n,
});

test("lists come in bytewise order, per namespace", () => {
  using store = open();
  const images = new ImageRecords(store.database);
  for (const name of ["b", "é", "Z", "a", "\u{1f600}", "\uffee"]) images.create("ns", image(name));
  images.create("other", image("elsewhere"));
  assert.deepEqual(
    images.list("ns").map(({ name }) => name),
    ["Z", "a", "b", "é", "\uffee", "\u{1f600}"],
  );
  assert.deepEqual(images.get("ns", "b"), image("b"));
  assert.deepEqual(
    new NamespaceRecords(store.database).list().map(({ name }) => name),
    ["ns", "other"],
  );
});

test("an image is created once, replaced, and deleted only with the digest that is asked for", () => {
  using store = open();
  const images = new ImageRecords(store.database);
  images.create("ns", image("a"));
  assert.throws(() => images.create("ns", image("a")), {
    code: Code.AlreadyExists,
    message: 'image "a": already exists',
  });
  images.replace("ns", { ...image("a"), labels: {}, updatedAtNs: 7n });
  assert.deepEqual(images.get("ns", "a"), { ...image("a"), labels: {}, updatedAtNs: 7n });
  assert.throws(() => images.delete("ns", "a", digestOf("else")), { code: Code.NotFound });
  assert.throws(() => images.replace("other", image("a")), { code: Code.NotFound });
  images.delete("ns", "a", digestOf("a"));
  assert.throws(() => images.get("ns", "a"), { code: Code.NotFound, message: 'image "a": not found' });
});

test("what a call makes joins its lease, and goes from it when the lease is deleted", () => {
  using store = open();
  const leases = new LeaseRecords(store.database);
  const call = { namespace: "ns", lease: "l" };
  assert.throws(() => leaseResource(store.database, call, "content", "x"), {
    code: Code.NotFound,
    message: /lease does not exist/,
  });
  leases.create("ns", { id: "l", labels: {}, createdAtNs: 1n });
  leaseResource(store.database, call, "content", "x");
  leaseResource(store.database, call, "content", "x");
  leaseResource(store.database, { ...call, lease: undefined }, "content", "y");
  assert.deepEqual(leases.resources("ns", "l"), [{ type: "content", id: "x" }]);
  leases.delete("ns", "l");
  leases.create("ns", { id: "l", labels: {}, createdAtNs: 1n });
  assert.deepEqual(leases.resources("ns", "l"), []);
});

test("a namespace goes only when it is empty, and says what is left", () => {
  using store = open();
  const namespaces = new NamespaceRecords(store.database);
  const [images, blobs] = [new ImageRecords(store.database), new BlobRecords(store.database)];
  assert.throws(() => namespaces.delete("ns"), { code: Code.NotFound });
  const digest = digestOf("x");
  images.create("ns", image("a"));
  blobs.create("ns", { digest, sizeBytes: 1, labels: {}, createdAtNs: 1n, updatedAtNs: 1n });
  store.prepare("k");
  new LeaseRecords(store.database).create("ns", { id: "l", labels: {}, createdAtNs: 1n });
  const message = 'namespace "ns" must be empty, but it still has images, blobs, snapshots on "overlayfs" snapshotter';
  assert.throws(() => namespaces.delete("ns"), { code: Code.FailedPrecondition, message });
  images.delete("ns", "a");
  blobs.delete("ns", digest);
  store.snapshots.remove("ns", "k");
  namespaces.delete("ns");
  assert.deepEqual(namespaces.list(), []);
  assert.deepEqual(new LeaseRecords(store.database).list("ns"), []);
});

test("an ingest keeps its backend ref until it is gone, and no backend ref comes twice", () => {
  using store = open();
  const ingests = new IngestRecords(store.database);
  const fields = { ref: "r", expected: undefined, startedAtNs: 1n, expiresAtNs: 5n };
  const first = ingests.put("ns", fields);
  assert.match(first.backendRef, /^ns\/\d+\/r$/);
  assert.deepEqual(ingests.put("ns", { ...fields, startedAtNs: 2n, expected: digestOf("x") }), {
    ...first,
    expected: digestOf("x"),
  });
  const other = ingests.put("other", fields);
  assert.deepEqual(ingests.delete("ns", "r"), { ...first, expected: digestOf("x") });
  assert.equal(ingests.delete("ns", "r"), undefined);
  const again = ingests.put("ns", fields);
  assert.equal(new Set([first.backendRef, other.backendRef, again.backendRef]).size, 3);
  assert.deepEqual(ingests.backendRefs().sort(), [again.backendRef, other.backendRef].sort());
});

test("snapshots: one space of names, parents committed, children before parents", () => {
  using store = open();
  const { snapshots, prepare, commit } = store;
  const base = prepare("base");
  assert.throws(() => prepare("base"), { code: Code.AlreadyExists });
  assert.throws(() => prepare("x", "base"), { code: Code.InvalidArgument });
  assert.throws(() => prepare("x", "none"), {
    code: Code.NotFound,
    message: "parent snapshot none does not exist: not found",
  });
  const committed = commit("base", "chain1");
  assert.deepEqual(committed, snapshots.get("ns", "chain1"));
  assert.equal(committed.id, base.id);
  assert.deepEqual(
    [committed.labels, committed.createdAtNs, committed.usage],
    [{ n: "chain1" }, 9n, { sizeBytes: 5n, inodes: 2n }],
  );
  assert.throws(() => snapshots.get("ns", "base"), {
    code: Code.NotFound,
    message: "snapshot base does not exist: not found",
  });
  prepare("up", "chain1");
  assert.throws(() => commit("up", "chain1"), { code: Code.AlreadyExists });
  commit("up", "chain2");
  prepare("view", "chain2", "view");
  assert.throws(() => commit("view", "y"), { code: Code.FailedPrecondition });
  assert.deepEqual(
    snapshots.parents("ns", "view").map(({ key }) => key),
    ["chain2", "chain1"],
  );
  assert.throws(() => snapshots.remove("ns", "chain1"), {
    code: Code.FailedPrecondition,
    message: "cannot remove snapshot with child",
  });
  assert.equal(snapshots.ids().length, 3);
  for (const key of ["view", "chain2", "chain1"]) snapshots.remove("ns", key);
  assert.deepEqual(snapshots.ids(), []);
  assert.equal(prepare("new").id, "7", "ids of directories that were never made are not given again either");
});
