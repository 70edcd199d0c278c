import assert from "node:assert/strict";
import { test } from "node:test";
import { formatRfc3339 } from "../content/rfc3339.ts";
import { findGarbage } from "./find-garbage.ts";
import type { StoredLease, StoredObjects } from "./stored-objects.ts";

const ROUNDS = 2000;
const NOW_NS = 10_000_000_000n;
const NAMES = ["a", "b", "c", "d", "e", "f", "missing"];

/** A number below `limit`, the same ones for the same seed (xorshift32). */
function randomNumbers(seed: number): (limit: number) => number {
  let state = seed * 2654435761 + 1;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}

function randomObjects(below: (limit: number) => number): StoredObjects {
  const pick = <T>(from: readonly T[]): T => from[below(from.length)] as T;
  const some = <T>(make: (name: string) => T): T[] => NAMES.slice(0, below(NAMES.length)).map(make);
  const labels = (): Record<string, string> => {
    const made: Record<string, string> = {};
    for (let count = below(3); count > 0; count--) {
      const kind = pick([
        "content",
        "content.x",
        "content/y",
        "snapshot.s",
        "snapshot.t/z",
        "image",
        "image.q",
        "nothing",
      ]);
      made[`containerd.io/gc.ref.${kind}`] = pick(NAMES);
    }
    if (below(6) === 0) made["containerd.io/gc.root"] = "1";
    if (below(4) === 0)
      made["containerd.io/gc.expire"] = pick([formatRfc3339(NOW_NS), formatRfc3339(NOW_NS + 1n), "never"]);
    if (below(3) === 0) made["containerd.io/gc.flat"] = "1";
    return made;
  };
  const resource = () => ({
    type: pick(["content", "ingests", "images", "snapshots/s", "snapshots/t"]),
    id: pick(NAMES),
  });
  const snapshots = ["s", "t"].flatMap((snapshotter) =>
    some((key) => key).map((key, index, keys) => {
      const parent = index > 0 && below(2) === 0 ? (keys[below(index)] ?? "") : "";
      return { snapshotter, key, parent, labels: labels() };
    }),
  );
  return {
    leases: some((id) => ({ id, labels: labels(), resources: Array.from({ length: below(4) }, resource) })).slice(
      0,
      below(3),
    ),
    images: some((name) => ({ name, labels: labels(), targetDigest: pick(NAMES) })).slice(0, below(3)),
    containers: some((id) => ({
      id,
      labels: labels(),
      snapshotter: pick(["s", "t"]),
      snapshotKey: pick(["", ...NAMES]),
    })).slice(0, below(3)),
    sandboxes: some(() => ({ labels: labels() })).slice(0, below(2)),
    blobs: some((digest) => ({ digest, labels: labels() })),
    ingests: some((ref) => ({
      ref,
      expected: pick([undefined, ...NAMES]),
      expiresAtNs: pick([undefined, undefined, NOW_NS, NOW_NS + 1n]),
      open: below(8) === 0,
    })),
    snapshots: snapshots.sort(() => below(3) - 1),
  };
}

type Labels = Readonly<Record<string, string>>;

