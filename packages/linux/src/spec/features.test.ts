import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { parseResources } from "./resources.ts";
import { parseSeccomp, parseSeccompListener } from "./seccomp.ts";
import { fromJson } from "./spec.ts";
import { everything } from "./testing/everything.ts";

const PACKAGE = join(import.meta.dirname, "../..");

interface Row {
  readonly field: string;
  readonly what: string;
  readonly files: readonly string[];
}

const rows: Row[] = readFileSync(join(PACKAGE, "FEATURES.md"), "utf8")
  .split("\n")
  .flatMap((line) => {
    const [, field, what = "", rest = ""] = /^\| `([^`]+)` \| ([^|]*) \|(.*)\|$/.exec(line) ?? [];
    const files = [...rest.matchAll(/\]\(([^)]+)\)/g)].map(([, file = ""]) => file);
    return field === undefined ? [] : [{ field, what, files }];
  });

/** `value` as it is; every member that is asked for, there or not, is noted by its path. */
function watch(value: unknown, path: string, seen: Set<string>): unknown {
  if (typeof value !== "object" || value === null) return value;
  const note = (key: string | symbol) => {
    if (typeof key === "string" && !Array.isArray(value)) seen.add(path === "" ? key : `${path}.${key}`);
  };
  return new Proxy(value, {
    get(target, key) {
      const own = Object.hasOwn(target, key);
      if (own || !(key in target)) note(key);
      const child: unknown = Reflect.get(target, key);
      if (!own) return child;
      return watch(child, Array.isArray(value) ? `${path}[]` : join2(path, String(key)), seen);
    },
    getOwnPropertyDescriptor(target, key) {
      note(key);
      return Reflect.getOwnPropertyDescriptor(target, key);
    },
  });
}

function join2(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}

/** Names that a config chooses, and what several places share, as the table has them. */
function generalize(path: string): string {
  return path
    .replace(/^hooks\.[a-zA-Z]+\[\]\./, "hooks.*[].")
    .replace(/^(linux\.timeOffsets|linux\.resources\.rdma|linux\.netDevices)\.[a-z0-9]+/, "$1.*")
    .replace(/^.*[a-z]Mappings\[\]\./, "*Mappings[].")
    .replace(/throttle[A-Za-z]+Device\[\]/, "throttle*Device[]")
    .replace(/^(annotations|linux\.sysctl|linux\.resources\.unified)\..*/, "$1")
    .replace(/^(linux\.timeOffsets|linux\.resources\.rdma|linux\.netDevices)\.\*$/, "$1");
}

test("the table is the parser's: no field is missing, none is made up", () => {
  const seen = new Set<string>();
  const spec = everything();
  fromJson(watch(spec, "", seen));
  parseResources(watch(spec.linux.resources, "linux.resources", seen));
  parseSeccomp(watch(spec.linux.seccomp, "linux.seccomp", seen));
  parseSeccompListener(watch(spec.linux.seccomp, "linux.seccomp", seen));
  const parsed = new Set([...seen].map(generalize).filter((field) => field !== "root" && field !== "hooks"));
  const listed = new Set(rows.filter(({ what }) => what !== "other platform").map(({ field }) => field));
  assert.deepEqual([...parsed.difference(listed)], [], "not in FEATURES.md");
  assert.deepEqual([...listed.difference(parsed)], [], "in FEATURES.md, but the parser does not look at it");
});

/** A test's text, and that of what it takes from testing folders of this package. */
function withFixtures(file: string): string {
  const path = join(PACKAGE, file);
  const text = readFileSync(path, "utf8");
  const fixtures = [...text.matchAll(/from "(\.[^"]*\/testing\/[^"]+)"/g)].map(([, name = ""]) =>
    join(dirname(path), name),
  );
  return [text, ...fixtures.map((fixture) => readFileSync(fixture, "utf8"))].join("\n");
}

test("every row says what is done, by a test that exists and names it", () => {
  assert.ok(rows.length > 150, String(rows.length));
  assert.equal(new Set(rows.map(({ field }) => field)).size, rows.length, "a field twice");
  for (const { field, what, files } of rows) {
    assert.ok(["done", "refused", "ignored", "other platform"].includes(what), `${field}: ${what}`);
    assert.ok(files.length > 0 || what === "other platform", `${field}: untested`);
    for (const file of files) assert.ok(existsSync(join(PACKAGE, file)), `${field}: ${file}`);
    const leaf = field.split(".").at(-1)?.replace(/\[\]$/, "") ?? "";
    const names = new RegExp(`\\b${leaf === "*" ? "" : leaf}\\b`);
    for (const file of files) assert.match(withFixtures(file), names, `${field}: ${file} does not name it`);
  }
});
