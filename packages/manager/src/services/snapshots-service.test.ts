import assert from "node:assert/strict";
import { existsSync, lstatSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { containerd } from "@trimaran/proto";
import { Code } from "../errors/manager-error.ts";
import { SnapshotDirectories } from "../overlay/snapshot-directories.ts";
import { collect } from "../testing/collect.ts";
import { openTestSnapshots, type TestSnapshots } from "../testing/test-snapshots.ts";

const { ACTIVE, VIEW, COMMITTED } = containerd.services.snapshots.v1.Kind;
const snapshotter = "overlayfs";
const INDEX_OFF = existsSync("/sys/module/overlay/parameters/index") ? ["index=off"] : [];

async function open(t: TestContext): Promise<TestSnapshots> {
  const bed = await openTestSnapshots();
  t.after(() => bed[Symbol.asyncDispose]());
  return bed;
}

/** Committed snapshots, each on the one before. */
async function chain(bed: TestSnapshots, ...names: string[]): Promise<void> {
  const client = bed.snapshots();
  for (const [index, name] of names.entries()) {
    await client.prepare({ snapshotter, key: `extract ${name}`, parent: names[index - 1] ?? "" });
    await client.commit({ snapshotter, key: `extract ${name}`, name });
  }
}

const mode = (path: string) => lstatSync(path).mode & 0o7777;

test("the five mount shapes", async (t) => {
  const bed = await open(t);
  const client = bed.snapshots();
  const at = (id: number, name = "fs") => join(bed.root, "snapshots", String(id), name);
  const bind = (id: number, access: string) => [
    { type: "bind", source: at(id), target: "", options: [access, "rbind"] },
  ];
  const overlay = (...options: string[]) => [
    { type: "overlay", source: "overlay", target: "", options: [...options, ...INDEX_OFF] },
  ];
  await chain(bed, "one", "two"); // 1, 2
  const made = [
    await client.prepare({ snapshotter, key: "a" }), // 3
    await client.view({ snapshotter, key: "b" }), // 4
    await client.view({ snapshotter, key: "c", parent: "one" }),
    await client.view({ snapshotter, key: "d", parent: "two" }),
    await client.prepare({ snapshotter, key: "e", parent: "two" }), // 7
  ];
  const expected = [
    bind(3, "rw"),
    bind(4, "ro"),
    bind(1, "ro"),
    overlay(`lowerdir=${at(2)}:${at(1)}`),
    overlay(`workdir=${at(7, "work")}`, `upperdir=${at(7)}`, `lowerdir=${at(2)}:${at(1)}`),
  ];
  assert.deepEqual(
    made.map(({ mounts }) => mounts),
    expected,
  );
  for (const [index, key] of ["a", "b", "c", "d", "e"].entries()) {
    assert.deepEqual((await client.mounts({ snapshotter, key })).mounts, expected[index]);
  }
});

test("directories have their modes, work only where it is needed, and nothing half made", async (t) => {
  const bed = await open(t);
  const client = bed.snapshots();
  await client.prepare({ snapshotter, key: "a" });
  await client.view({ snapshotter, key: "v" });
  const folder = join(bed.root, "snapshots");
  assert.deepEqual([bed.root, folder, join(folder, "1")].map(mode), [0o700, 0o700, 0o700]);
  assert.deepEqual(
    [join(folder, "1/fs"), join(folder, "1/work"), join(folder, "2/fs")].map(mode),
    [0o755, 0o711, 0o755],
  );
  assert.deepEqual(readdirSync(join(folder, "2")), ["fs"]);
  await assert.rejects(client.prepare({ snapshotter, key: "x", parent: "no" }), { code: Code.NotFound });
  await assert.rejects(client.prepare({ snapshotter, key: "a" }), { code: Code.AlreadyExists });
  assert.deepEqual(readdirSync(folder).sort(), ["1", "2"]);
  mkdirSync(join(folder, "new-left-by-a-crash/fs"), { recursive: true });
  await SnapshotDirectories.open(bed.root, bed.threads);
  assert.deepEqual(readdirSync(folder).sort(), ["1", "2"]);
});

test("what cannot be done has its code", async (t) => {
  const bed = await open(t);
  const client = bed.snapshots();
  await chain(bed, "base", "top");
  await client.prepare({ snapshotter, key: "active" });
  await client.view({ snapshotter, key: "view", parent: "base" });
  const key = "new";
  const cases: [() => Promise<unknown>, Code, RegExp][] = [
    [() => client.prepare({ snapshotter, key, parent: "active" }), Code.InvalidArgument, /"active".*not committed/],
    [() => client.prepare({ snapshotter, key, parent: "none" }), Code.NotFound, /^parent snapshot none does not exist/],
    [() => client.prepare({ snapshotter, key: "view" }), Code.AlreadyExists, /"view": already exists$/],
    [() => client.view({ snapshotter, key: "top" }), Code.AlreadyExists, /"top": already exists$/],
    [() => client.prepare({ snapshotter, key: "" }), Code.InvalidArgument, /^key: empty/],
    [() => client.mounts({ snapshotter, key: "base" }), Code.FailedPrecondition, /committed/],
    [() => client.mounts({ snapshotter, key: "none" }), Code.NotFound, /^snapshot none does not exist: not found$/],
    [() => client.remove({ snapshotter, key: "base" }), Code.FailedPrecondition, /cannot remove snapshot with child/],
    [() => client.remove({ snapshotter, key: "none" }), Code.NotFound, /not found$/],
    [() => client.commit({ snapshotter, key: "view", name: "n" }), Code.FailedPrecondition, /view/],
    [() => client.commit({ snapshotter, key: "none", name: "n" }), Code.NotFound, /not found$/],
    [() => client.commit({ snapshotter, key: "active", name: "base" }), Code.AlreadyExists, /"base": already exists$/],
    [() => client.commit({ snapshotter, key: "active", name: "" }), Code.InvalidArgument, /^name: empty/],
    [() => client.stat({ snapshotter: "", key }), Code.InvalidArgument, /^snapshotter argument missing/],
    [() => client.stat({ snapshotter: "zfs", key }), Code.InvalidArgument, /^snapshotter not loaded: zfs/],
    [() => client.cleanup({ snapshotter }), Code.Unimplemented, /not implemented$/],
    [() => client.usage({ snapshotter, key: "none" }), Code.NotFound, /not found$/],
    [() => bed.snapshots("").stat({ snapshotter, key }), Code.FailedPrecondition, /^namespace is required/],
    [() => bed.snapshots("other").stat({ snapshotter, key: "base" }), Code.NotFound, /not found$/],
    [() => collect(client.list({ snapshotter, filters: ["kind=x"] })), Code.Unknown, /filters\[0\]/],
  ];
  for (const [call, code, message] of cases) await assert.rejects(call(), { code, message });
  assert.equal((await client.stat({ snapshotter, key: "active" })).info?.kind, ACTIVE);
});

test("an existing target of snapshot.ref is already exists, and joins the lease", async (t) => {
  const bed = await open(t);
  const client = bed.snapshots();
  await chain(bed, "sha256:top");
  bed.content.createLease("l");
  const labels = { "containerd.io/snapshot.ref": "sha256:top", other: "1" };
  await assert.rejects(client.prepare({ snapshotter, key: "extract-1", labels }, { lease: "l" }), {
    code: Code.AlreadyExists,
    message: 'target snapshot "sha256:top": already exists',
  });
  assert.deepEqual(bed.content.leased("l"), ["snapshots/overlayfs sha256:top"]);
  labels["containerd.io/snapshot.ref"] = "sha256:new";
  await client.prepare({ snapshotter, key: "extract-2", labels }, { lease: "l" });
  assert.deepEqual((await client.stat({ snapshotter, key: "extract-2" })).info?.labels, labels);
});

test("what a call makes or meets joins its lease; a commit takes the key's place", async (t) => {
  const bed = await open(t);
  const client = bed.snapshots();
  bed.content.createLease("l");
  await client.prepare({ snapshotter, key: "k" });
  await assert.rejects(client.prepare({ snapshotter, key: "k" }, { lease: "l" }), { code: Code.AlreadyExists });
  assert.deepEqual(bed.content.leased("l"), ["snapshots/overlayfs k"]);
  await client.commit({ snapshotter, key: "k", name: "n" }, { lease: "l" });
  await client.view({ snapshotter, key: "v", parent: "n" }, { lease: "l" });
  assert.deepEqual(bed.content.leased("l"), ["snapshots/overlayfs n", "snapshots/overlayfs v"]);
  await assert.rejects(client.prepare({ snapshotter, key: "x" }, { lease: "gone" }), { code: Code.NotFound });
  await assert.rejects(client.stat({ snapshotter, key: "x" }), { code: Code.NotFound });
  assert.deepEqual(await bed.directories.ids(), ["1", "2"], "the refused one left no directory");
  await client.remove({ snapshotter, key: "v" }, { lease: "gone" });
});

test("commit replaces the labels and stores the usage; an active one is measured, a view is empty", async (t) => {
  const bed = await open(t);
  const client = bed.snapshots();
  await client.prepare({ snapshotter, key: "k", labels: { a: "1" } });
  const before = await client.usage({ snapshotter, key: "k" });
  writeFileSync(join(bed.directories.fs("1"), "file"), Buffer.alloc(100_000, 1));
  const active = await client.usage({ snapshotter, key: "k" });
  assert.equal(active.inodes, before.inodes + 1n);
  assert.ok(active.size >= before.size + 100_000n);
  await client.commit({ snapshotter, key: "k", name: "n", labels: { b: "2", empty: "" } });
  writeFileSync(join(bed.directories.fs("1"), "late"), "x");
  assert.deepEqual(await client.usage({ snapshotter, key: "n" }), active, "as it was when it was committed");
  const { info } = await client.stat({ snapshotter, key: "n" });
  assert.deepEqual([info?.labels, info?.kind, info?.parent], [{ b: "2" }, COMMITTED, ""]);
  await assert.rejects(client.stat({ snapshotter, key: "k" }), { code: Code.NotFound });
  await client.view({ snapshotter, key: "v", parent: "n" });
  assert.deepEqual(await client.usage({ snapshotter, key: "v" }), { size: 0n, inodes: 0n });
});

test("update touches labels only, one by one or all", async (t) => {
  const bed = await open(t);
  const client = bed.snapshots();
  await client.prepare({ snapshotter, key: "k", labels: { a: "1", "b.c/d": "2" } });
  const update = async (labels: Record<string, string>, ...paths: string[]) => {
    const updateMask = paths.length > 0 ? { updateMask: { paths } } : {};
    return (await client.update({ snapshotter, info: { name: "k", labels }, ...updateMask })).info?.labels;
  };
  assert.deepEqual(await update({ "b.c/d": "3", a: "ignored" }, "labels.b.c/d"), { a: "1", "b.c/d": "3" });
  assert.deepEqual(await update({}, "labels.a"), { "b.c/d": "3" });
  assert.deepEqual(await update({ only: "x" }), { only: "x" });
  await assert.rejects(update({}, "parent"), { code: Code.InvalidArgument });
  await assert.rejects(client.update({ snapshotter, info: { name: "none" } }), { code: Code.NotFound });
  await assert.rejects(client.update({ snapshotter }), { code: Code.NotFound });
});

test("list comes in order, in batches of 100, and filtered", async (t) => {
  const bed = await open(t);
  const client = bed.snapshots();
  const keys = Array.from({ length: 101 }, (_, index) => `k${String(index).padStart(3, "0")}`);
  for (const key of [...keys].reverse()) await client.view({ snapshotter, key, labels: { n: key } });
  const batches = await collect(client.list({ snapshotter, filters: [""] }));
  assert.deepEqual(
    batches.map(({ info }) => info.length),
    [100, 1],
  );
  assert.deepEqual(
    batches.flatMap(({ info }) => info.map(({ name }) => name)),
    keys,
  );
  const filters = ["kind==view,labels.n==k007", "name==k100"];
  const [found] = await collect(client.list({ snapshotter, filters }));
  assert.deepEqual(
    found?.info.map(({ name, kind }) => [name, kind]),
    [
      ["k007", VIEW],
      ["k100", VIEW],
    ],
  );
});

test("prepare, commit and remove are told, views and refused calls are not; removal asks for a collection", async (t) => {
  const bed = await open(t);
  const client = bed.snapshots();
  await chain(bed, "n");
  await client.view({ snapshotter, key: "v", parent: "n" });
  await assert.rejects(client.prepare({ snapshotter, key: "v" }));
  assert.equal(bed.content.deletions(), 0);
  await client.remove({ snapshotter, key: "v" });
  assert.deepEqual(bed.content.topics(), [
    "default /snapshot/prepare",
    "default /snapshot/commit",
    "default /snapshot/remove",
  ]);
  assert.equal(bed.content.deletions(), 1);
  assert.deepEqual((await bed.directories.ids()).toSorted(), ["1", "2"], "bytes go with the collection");
  await bed.directories.remove("2");
  await bed.directories.remove("2");
  assert.deepEqual(await bed.directories.ids(), ["1"]);
  await client.view({ snapshotter, key: "v", parent: "n" });
  assert.deepEqual((await bed.directories.ids()).toSorted(), ["1", "3"], "ids are not used again");
});

test("a mapping without root, or half of one, is refused", async (t) => {
  const client = (await open(t)).snapshots();
  const [uid, gid] = ["containerd.io/snapshot/uidmapping", "containerd.io/snapshot/gidmapping"];
  for (const labels of [{ [uid]: "0:1000:10" }, { [uid]: "0:1:1", [gid]: "5:1000:10" }, { [uid]: "x", [gid]: "y" }]) {
    await assert.rejects(client.prepare({ snapshotter, key: "k", labels }), { code: Code.InvalidArgument });
  }
});

test("of a hundred that prepare the same key, one succeeds", async (t) => {
  const bed = await open(t);
  const client = bed.snapshots();
  const calls = Array.from({ length: 100 }, () => client.prepare({ snapshotter, key: "k" }));
  const results = await Promise.allSettled(calls);
  assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
  assert.deepEqual(readdirSync(join(bed.root, "snapshots")).length, 1);
});
