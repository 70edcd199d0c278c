import assert from "node:assert/strict";
import { test } from "node:test";
import { ANY } from "@trimaran/proto";
import { Code } from "../errors/manager-error.ts";
import { openTestRecords, testImage } from "../testing/test-records.ts";

const digest = `sha256:${"a".repeat(64)}`;
const target = (more: object) => ({ mediaType: "m", size: 5n, annotations: {}, digest, ...more });

test("create, get, list in bytewise order, delete", async () => {
  using records = openTestRecords();
  const { images } = records.services();
  for (const name of ["b:1", "a:10", "Z", "a:9"])
    await images.create({ image: testImage(name, { labels: { l: name, drop: "" } }) });
  const { images: all } = await images.list({ filters: [""] });
  assert.deepEqual(
    all.map(({ name }) => name),
    ["Z", "a:10", "a:9", "b:1"],
  );
  const image = (await images.get({ name: "Z" })).image;
  assert.deepEqual(image, all[0]);
  assert.deepEqual([image?.labels, image?.target], [{ l: "Z" }, testImage("Z").target]);
  assert.equal(image?.createdAt?.seconds, 1_700_000_000n);
  await assert.rejects(images.create({ image: testImage("Z") }), {
    code: Code.AlreadyExists,
    message: 'image "Z": already exists',
  });
  await images.delete({ name: "Z" });
  const unknown = { code: Code.NotFound, message: 'image "Z": not found' };
  await assert.rejects(images.get({ name: "Z" }), unknown);
  await assert.rejects(images.delete({ name: "Z" }), unknown);
  assert.equal((await records.services("other").images.list({})).images.length, 0);
});

test("filters see name, target, labels and annotations", async () => {
  using records = openTestRecords();
  const { images } = records.services();
  await images.create({ image: testImage("docker.io/x:1", { labels: { "a.b/c": "d" } }) });
  await images.create({ image: testImage("y", { target: target({ annotations: { k: "v" } }) }) });
  const list = async (...filters: string[]) => (await images.list({ filters })).images.map(({ name }) => name);
  assert.deepEqual(await list("name~=/^docker/"), ["docker.io/x:1"]);
  assert.deepEqual(await list('labels."a.b/c"==d', "annotations.k==v"), ["docker.io/x:1", "y"]);
  assert.deepEqual(await list("target.mediatype==m"), ["y"]);
  assert.deepEqual(await list(`target.digest==${digest}`), ["docker.io/x:1", "y"]);
  await assert.rejects(list("name=x"), { code: Code.InvalidArgument });
});

test("create refuses what is no image, and names the field", async () => {
  using records = openTestRecords();
  const { images } = records.services();
  const refused = async (image: ReturnType<typeof testImage> | undefined, message: RegExp) => {
    await assert.rejects(images.create({ image }), { code: Code.InvalidArgument, message });
  };
  await refused(undefined, /image\.name/);
  await refused(testImage(""), /image\.name/);
  await refused(testImage("x", { target: undefined }), /image\.target\.digest/);
  await refused(testImage("x", { target: target({ digest: "sha256:abc" }) }), /image\.target\.digest/);
  await refused(testImage("x", { target: target({ size: 0n }) }), /image\.target\.size 0/);
  await refused(testImage("x", { target: target({ mediaType: "" }) }), /image\.target\.media_type/);
  await refused(testImage("x", { labels: { k: "v".repeat(4096) } }), /image\.labels/);
  assert.deepEqual(records.published, []);
});

test("update: labels by key, the target as a whole, annotations by key", async () => {
  using records = openTestRecords();
  const { images } = records.services();
  await images.create({ image: testImage("x", { labels: { a: "1", "a.b/c": "2" } }) });
  const update = async (image: ReturnType<typeof testImage>, ...paths: string[]) =>
    (await images.update({ image, updateMask: paths.length === 0 ? undefined : { paths } })).image;
  const empty = { mediaType: "", digest: "", size: 0n, annotations: {} };
  const label = await update({ name: "x", labels: { "a.b/c": "3" }, target: empty }, "labels.a.b/c");
  assert.deepEqual([label?.labels, label?.target], [{ a: "1", "a.b/c": "3" }, testImage("x").target]);
  const untargeted = await update({ name: "x", labels: { z: "1" } });
  assert.deepEqual([untargeted?.labels, untargeted?.target], [{ z: "1" }, testImage("x").target]);
  const moved = await update(testImage("x", { target: target({ annotations: { k: "v" } }) }), "target");
  assert.deepEqual([moved?.labels, moved?.target], [{ z: "1" }, target({ annotations: { k: "v" } })]);
  const noted = await update({ name: "x", target: target({ annotations: { j: "w" } }) }, "annotations.j");
  assert.deepEqual(noted?.target?.annotations, { k: "v", j: "w" });
  assert.deepEqual(noted?.createdAt, label?.createdAt);
  for (const path of ["name", "target.digest", "created_at"]) {
    await assert.rejects(update(testImage("x"), path), { code: Code.InvalidArgument });
  }
  await assert.rejects(update({ name: "x" }, "target"), { code: Code.InvalidArgument });
  await assert.rejects(update({ name: "x", target: empty }), { code: Code.InvalidArgument });
  await assert.rejects(update(testImage("y")), { code: Code.NotFound });
  await assert.rejects(images.update({}), { code: Code.InvalidArgument });
  assert.deepEqual((await images.get({ name: "x" })).image, noted);
});

test("delete: with sync a collection is waited for, with a target only that one goes", async () => {
  using records = openTestRecords();
  const { images } = records.services();
  for (const name of ["x", "y"]) await images.create({ image: testImage(name) });
  const other = { digest: `sha256:${"b".repeat(64)}` };
  await assert.rejects(images.delete({ name: "x", target: other }), { code: Code.NotFound });
  await images.delete({ name: "x", sync: true, target: { digest } });
  assert.deepEqual(records.calls, { changed: 2, deleted: 0, collect: 1 });
  await images.delete({ name: "y" });
  assert.deepEqual(records.calls, { changed: 2, deleted: 1, collect: 1 });
});

test("events have the service's type names", async () => {
  using records = openTestRecords();
  const { images } = records.services();
  await images.create({ image: testImage("x") });
  await images.update({ image: testImage("x") });
  await images.delete({ name: "x" });
  assert.deepEqual(
    records.published.map(({ namespace, topic, typeUrl }) => [namespace, topic, typeUrl]),
    [
      ["ns", "/images/create", ANY.imageCreate],
      ["ns", "/images/update", ANY.imageUpdate],
      ["ns", "/images/delete", ANY.imageDelete],
    ],
  );
});

test("an image joins the call's lease; an unknown lease makes nothing", async () => {
  using records = openTestRecords();
  const { images, leases } = records.services();
  await assert.rejects(images.create({ image: testImage("x") }, { lease: "l" }), { code: Code.NotFound });
  await assert.rejects(images.get({ name: "x" }), { code: Code.NotFound });
  await leases.create({ id: "l" });
  await images.create({ image: testImage("x") }, { lease: "l" });
  assert.deepEqual((await leases.listResources({ id: "l" })).resources, [{ type: "images", id: "x" }]);
});

test("a source date is the image's time", async () => {
  using records = openTestRecords();
  const { images } = records.services();
  const sourceDateEpoch = { seconds: 5n, nanos: 6 };
  const { image } = await images.create({ image: testImage("x"), sourceDateEpoch });
  assert.deepEqual([image?.createdAt, image?.updatedAt], [sourceDateEpoch, sourceDateEpoch]);
});
