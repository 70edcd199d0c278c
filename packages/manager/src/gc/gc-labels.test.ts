import assert from "node:assert/strict";
import { test } from "node:test";
import { isExpired, isFlat, isGcRoot, labelReferences } from "./gc-labels.ts";

test("gc.ref labels name blobs, snapshots and images, whatever follows the prefix", () => {
  const labels = {
    "containerd.io/gc.ref.content": "a",
    "containerd.io/gc.ref.content.l.0": "b",
    "containerd.io/gc.ref.content/x": "c",
    "containerd.io/gc.ref.contents": "no",
    "containerd.io/gc.ref.snapshot.overlayfs": "d",
    "containerd.io/gc.ref.snapshot.native/1": "e",
    "containerd.io/gc.ref.snapshot.": "no",
    "containerd.io/gc.ref.snapshot": "no",
    "containerd.io/gc.ref.image.base": "f",
    "containerd.io/gc.refs": "no",
    other: "no",
  };
  assert.deepEqual(labelReferences(labels), [
    { kind: "content", digest: "a" },
    { kind: "content", digest: "b" },
    { kind: "content", digest: "c" },
    { kind: "snapshot", snapshotter: "overlayfs", key: "d" },
    { kind: "snapshot", snapshotter: "native", key: "e" },
    { kind: "image", name: "f" },
  ]);
});

test("an object expires at its time, not before, and never at one that cannot be read", () => {
  const expire = (text: string) => ({ "containerd.io/gc.expire": text });
  assert.equal(isExpired(expire("1970-01-01T00:00:01Z"), 999_999_999n), false);
  assert.equal(isExpired(expire("1970-01-01T00:00:01Z"), 1_000_000_000n), true);
  assert.equal(isExpired(expire("soon"), 1n << 62n), false);
  assert.equal(isExpired({}, 1n << 62n), false);
});

test("root and flat are labels of any value", () => {
  assert.deepEqual([isGcRoot({}), isGcRoot({ "containerd.io/gc.root": "false" })], [false, true]);
  assert.deepEqual([isFlat({}), isFlat({ "containerd.io/gc.flat": "x" })], [false, true]);
});
