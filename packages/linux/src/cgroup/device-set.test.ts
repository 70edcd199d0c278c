import assert from "node:assert/strict";
import { test } from "node:test";
import { ALWAYS_ALLOWED, formatException, isDeviceAllowed, reduceDeviceRules } from "./device-set.ts";
import { diffDevices, parseDeviceList } from "./devices-v1.ts";
import type { DeviceRule } from "./resources.ts";

const allow = (type: string, major: number, minor: number, access = "rwm"): DeviceRule => ({
  allow: true,
  type,
  major,
  minor,
  access,
});
const deny = (type: string, major: number, minor: number, access = "rwm"): DeviceRule => ({
  ...allow(type, major, minor, access),
  allow: false,
});
const lines = (rules: readonly DeviceRule[]) => reduceDeviceRules(rules).exceptions.map(formatException);

test("the default list is 11 exceptions", () => {
  const set = reduceDeviceRules([{ allow: false, access: "rwm" }, ...ALWAYS_ALLOWED]);
  assert.equal(set.defaultAllow, false);
  assert.deepEqual(set.exceptions.map(formatException), [
    "b *:* m",
    "c *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:2 rwm",
    "c 10:200 rwm",
    "c 136:* rwm",
  ]);
});

test("rules merge, split and cancel", () => {
  assert.deepEqual(lines([allow("c", 1, 3, "r"), allow("c", 1, 3, "w")]), ["c 1:3 rw"]);
  assert.deepEqual(lines([allow("c", 1, 3), deny("c", 1, 3, "m")]), ["c 1:3 rw"]);
  assert.deepEqual(lines([allow("c", 1, 3), deny("c", 1, -1)]), []);
  assert.deepEqual(lines([allow("c", 1, 3), { allow: false, access: "r" }]), []);
  assert.deepEqual(lines([{ allow: true, access: "rwm" }, deny("b", 8, 0)]), ["b 8:0 rwm"]);
  assert.throws(
    () => reduceDeviceRules([allow("c", 1, -1), deny("c", 1, 3)]),
    /devices\[1\]: "c 1:3 rwm" would cut a hole into "c 1:\* rwm"/,
  );
  assert.deepEqual(lines([allow("c", 1, -1, "r"), deny("c", 1, 3, "w")]), ["c 1:* r"]);
});

test("what is refused", () => {
  assert.throws(() => lines([{ allow: false }]), /devices\[0\]\.access: "" is not made of/);
  assert.throws(() => lines([{ allow: false, access: "x" }]), /access/);
  assert.throws(() => lines([{ allow: true, type: "p", access: "r" }]), /type: unknown: "p"/);
  assert.throws(() => lines([allow("c", -2, 0)]), /major: -2/);
});

test("one exception must cover an allowed access; any part of a denied one denies", () => {
  const set = reduceDeviceRules([allow("c", 1, -1, "r"), allow("c", -1, 3, "w")]);
  assert.equal(isDeviceAllowed(set, "c", 1, 3, 2), true);
  assert.equal(isDeviceAllowed(set, "c", 1, 3, 6), false);
  const open = reduceDeviceRules([{ allow: true, access: "rwm" }, deny("c", 1, 3, "w")]);
  assert.equal(isDeviceAllowed(open, "c", 1, 3, 6), false);
  assert.equal(isDeviceAllowed(open, "c", 1, 3, 2), true);
});

test("the difference allows before it denies, and never denies all on a restricted list", () => {
  const old = parseDeviceList("c 1:3 rwm\nc 1:5 rwm\n");
  const target = reduceDeviceRules([allow("c", 1, 3, "rw"), allow("b", 8, 0, "r")]);
  assert.deepEqual(diffDevices(old, target), [
    { file: "devices.allow", lines: ["b 8:0 r"] },
    { file: "devices.deny", lines: ["c 1:3 m", "c 1:5 rwm"] },
  ]);
  assert.deepEqual(diffDevices(target, target), []);
  assert.deepEqual(diffDevices(parseDeviceList("a *:* rwm\n"), target)[0], { file: "devices.deny", lines: ["a"] });
  assert.throws(() => parseDeviceList("garbage"), /devices\.list/);
});
