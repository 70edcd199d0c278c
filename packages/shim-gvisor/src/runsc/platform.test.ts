import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Code } from "ttrpc-ts";
import { Platforms } from "./platform.ts";

const folder = mkdtempSync(join(tmpdir(), "trimaran-"));
after(() => rmSync(folder, { recursive: true }));
const PATH = process.env.PATH ?? "";

/** A runsc whose `do` knows one platform, and counts how often it was asked. */
function runsc(name: string, works: string) {
  const path = join(folder, name);
  const script = `#!/bin/sh\necho "$*" >> ${path}.asked\ncase "$*" in *--platform=${works}*) exit 0;; esac\necho unknown platform >&2\nexit 128\n`;
  writeFileSync(path, script);
  chmodSync(path, 0o755);
  const asked = () => readFileSync(`${path}.asked`, "utf8").trim().split("\n").length;
  return { binary: { path, identity: path, version: "1", flags: new Map<string, string>() }, asked };
}

test("the first platform that starts a sandbox is taken, and remembered beyond this process", async () => {
  const { binary, asked } = runsc("old", "ptrace");
  const platforms = new Platforms(PATH);
  const both = await Promise.all([
    platforms.choose(binary, undefined, folder),
    platforms.choose(binary, undefined, folder),
  ]);
  assert.deepEqual(both, ["ptrace", "ptrace"]);
  assert.equal(asked(), 2, "systrap once, ptrace once");
  assert.equal(await new Platforms(PATH).choose(binary, "ptrace", folder), "ptrace");
  assert.equal(asked(), 2);
});

test("none: each one's reason, and the fix", async () => {
  const { binary } = runsc("none", "abacus");
  const platforms = new Platforms(PATH);
  await assert.rejects(platforms.choose(binary, undefined, folder), {
    code: Code.FailedPrecondition,
    message: /no sandbox starts here \(systrap: unknown platform; ptrace: unknown platform\)$/,
  });
  await assert.rejects(platforms.choose(binary, "kvm", folder), { message: /kvm: unknown platform\); leave it out/ });
});

test("what runsc leaves in its temporary folder goes with the probe, whatever became of it", async () => {
  const path = join(folder, "untidy");
  writeFileSync(path, `#!/bin/sh\ntouch $TMPDIR/left\necho $TMPDIR > ${path}.folder\nkill -9 $$\n`, { mode: 0o755 });
  const binary = { path, identity: path, version: "1", flags: new Map<string, string>() };
  await assert.rejects(new Platforms(PATH).choose(binary, "systrap", folder), { message: /systrap: / });
  const scratch = readFileSync(`${path}.folder`, "utf8").trim();
  assert.match(scratch, /trimaran-probe-/);
  assert.equal(existsSync(scratch), false);
});
