import assert from "node:assert/strict";
import { test } from "node:test";
import { ANY, containerd } from "@trimaran/proto";
import { Code } from "../errors/manager-error.ts";
import { openTestRecords, testContainer } from "../testing/test-records.ts";

const any = (typeUrl: string) => ({ typeUrl, value: Buffer.from("x") });

test("a call without namespace is FailedPrecondition, with a bad one InvalidArgument", async () => {
  using records = openTestRecords();
  await assert.rejects(records.services("").containers.list({}), {
    code: Code.FailedPrecondition,
    message: "namespace is required: failed precondition",
  });
  for (const name of ["bad/ns", "-a", "a".repeat(77), "é"]) {
    await assert.rejects(records.services(name).containers.list({}), { code: Code.InvalidArgument });
  }
});

test("create stores everything but the client's times, and tells of it", async () => {
  using records = openTestRecords();
  const { containers } = records.services();
  const given = testContainer("web", {
    labels: { a: "1", empty: "" },
    image: "img",
    runtime: { name: "r", options: any("o") },
    snapshotter: "overlayfs",
    snapshotKey: "web",
    extensions: { e: any("x") },
    sandbox: "pod",
    createdAt: { seconds: -62135596800n, nanos: 0 },
  });
  const { container } = await containers.create({ container: given });
  const createdAt = { seconds: 1_700_000_000n, nanos: 1 };
  assert.deepEqual(container, {
    ...(await containers.get({ id: "web" })).container,
    ...given,
    labels: { a: "1" },
    createdAt,
    updatedAt: createdAt,
  });
  const [event] = records.published;
  assert.deepEqual([event?.namespace, event?.topic, event?.typeUrl], ["ns", "/containers/create", ANY.containerCreate]);
  assert.deepEqual(containerd.events.ContainerCreate.decode(event?.payload ?? Buffer.alloc(0)), {
    id: "web",
    image: "img",
    runtime: given.runtime,
  });
  assert.equal(records.calls.changed, 1);
});

test("create refuses what cannot be, and names the field", async () => {
  using records = openTestRecords();
  const { containers } = records.services();
  const refused = async (container: ReturnType<typeof testContainer> | undefined, message: RegExp) => {
    await assert.rejects(containers.create({ container }), { code: Code.InvalidArgument, message });
  };
  await refused(undefined, /^container: is missing/);
  for (const id of ["", "a b", "-a", "a..b", "a/b", "a".repeat(77)]) await refused(testContainer(id), /^container\.id/);
  await refused(testContainer("x", { runtime: undefined }), /runtime\.name/);
  await refused(testContainer("x", { spec: undefined }), /spec/);
  await refused(testContainer("x", { snapshotKey: "k" }), /snapshotter/);
  await refused(testContainer("x", { extensions: { "": any("e") } }), /extensions/);
  await refused(testContainer("x", { labels: { k: "v".repeat(4096) } }), /container\.labels\["k"\].*4097/);
  await containers.create({ container: testContainer("a".repeat(76), { labels: { k: "v".repeat(4095) } }) });
  assert.deepEqual(
    records.published.map(({ topic }) => topic),
    ["/containers/create"],
  );
});

test("a taken id, an unknown id", async () => {
  using records = openTestRecords();
  const { containers } = records.services();
  await containers.create({ container: testContainer("x") });
  await assert.rejects(containers.create({ container: testContainer("x") }), {
    code: Code.AlreadyExists,
    message: 'container "x": already exists',
  });
  const unknown = { code: Code.NotFound, message: 'container "y" in namespace "ns": not found' };
  await assert.rejects(containers.get({ id: "y" }), unknown);
  await assert.rejects(containers.update({ container: testContainer("y") }), unknown);
  await assert.rejects(containers.delete({ id: "y" }), unknown);
  await assert.rejects(records.services("other").containers.get({ id: "x" }), { code: Code.NotFound });
});

