import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "../errors/manager-error.ts";
import { parseMask, updateLabels } from "./field-mask.ts";
import { parseLabels, withLabel } from "./labels.ts";

test("key and value together have up to 4096 bytes, an empty value drops the label", () => {
  const fits = { k: "é".repeat(2047), key: "" };
  assert.deepEqual(parseLabels("labels", fits), { k: fits.k });
  const message = /^labels\["k"\]: key and value have 4097 bytes/;
  assert.throws(() => parseLabels("labels", { k: "x".repeat(4096) }), { code: Code.InvalidArgument, message });
});

test("a mask names all labels, or single ones with dots and slashes in their keys", () => {
  const old = { a: "1", "a.b/c": "2", keep: "3" };
  const mask = (...paths: string[]) => ({ paths });
  assert.deepEqual(updateLabels(old, { x: "9" }, undefined), { x: "9" });
  assert.deepEqual(updateLabels(old, { x: "9" }, mask()), { x: "9" });
  assert.deepEqual(updateLabels(old, { x: "9" }, mask("labels")), { x: "9" });
  assert.deepEqual(updateLabels(old, { "a.b/c": "4", a: "5" }, mask("labels.a.b/c")), { ...old, "a.b/c": "4" });
  assert.deepEqual(updateLabels(old, { a: "" }, mask("labels.a")), { "a.b/c": "2", keep: "3" });
  assert.deepEqual(updateLabels(old, {}, mask("labels.a", "labels.keep")), { "a.b/c": "2" });
  for (const path of ["size", "labels.", "", "labelsx", "target.digest"]) {
    const message = new RegExp(`update_mask ${JSON.stringify(path)}`);
    assert.throws(() => updateLabels(old, {}, mask(path)), { code: Code.InvalidArgument, message });
  }
});

test("a field that is no map has no keys", () => {
  const rules = { fields: ["labels", "target"], maps: ["labels"] } as const;
  assert.deepEqual(parseMask({ paths: ["target", "labels.x"] }, rules), [
    { field: "target", key: undefined },
    { field: "labels", key: "x" },
  ]);
  assert.throws(() => parseMask({ paths: ["target.digest"] }, rules), { code: Code.InvalidArgument });
});

test("keys that objects have by themselves are keys like others", () => {
  const labels = withLabel(parseLabels("labels", { toString: "1" }), "__proto__", JSON.parse('{"__proto__":"2"}'));
  assert.deepEqual(Object.entries(labels), [
    ["toString", "1"],
    ["__proto__", "2"],
  ]);
  assert.deepEqual(withLabel({ a: "1" }, "toString", {}), { a: "1" });
});
