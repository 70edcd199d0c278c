import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "../errors/manager-error.ts";
import { openTestRecords } from "../testing/test-records.ts";

const digest = `sha256:${"a".repeat(64)}`;

test("create, list in order with filters, delete; any text may be an id", async () => {
  using records = openTestRecords();
  const { leases } = records.services();
  for (const id of ["/mnt/b", "a b", "Z"]) await leases.create({ id, labels: { l: id } });
  const list = async (...filters: string[]) => (await leases.list({ filters })).leases.map(({ id }) => id);
  assert.deepEqual(await list(), ["/mnt/b", "Z", "a b"]);
  assert.deepEqual(await list("id==Z", 'labels.l=="a b"'), ["Z", "a b"]);
  await assert.rejects(leases.create({ id: "Z" }), { code: Code.AlreadyExists });
  await leases.delete({ id: "Z" });
  await assert.rejects(leases.delete({ id: "Z" }), { code: Code.NotFound });
  await leases.delete({ id: "a b", sync: true });
  assert.deepEqual(records.calls, { changed: 3, deleted: 1, collect: 1 });
  assert.deepEqual(records.published, [], "leases publish nothing");
});

test("a lease without id gets one of its own", async () => {
  using records = openTestRecords();
  const { leases } = records.services();
  const made = [await leases.create({}), await leases.create({})].map(({ lease }) => lease?.id ?? "");
  for (const id of made) assert.match(id, /^\d+-[A-Za-z0-9_-]{4}$/);
  assert.notEqual(made[0], made[1]);
});

test("resources round-trip, and bad ones are refused", async () => {
  using records = openTestRecords();
  const { leases } = records.services();
  await leases.create({ id: "l" });
  const resources = [
    { type: "content", id: digest },
    { type: "images", id: "x" },
    { type: "ingests", id: "ref" },
    { type: "snapshots/overlayfs", id: "k" },
  ];
  for (const resource of resources) await leases.addResource({ id: "l", resource });
  assert.deepEqual((await leases.listResources({ id: "l" })).resources, resources);
  await leases.deleteResource({ id: "l", resource: resources[2] });
  assert.equal((await leases.listResources({ id: "l" })).resources.length, 3);
  const add = (type: string, id: string, lease = "l") => leases.addResource({ id: lease, resource: { type, id } });
  await assert.rejects(add("content", "x"), { code: Code.InvalidArgument, message: /resource\.id/ });
  await assert.rejects(add("snapshots/", "x"), { code: Code.Unimplemented });
  await assert.rejects(add("tasks", "x"), { code: Code.Unimplemented });
  await assert.rejects(add("images", "x", "none"), { code: Code.NotFound });
  await assert.rejects(leases.listResources({ id: "none" }), { code: Code.NotFound });
});
