import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { editConfig, restoreConfig, withoutRuntimes, withRuntimes } from "./containerd-config.ts";
import { readManifest } from "./manifest.ts";
import { planInstallation } from "./plan.ts";
import { removeFiles, writePlannedFile } from "./write-files.ts";

const root = mkdtempSync(join(tmpdir(), "trimaran-install-"));
after(() => rmSync(root, { recursive: true, force: true }));

const SHIM = "containerd-shim-trimaran-runc-v2";

function makeBuild(): string {
  const build = join(root, "build");
  mkdirSync(join(build, "bin"), { recursive: true });
  mkdirSync(join(build, "lib/trimaran/node_modules/koffi"), { recursive: true });
  writeFileSync(join(build, "bin", SHIM), "elf");
  writeFileSync(join(build, "bin/trimaran"), "build's own launcher");
  writeFileSync(join(build, "node"), "node");
  chmodSync(join(build, "node"), 0o755);
  const library = join(build, "lib/trimaran");
  writeFileSync(join(library, `${SHIM}.cjs`), "js");
  writeFileSync(join(library, `${SHIM}.cmd`), `/opt/node\n--max-semi-space-size=1\n${library}/${SHIM}.cjs\n`);
  writeFileSync(join(library, "trimaran.js"), "cli");
  mkdirSync(join(build, "share/man/man1"), { recursive: true });
  writeFileSync(join(build, "share/man/man1/trimaran.1"), "manual");
  writeFileSync(join(library, "node_modules/koffi/koffi.node"), "so");
  return build;
}

test("a build is written below the prefix with paths of its own, and removed exactly", async () => {
  const build = makeBuild();
  const prefix = join(root, "it's a prefix");
  mkdirSync(join(prefix, "bin"), { recursive: true });
  writeFileSync(join(prefix, "bin/other"), "not ours");
  const files = await planInstallation(build, prefix, join(build, "node"));
  for (const file of files) await writePlannedFile(prefix, file);
  for (const file of files) await writePlannedFile(prefix, file); // again, over itself
  const library = join(prefix, "lib/trimaran");
  assert.equal(
    readFileSync(join(library, `${SHIM}.cmd`), "utf8"),
    `${library}/node\n--max-semi-space-size=1\n${library}/${SHIM}.cjs\n`,
  );
  assert.equal(readFileSync(join(library, "node_modules/koffi/koffi.node"), "utf8"), "so");
  assert.equal(statSync(join(prefix, "bin", SHIM)).mode & 0o777, 0o755);
  assert.equal(readFileSync(join(prefix, "share/man/man1/trimaran.1"), "utf8"), "manual");
  assert.match(readFileSync(join(prefix, "bin/trimaran"), "utf8"), /'[^\n]*it'\\''s a prefix\/lib\/trimaran\/node'/);
  await removeFiles(
    prefix,
    files.map(({ path }) => path),
  );
  assert.deepEqual(readdirSync(join(prefix, "bin")), ["other"]);
  assert.equal(existsSync(library), false);
});

test("a manifest cannot make uninstall leave its prefix", async () => {
  const prefix = join(root, "hostile");
  mkdirSync(join(prefix, "lib/trimaran"), { recursive: true });
  for (const path of ["../../etc/passwd", "/etc/passwd"]) {
    writeFileSync(join(prefix, "lib/trimaran/manifest.json"), JSON.stringify({ files: [path], configs: [] }));
    await assert.rejects(readManifest(prefix), /not a manifest of ours/);
  }
  assert.equal(await readManifest(join(root, "nothing")), undefined);
});

test("containerd's configuration gets our block once, and loses it again", () => {
  for (const [config, plugin] of [
    ["version = 2\n[debug]\n  level = 'info'", "io.containerd.grpc.v1.cri"],
    ["# x\nversion = 3\n", "io.containerd.cri.v1.runtime"],
    ["", "io.containerd.grpc.v1.cri"],
  ] as const) {
    const added = withRuntimes(config, [SHIM]);
    assert.ok(added.includes(`[plugins."${plugin}".containerd.runtimes.trimaran-runc]`));
    assert.ok(added.includes('runtime_type = "io.containerd.trimaran-runc.v2"'));
    assert.equal(withRuntimes(added, [SHIM]), added);
    assert.equal(withoutRuntimes(added).trim(), config.trim() || "version = 2");
  }
  const runc = ".containerd.runtimes.runc]";
  assert.ok(
    withRuntimes("version = 2\n#  runtimes.x", [SHIM]).includes(runc),
    "the first runtime replaces the built-in",
  );
  assert.ok(!withRuntimes("version = 2\n[plugins.x.containerd.runtimes.kata]\n", [SHIM]).includes(runc));
  assert.throws(() => withRuntimes("[debug]\nversion = 2\n", [SHIM]), /version = 1/);
  const taken = 'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.trimaran-runc]\n';
  assert.throws(() => withRuntimes(taken, [SHIM]), /is there already/);
});

test("a configuration file is changed whole, and its first state is kept", async () => {
  const path = join(root, "config.toml");
  writeFileSync(path, "version = 2\n");
  assert.equal(await editConfig(path, (config) => withRuntimes(config, [SHIM])), true);
  assert.equal(await editConfig(path, (config) => withRuntimes(config, [SHIM])), false);
  assert.equal(readFileSync(`${path}.before-trimaran`, "utf8"), "version = 2\n");
  assert.equal(await restoreConfig(path), true);
  assert.equal(readFileSync(path, "utf8"), "version = 2\n");
  assert.equal(existsSync(`${path}.before-trimaran`), false, "nothing is lost with the copy");
});
