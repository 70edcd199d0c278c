import assert from "node:assert/strict";
import { test } from "node:test";
import { ANY } from "@trimaran/proto";
import { Code } from "../errors/manager-error.ts";
import { openTestRecords, testContainer, testImage } from "../testing/test-records.ts";

test("an unknown namespace has no labels, and comes into being with the first object", async () => {
  using records = openTestRecords();
  const { namespaces, containers } = records.services("new");
  assert.deepEqual((await namespaces.get({ name: "new" })).namespace, { name: "new", labels: {} });
  assert.deepEqual((await namespaces.list({})).namespaces, []);
  await containers.create({ container: testContainer("x") });
  assert.deepEqual((await namespaces.list({})).namespaces, [{ name: "new", labels: {} }]);
});

test("create, label by key, list in bytewise order; no namespace is needed to call", async () => {
  using records = openTestRecords();
  const { namespaces } = records.services("");
  await namespaces.create({ namespace: { name: "b", labels: { k: "v", empty: "" } } });
  await namespaces.create({ namespace: { name: "Z" } });
  await assert.rejects(namespaces.create({ namespace: { name: "b" } }), { code: Code.AlreadyExists });
  await assert.rejects(namespaces.create({ namespace: { name: "a/b" } }), { code: Code.InvalidArgument });
  await assert.rejects(namespaces.create({}), { code: Code.InvalidArgument });
  const label = (key: string, value: string) =>
    namespaces.update({ namespace: { name: "b", labels: { [key]: value } }, updateMask: { paths: [`labels.${key}`] } });
  assert.deepEqual(await label("a.b/c", "1"), { namespace: undefined });
  await label("k", "");
  assert.deepEqual((await namespaces.get({ name: "b" })).namespace?.labels, { "a.b/c": "1" });
  await namespaces.update({ namespace: { name: "made", labels: { x: "y" } } });
  assert.deepEqual(
    (await namespaces.list({})).namespaces.map(({ name }) => name),
    ["Z", "b", "made"],
  );
  for (const paths of [["labels"], ["name"]]) {
    await assert.rejects(namespaces.update({ namespace: { name: "b" }, updateMask: { paths } }), {
      code: Code.InvalidArgument,
    });
  }
});

test("delete: not while something is in it, and what is left is named", async () => {
  using records = openTestRecords();
  const { namespaces, images, containers } = records.services("ns");
  await images.create({ image: testImage("x") });
  await containers.create({ container: testContainer("x") });
  await assert.rejects(namespaces.delete({ name: "ns" }), {
    code: Code.FailedPrecondition,
    message: 'namespace "ns" must be empty, but it still has images, containers: failed precondition',
  });
  await images.delete({ name: "x" });
  await containers.delete({ id: "x" });
  await namespaces.delete({ name: "ns" });
  await assert.rejects(namespaces.delete({ name: "ns" }), { code: Code.NotFound });
});

test("events carry the namespace that they are about", async () => {
  using records = openTestRecords();
  const { namespaces } = records.services("caller");
  await namespaces.create({ namespace: { name: "n" } });
  await namespaces.update({ namespace: { name: "n" } });
  await namespaces.delete({ name: "n" });
  assert.deepEqual(
    records.published.map(({ namespace, topic, typeUrl }) => [namespace, topic, typeUrl]),
    [
      ["n", "/namespaces/create", ANY.namespaceCreate],
      ["n", "/namespaces/update", ANY.namespaceUpdate],
      ["n", "/namespaces/delete", ANY.namespaceDelete],
    ],
  );
});
