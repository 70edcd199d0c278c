import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "../errors/manager-error.ts";
import {
  formatPlatform,
  hostPlatform,
  normalizePlatform,
  type Platform,
  parsePlatform,
  selectByPlatform,
} from "./platform.ts";

function platform(text: string): Platform {
  const [os = "", architecture = "", variant = ""] = text.split("/");
  return normalizePlatform({ os, architecture, variant, osVersion: "" });
}

const choose = (wanted: string[], have: (string | undefined)[]) =>
  selectByPlatform(have, wanted.map(platform), (text) => (text === undefined ? undefined : platform(text)));

test("other names of the same platform have one form", () => {
  const cases = [
    ["linux/x86_64", "linux/amd64"],
    ["linux/amd64/v1", "linux/amd64"],
    ["linux/aarch64", "linux/arm64"],
    ["linux/arm64/v8", "linux/arm64"],
    ["linux/arm", "linux/arm/v7"],
    ["linux/arm/6", "linux/arm/v6"],
    ["linux/armel", "linux/arm/v6"],
    ["macOS/ARM64", "darwin/arm64"],
  ];
  for (const [given = "", normal] of cases) assert.equal(formatPlatform(platform(given)), normal);
  assert.equal(formatPlatform(hostPlatform("x64")), "linux/amd64");
  assert.equal(formatPlatform(hostPlatform("arm")), "linux/arm/v7");
});

test("the best that runs is taken: exact, older variants, the 32-bit sibling, and what says nothing last", () => {
  assert.deepEqual(choose(["linux/arm/v7"], ["linux/arm/v5", "linux/arm/v6", "linux/arm64"]), ["linux/arm/v6"]);
  assert.deepEqual(choose(["linux/arm/v6"], ["linux/arm/v7"]), []);
  assert.deepEqual(choose(["linux/amd64"], ["linux/386", "linux/amd64"]), ["linux/amd64"]);
  assert.deepEqual(choose(["linux/amd64"], ["linux/386"]), ["linux/386"]);
  assert.deepEqual(choose(["linux/amd64"], ["linux/amd64/v3"]), []);
  assert.deepEqual(choose(["linux/amd64/v3"], ["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"]), ["linux/amd64/v2"]);
  assert.deepEqual(choose(["linux/arm64"], ["linux/arm/v7", "linux/arm/v6"]), ["linux/arm/v7"]);
  assert.deepEqual(choose(["linux/amd64"], ["unknown/unknown", undefined]), [undefined]);
  assert.deepEqual(choose(["linux/amd64"], [undefined, "linux/amd64"]), ["linux/amd64"]);
  assert.deepEqual(choose(["linux/amd64", "linux/s390x"], ["linux/s390x", "linux/ppc64le", "linux/amd64"]), [
    "linux/s390x",
    "linux/amd64",
  ]);
  assert.deepEqual(choose([], ["unknown/unknown", "linux/amd64"]), ["unknown/unknown", "linux/amd64"]);
});

test("a version of the system must be the same, if one is wanted", () => {
  const windows = { os: "windows", architecture: "amd64", variant: "", osVersion: "10.0.1" };
  const other = { ...windows, osVersion: "10.0.2" };
  assert.deepEqual(
    selectByPlatform([other, windows], [windows], (each) => each),
    [windows],
  );
});

test("fields of another type are refused by name", () => {
  assert.throws(() => parsePlatform({ os: 1 }, "platform"), { code: Code.InvalidArgument, message: /platform\.os/ });
  assert.equal(parsePlatform({ os: "linux", architecture: "arm", "os.version": "1" }, "p").osVersion, "1");
});