test("list is in bytewise order, as a whole and as a stream, and filters see four fields", async () => {
  using records = openTestRecords();
  const { containers } = records.services();
  for (const id of ["b", "a10", "Z", "a9"]) {
    await containers.create({ container: testContainer(id, { image: `i-${id}`, labels: { "a.b/c": id } }) });
  }
  const list = async (...filters: string[]) => {
    const whole = (await containers.list({ filters })).containers.map(({ id }) => id);
    const streamed: (string | undefined)[] = [];
    for await (const { container } of containers.listStream({ filters })) streamed.push(container?.id);
    assert.deepEqual(streamed, whole);
    return whole;
  };
  assert.deepEqual(await list(), ["Z", "a10", "a9", "b"]);
  assert.deepEqual(await list(""), ["Z", "a10", "a9", "b"]);
  assert.deepEqual(await list("id==b,image==i-b"), ["b"]);
  assert.deepEqual(await list("id==b,image==i-Z"), []);
  assert.deepEqual(await list("id==b", 'labels."a.b/c"==Z'), ["Z", "b"]);
  assert.deepEqual(await list("runtime.name~=/runc/,id~=^a"), ["a10", "a9"]);
  assert.equal((await list("foo!=bar")).length, 4);
  await assert.rejects(list("id=x"), { code: Code.InvalidArgument });
});

test("update changes what the mask names, and nothing else", async () => {
  using records = openTestRecords();
  const { containers } = records.services();
  const labels = { a: "1", "a.b/c": "2" };
  await containers.create({
    container: testContainer("x", { labels, image: "old", extensions: { e: any("e"), f: any("f") } }),
  });
  const update = async (paths: string[] | undefined, more: Parameters<typeof testContainer>[1]) => {
    const updateMask = paths && { paths };
    return (await containers.update({ container: testContainer("x", more), updateMask })).container;
  };
  const first = await update(["labels.a.b/c"], { labels: { "a.b/c": "3", a: "9" }, image: "new" });
  assert.deepEqual([first?.labels, first?.image], [{ a: "1", "a.b/c": "3" }, "old"]);
  assert.ok((first?.updatedAt?.nanos ?? 0) > (first?.createdAt?.nanos ?? 0));
  const second = await update(["labels.a", "image", "extensions.e"], { image: "new", extensions: { e: any("E") } });
  assert.deepEqual([second?.labels, second?.image], [{ "a.b/c": "3" }, "new"]);
  assert.deepEqual(
    Object.entries(second?.extensions ?? {}).map(([key, { typeUrl }]) => key + typeUrl),
    ["ff", "eE"],
  );
  const third = await update(["extensions.f"], {});
  assert.deepEqual(Object.keys(third?.extensions ?? {}), ["e"]);
  for (const path of ["runtime", "snapshotter", "created_at", "spec.x", "labels."]) {
    await assert.rejects(update([path], {}), { code: Code.InvalidArgument, message: /update_mask/ });
  }
  const whole = await update(undefined, { labels: { z: "1" } });
  assert.deepEqual([whole?.labels, whole?.image, whole?.extensions], [{ z: "1" }, "", {}]);
  await assert.rejects(update(undefined, { snapshotter: "native" }), {
    code: Code.InvalidArgument,
    message: /snapshotter/,
  });
  await assert.rejects(update(undefined, { runtime: { name: "r", options: undefined } }), {
    code: Code.InvalidArgument,
    message: /runtime\.name/,
  });
  await assert.rejects(update(["snapshotkey"], { snapshotKey: "k" }), {
    code: Code.InvalidArgument,
    message: /snapshotter/,
  });
  await assert.rejects(containers.update({}), { code: Code.InvalidArgument });
  assert.deepEqual((await containers.get({ id: "x" })).container, whole, "what was refused has changed nothing");
  assert.equal(records.published.filter(({ topic }) => topic === "/containers/update").length, 4);
});

test("delete tells of it and asks for a collection", async () => {
  using records = openTestRecords();
  const { containers } = records.services();
  await containers.create({ container: testContainer("x") });
  await containers.delete({ id: "x" });
  assert.deepEqual(
    records.published.map(({ topic }) => topic),
    ["/containers/create", "/containers/delete"],
  );
  assert.equal(records.calls.deleted, 1);
});