/** The rules said another way: pairs "who keeps whom", and then all that can be said until nothing new comes. */
function modelKept(objects: StoredObjects): Set<string> {
  const kept = new Set<string>();
  const keeps: [string, string][] = [];
  const named = (labels: Labels): string[] =>
    Object.entries(labels).flatMap(([label, value]) => {
      const [, what = ""] = /^containerd\.io\/gc\.ref\.(content|image|snapshot\.[st])(?:$|[./])/.exec(label) ?? [];
      return what === "" ? [] : [`${what.replace("snapshot.", "")}:${value}`];
    });
  const expired = (labels: Labels): boolean => labels["containerd.io/gc.expire"] === formatRfc3339(NOW_NS);
  const parents: [string, string][] = objects.snapshots.map((each) => [
    `${each.snapshotter}:${each.key}`,
    `${each.snapshotter}:${each.parent}`,
  ]);
  for (const each of objects.blobs)
    for (const other of named(each.labels)) keeps.push([`content:${each.digest}`, other]);
  for (const each of objects.snapshots)
    for (const other of named(each.labels)) keeps.push([`${each.snapshotter}:${each.key}`, other]);
  for (const each of objects.images)
    for (const other of [...named(each.labels), `content:${each.targetDigest}`])
      keeps.push([`image:${each.name}`, other]);
  for (const each of objects.ingests) keeps.push([`ingest:${each.ref}`, `content:${each.expected}`]);

  for (const each of objects.images) if (!expired(each.labels)) kept.add(`image:${each.name}`);
  for (const each of objects.blobs) if ("containerd.io/gc.root" in each.labels) kept.add(`content:${each.digest}`);
  for (const each of objects.snapshots)
    if ("containerd.io/gc.root" in each.labels) kept.add(`${each.snapshotter}:${each.key}`);
  for (const each of objects.ingests)
    if (each.open || (each.expiresAtNs ?? 0n) > NOW_NS) kept.add(`ingest:${each.ref}`);
  for (const each of objects.containers)
    for (const other of [...named(each.labels), `${each.snapshotter}:${each.snapshotKey}`]) kept.add(other);
  for (const each of objects.sandboxes) for (const other of named(each.labels)) kept.add(other);
  const held = ({ resources }: StoredLease) =>
    resources.map(
      ({ type, id }) =>
        `${type.replace("snapshots/", "").replace(/s$/, (end) => (type.startsWith("snapshots") ? end : ""))}:${id}`,
    );
  const live = objects.leases.filter(({ labels }) => !expired(labels));
  const flat = new Set<string>();
  for (const lease of live) {
    for (const other of named(lease.labels)) kept.add(other);
    for (const other of held(lease)) ("containerd.io/gc.flat" in lease.labels ? flat : kept).add(other);
  }
  close(kept, [...keeps, ...parents]);
  close(flat, parents);
  return new Set([...kept, ...flat]);
}

function close(set: Set<string>, pairs: readonly (readonly [string, string])[]): void {
  for (let before = -1; before !== set.size; ) {
    before = set.size;
    for (const [from, to] of pairs) if (set.has(from)) set.add(to);
  }
}

test(`${ROUNDS} random stores: exactly what the model does not keep is garbage`, () => {
  let [swept, spared] = [0, 0];
  for (let seed = 1; seed <= ROUNDS; seed++) {
    const objects = randomObjects(randomNumbers(seed));
    const kept = modelKept(objects);
    const garbage = findGarbage(objects, NOW_NS);
    const isGarbage = (node: string): boolean => !kept.has(node);
    const message = `seed ${seed}`;
    assert.deepEqual(
      garbage.blobs,
      objects.blobs.map(({ digest }) => digest).filter((each) => isGarbage(`content:${each}`)),
      message,
    );
    assert.deepEqual(
      garbage.images,
      objects.images.map(({ name }) => name).filter((each) => isGarbage(`image:${each}`)),
      message,
    );
    assert.deepEqual(
      garbage.ingests,
      objects.ingests.map(({ ref }) => ref).filter((each) => isGarbage(`ingest:${each}`)),
      message,
    );
    const snapshots = objects.snapshots.filter(({ snapshotter, key }) => isGarbage(`${snapshotter}:${key}`));
    const order = garbage.snapshots.map(({ snapshotter, key }) => `${snapshotter}:${key}`);
    assert.deepEqual(
      [...order].sort(),
      snapshots.map(({ snapshotter, key }) => `${snapshotter}:${key}`).sort(),
      message,
    );
    for (const { snapshotter, key, parent } of snapshots) {
      const above = order.indexOf(`${snapshotter}:${parent}`);
      if (above >= 0) assert.ok(order.indexOf(`${snapshotter}:${key}`) < above, `${message}: ${key} before its parent`);
    }
    swept += garbage.blobs.length + snapshots.length;
    spared += objects.blobs.length + objects.snapshots.length - garbage.blobs.length - snapshots.length;
  }
  assert.ok(swept > ROUNDS && spared > ROUNDS, `${swept} swept, ${spared} spared: the stores are too simple`);
});
