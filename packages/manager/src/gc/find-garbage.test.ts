import assert from "node:assert/strict";
import { test } from "node:test";
import { formatRfc3339 } from "../content/rfc3339.ts";
import { findGarbage } from "./find-garbage.ts";
import type { StoredObjects } from "./stored-objects.ts";

const NOW_NS = 1_000_000_000_000n;
const PAST = { "containerd.io/gc.expire": formatRfc3339(NOW_NS - 1n) };
const FUTURE = { "containerd.io/gc.expire": formatRfc3339(NOW_NS + 1n) };
const NOTHING: StoredObjects = {
  leases: [],
  images: [],
  containers: [],
  sandboxes: [],
  blobs: [],
  ingests: [],
  snapshots: [],
};
const ref = (label: string, value: string) => ({ [`containerd.io/gc.ref.${label}`]: value });
const blob = (digest: string, labels = {}) => ({ digest, labels });
const snapshot = (key: string, parent = "", labels = {}) => ({ snapshotter: "s", key, parent, labels });
const image = (name: string, targetDigest: string, labels = {}) => ({ name, targetDigest, labels });

function collect(objects: Partial<StoredObjects>): string[] {
  const { leases, images, blobs, ingests, snapshots } = findGarbage({ ...NOTHING, ...objects }, NOW_NS);
  return [...leases, ...images, ...blobs, ...ingests, ...snapshots.map(({ key }) => key)];
}

const IMAGE = {
  images: [image("i", "index")],
  blobs: [
    blob("index", ref("content.m.0", "manifest")),
    blob("manifest", { ...ref("content.config", "config"), ...ref("content.l.0", "layer") }),
    blob("config", ref("snapshot.s", "top")),
    blob("layer"),
  ],
  snapshots: [snapshot("base"), snapshot("top", "base")],
};

test("an image keeps its tree and its snapshots, and without it all go, children first", () => {
  assert.deepEqual(collect(IMAGE), []);
  const all = ["index", "manifest", "config", "layer", "top", "base"];
  assert.deepEqual(collect({ ...IMAGE, images: [] }), all);
  assert.deepEqual(collect({ ...IMAGE, images: [image("i", "index", PAST)] }), ["i", ...all]);
  assert.deepEqual(collect({ ...IMAGE, images: [image("i", "index", FUTURE)] }), []);
  assert.deepEqual(collect({ images: [image("i", "not there")] }), []);
});

test("a container keeps its snapshot, the parents, and what its labels name", () => {
  const container = { id: "c", labels: ref("content.x", "layer"), snapshotter: "s", snapshotKey: "active" };
  const snapshots = [...IMAGE.snapshots, snapshot("active", "top"), snapshot("other", "top")];
  assert.deepEqual(collect({ ...IMAGE, images: [], snapshots, containers: [container] }), [
    "index",
    "manifest",
    "config",
    "other",
  ]);
});

test("a sandbox keeps what its labels name", () => {
  const sandboxes = [{ labels: ref("snapshot.s", "top") }];
  assert.deepEqual(collect({ ...IMAGE, images: [], sandboxes }), ["index", "manifest", "config", "layer"]);
});

test("a lease keeps its resources and what they refer to, until it expires; a flat one only them and parents", () => {
  const resources = [
    { type: "content", id: "manifest" },
    { type: "snapshots/s", id: "top" },
    { type: "ingests", id: "r" },
    { type: "images", id: "i" },
    { type: "unheard-of", id: "x" },
  ];
  const objects = {
    blobs: [...IMAGE.blobs, blob("expected"), blob("of-image")],
    images: [image("i", "of-image", PAST)],
    snapshots: IMAGE.snapshots,
    ingests: [{ ref: "r", expected: "expected", expiresAtNs: undefined, open: false }],
  };
  assert.deepEqual(collect({ ...objects, leases: [{ id: "l", labels: {}, resources }] }), ["index"]);
  assert.deepEqual(
    collect({ ...objects, leases: [{ id: "l", labels: { "containerd.io/gc.flat": "1" }, resources }] }),
    ["index", "config", "layer", "expected", "of-image"],
  );
  const gone = collect({ ...objects, leases: [{ id: "l", labels: PAST, resources }] });
  assert.deepEqual(gone, [
    "l",
    "i",
    "index",
    "manifest",
    "config",
    "layer",
    "expected",
    "of-image",
    "r",
    "top",
    "base",
  ]);
  const labels = { ...FUTURE, ...ref("snapshot.s/x", "top"), ...ref("image", "i") };
  assert.deepEqual(collect({ ...objects, leases: [{ id: "l", labels, resources: [] }] }), [
    "index",
    "manifest",
    "config",
    "layer",
    "expected",
    "r",
  ]);
});

test("what a flat lease holds can still be held fully by others", () => {
  const flat = { id: "f", labels: { "containerd.io/gc.flat": "1" }, resources: [{ type: "content", id: "manifest" }] };
  const full = { id: "l", labels: {}, resources: [{ type: "content", id: "manifest" }] };
  for (const leases of [
    [flat, full],
    [full, flat],
  ])
    assert.deepEqual(collect({ ...IMAGE, images: [], leases }), ["index"]);
});

test("roots by label, ingests by their time or by being written", () => {
  const root = { "containerd.io/gc.root": "x" };
  const ingest = (name: string, expiresAtNs: bigint | undefined, open = false) => ({
    ref: name,
    expected: name,
    expiresAtNs,
    open,
  });
  assert.deepEqual(
    collect({
      blobs: [
        blob("root", { ...root, ...ref("content.1", "kept") }),
        blob("kept"),
        blob("live"),
        blob("old"),
        blob("open"),
      ],
      ingests: [
        ingest("live", NOW_NS + 1n),
        ingest("old", NOW_NS),
        ingest("open", undefined, true),
        ingest("free", undefined),
      ],
      snapshots: [snapshot("a", "", root), snapshot("b", "a"), snapshot("c", "b", root), snapshot("d")],
    }),
    ["old", "old", "free", "d"],
  );
});

test("cycles end", () => {
  assert.deepEqual(collect({ blobs: [blob("a", ref("content", "b")), blob("b", ref("content", "a"))] }), ["a", "b"]);
  assert.deepEqual(collect({ snapshots: [snapshot("a", "b"), snapshot("b", "a")] }).sort(), ["a", "b"]);
});
