/** What we depend on: the check of the lock file catches what it is for, and the SBOM has what is shipped, no more. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { run } from "../harness/process.ts";

const ROOT = join(import.meta.dirname, "../..");
const GOOD = {
  version: "1.0.0",
  resolved: "https://registry.npmjs.org/good/-/good-1.0.0.tgz",
  integrity: "sha512-x",
  license: "MIT",
};

/** Lint a tree with one dependency, `locked` like that. Resolves with what is said; "" for nothing. */
async function lint(
  locked: object,
  table = "| `good` | it is |\n",
  dependencies: object = { good: "1.0.0" },
): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "lint-dependencies-"));
  try {
    mkdirSync(join(folder, "packages"));
    writeFileSync(join(folder, "package.json"), JSON.stringify({ dependencies }));
    writeFileSync(join(folder, "package-lock.json"), JSON.stringify({ packages: { "node_modules/good": locked } }));
    writeFileSync(join(folder, "DEPENDENCIES.md"), table);
    const { code, stderr } = await run([process.execPath, join(ROOT, "tools/lint-dependencies.ts"), folder]);
    assert.equal(code === 0, stderr === "");
    return stderr;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("a package without a hash, from elsewhere, under another licence, with an install script, without a reason", async () => {
  assert.equal(await lint(GOOD), "", "the control");
  const { integrity: _, ...noHash } = GOOD;
  assert.match(await lint(noHash), /good: no sha512/);
  assert.match(await lint({ ...GOOD, integrity: "sha1-x" }), /no sha512/);
  assert.match(await lint({ ...GOOD, resolved: "https://evil.example/good.tgz" }), /comes from https:\/\/evil/);
  assert.match(await lint({ ...GOOD, resolved: "git+ssh://git@example.org/good.git" }), /comes from git/);
  assert.match(await lint({ ...GOOD, license: "GPL-3.0" }), /licence GPL-3\.0 has not been looked at/);
  assert.match(await lint({ ...GOOD, hasInstallScript: true }), /has an install script/);
  assert.match(await lint(GOOD, ""), /good has no row/);
  assert.match(await lint(GOOD, "| `good` | x |\n| `gone` | y |\n"), /gone is not asked for/);
});

test("the SBOM is what is shipped, each with a hash and a licence", { timeout: 60_000 }, async () => {
  const { code, stdout, stderr } = await run(["npm", "run", "--silent", "sbom"], {
    cwd: ROOT,
    env: process.env,
    timeoutMs: 50_000,
  });
  assert.equal(code, 0, stderr);
  const { bomFormat, components } = JSON.parse(stdout) as {
    bomFormat: string;
    components: { "bom-ref": string; hashes?: unknown[]; licenses?: unknown[] }[];
  };
  assert.equal(bomFormat, "CycloneDX");
  const named = components.map((each) => ({ ...each, name: each["bom-ref"].replace(/@[^@]*$/, "") }));
  const foreign = named.filter(({ name }) => !name.startsWith("@trimaran/") && name !== "ttrpc-ts");
  const [shipped = ""] = readFileSync(join(ROOT, "DEPENDENCIES.md"), "utf8").split("## Development only");
  const justified = [...shipped.matchAll(/^\| `([^`]+)` \|/gm)].map(([, name = ""]) => name);
  const names = foreign.map(({ name }) => name);
  const isKnown = (name: string) => justified.includes(name) || name.startsWith("@koromix/koffi-"); // its compiled modules
  assert.deepEqual(
    names.filter((name) => !isKnown(name)),
    [],
  );
  for (const name of ["koffi", "smol-toml", "@stricli/core"]) assert.ok(names.includes(name), `${name}: ${names}`);
  for (const { name, hashes = [], licenses = [] } of foreign) assert.ok(hashes.length > 0 && licenses.length > 0, name);
});
