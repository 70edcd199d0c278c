import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { asOptional, parseChecks, parseRuntime } from "./check.ts";
import { checkDaemon } from "./containerd.ts";

const folder = mkdtempSync(join(tmpdir(), "trimaran-"));
after(() => rmSync(folder, { recursive: true }));
const SHIM = "containerd-shim-trimaran-runc-v2";

function program(name: string, script: string): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

test("a daemon that does not find a shim is a problem; a configuration without a handler is none", async () => {
  const binary = program("containerd", "echo containerd github.com/containerd/containerd 9.9.9 abc");
  const config = join(folder, "config.toml");
  writeFileSync(config, '# runtime_type = "io.containerd.trimaran-runc.v2"\n');
  const look = async () =>
    (await checkDaemon({ pid: 7, binary, path: "/none", config }, [SHIM], "/opt/bin")).map(({ status }) => status);
  assert.deepEqual(await look(), ["ok", "problem", "note"]);
  const [version, shims] = await checkDaemon({ pid: 7, binary, path: "/none", config }, [SHIM], "/opt/bin");
  assert.match(version?.found ?? "", /^9\.9\.9, /);
  assert.match(shims?.fix ?? "", /add \/opt\/bin to PATH/);
  program(SHIM, "exit 0"); // containerd also looks beside itself
  writeFileSync(config, 'runtime_type = "io.containerd.trimaran-runc.v2"\n');
  assert.deepEqual(await look(), ["ok", "ok", "ok"]);
});

test("a runtime by any of its names", () => {
  for (const name of ["kata", "trimaran-kata", "io.containerd.trimaran-kata.v2"])
    assert.equal(parseRuntime(name), "kata");
  assert.throws(() => parseRuntime("runsc"), RangeError);
});

test("what nobody asked for is optional, and says so; what a program prints is checked", () => {
  const check = { group: "Kata", name: "qemu", status: "problem", found: "none", fix: "install it" } as const;
  const { status, fix } = asOptional(check, "kata");
  assert.deepEqual([status, fix], ["note", "only if you want kata containers: install it"]);
  assert.deepEqual(parseChecks(JSON.stringify([check])), [check]);
  for (const bad of ["{}", "[1]", '[{"group":"a","name":"b","status":"great","found":"c"}]'])
    assert.throws(() => parseChecks(bad), SyntaxError);
});
