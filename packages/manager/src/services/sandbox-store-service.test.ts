import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "../errors/manager-error.ts";
import { openTestRecords } from "../testing/test-records.ts";

const any = (text: string) => ({ typeUrl: "t", value: Buffer.from(text) });

test("a record is stored whole but for the client's times, and comes back by id and by filter", async () => {
  using records = openTestRecords();
  const { sandboxStore } = records.services();
  const given = {
    sandboxId: "pod",
    runtime: { name: "io.containerd.runc.v2", options: any("o") },
    spec: any("{}"),
    labels: { a: "1", empty: "" },
    extensions: { e: any("x") },
    sandboxer: "shim",
    createdAt: { seconds: 5n, nanos: 0 },
  };
  const { sandbox } = await sandboxStore.create({ sandbox: given });
  const createdAt = { seconds: 1_700_000_000n, nanos: 1 };
  assert.deepEqual(sandbox, { ...sandbox, ...given, labels: { a: "1" }, createdAt, updatedAt: createdAt });
  assert.deepEqual((await sandboxStore.get({ sandboxId: "pod" })).sandbox, sandbox);
  await sandboxStore.create({ sandbox: { sandboxId: "other" } });
  const idsOf = async (...filters: string[]) =>
    (await sandboxStore.list({ filters })).list.map((each) => each.sandboxId);
  assert.deepEqual(await idsOf(), ["other", "pod"]);
  assert.deepEqual(await idsOf("id==pod"), ["pod"]);
  assert.deepEqual(await idsOf("labels.a==1,id!=x"), ["pod"]);
  await assert.rejects(idsOf("id=pod"), { code: Code.InvalidArgument });
  assert.deepEqual((await records.services("elsewhere").sandboxStore.list({})).list, []);
  assert.deepEqual([records.published, records.calls.changed], [[], 2]);
});

test("what cannot be stored is refused by name", async () => {
  using records = openTestRecords();
  const { sandboxStore } = records.services();
  const refused = (sandbox: Parameters<typeof sandboxStore.create>[0]["sandbox"], message: RegExp) =>
    assert.rejects(sandboxStore.create({ sandbox }), { code: Code.InvalidArgument, message });
  await refused(undefined, /^sandbox: is missing/);
  await refused({ sandboxId: "a..b" }, /^sandbox\.sandbox_id/);
  await refused({ sandboxId: "a", extensions: { "": any("") } }, /^sandbox\.extensions/);
  await refused({ sandboxId: "a", labels: { k: "v".repeat(4096) } }, /^sandbox\.labels\["k"\]/);
  await assert.rejects(records.services("").sandboxStore.list({}), { code: Code.FailedPrecondition });
  await sandboxStore.create({ sandbox: { sandboxId: "a" } });
  await assert.rejects(sandboxStore.create({ sandbox: { sandboxId: "a" } }), { code: Code.AlreadyExists });
});

test("an update takes what is named; without names all, and then the runtime keeps its name", async () => {
  using records = openTestRecords();
  const { sandboxStore } = records.services();
  const runtime = { name: "r", options: undefined };
  await sandboxStore.create({
    sandbox: { sandboxId: "p", runtime, labels: { a: "1", b: "2" }, extensions: { x: any("1") }, sandboxer: "shim" },
  });
  const update = async (sandbox: object, ...fields: string[]) =>
    (await sandboxStore.update({ sandbox: { sandboxId: "p", ...sandbox }, fields })).sandbox;
  assert.deepEqual((await update({ labels: { a: "9", c: "3" } }, "labels.a"))?.labels, { a: "9", b: "2" });
  assert.deepEqual((await update({}, "labels.b"))?.labels, { a: "9" });
  assert.deepEqual(Object.keys((await update({ extensions: { y: any("2") } }, "extensions.y"))?.extensions ?? {}), [
    "x",
    "y",
  ]);
  assert.deepEqual((await update({ spec: any("s") }, "spec"))?.spec, any("s"));
  const all = await update({ runtime, labels: { z: "1" }, sandboxer: "other" });
  assert.deepEqual([all?.labels, all?.extensions, all?.spec, all?.sandboxer], [{ z: "1" }, {}, undefined, "shim"]);
  await assert.rejects(update({ runtime: { name: "s" } }), {
    code: Code.InvalidArgument,
    message: /runtime\.name "s"/,
  });
  assert.equal((await update({ runtime: { name: "s" } }, "runtime"))?.runtime?.name, "s");
  await assert.rejects(update({}, "sandboxer"), { code: Code.InvalidArgument });
  await assert.rejects(sandboxStore.update({ sandbox: { sandboxId: "q" } }), { code: Code.NotFound });
});

test("a namespace with a sandbox is not empty; a deleted one is gone", async () => {
  using records = openTestRecords();
  const { sandboxStore, namespaces } = records.services();
  await sandboxStore.create({ sandbox: { sandboxId: "p" } });
  await assert.rejects(namespaces.delete({ name: "ns" }), { code: Code.FailedPrecondition, message: /has sandboxes/ });
  await sandboxStore.delete({ sandboxId: "p" });
  const missing = { code: Code.NotFound, message: 'sandbox "p" in namespace "ns": not found' };
  await assert.rejects(sandboxStore.delete({ sandboxId: "p" }), missing);
  await assert.rejects(sandboxStore.get({ sandboxId: "p" }), missing);
  assert.equal(records.calls.deleted, 1);
  await namespaces.delete({ name: "ns" });
});
