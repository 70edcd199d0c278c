import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ANY, containerd, runtimeoptions } from "@trimaran/proto";
import { Code } from "ttrpc-ts";
import { parseOptions } from "./options.ts";

const runc = (fields: Parameters<typeof containerd.runc.v1.Options.encode>[0]) => ({
  typeUrl: ANY.runcOptions,
  value: containerd.runc.v1.Options.encode(fields),
});
const body = (toml: string) => ({
  typeUrl: ANY.runtimeOptions,
  value: runtimeoptions.v1.Options.encode({ configBody: Buffer.from(toml) }),
});
const defaults = {
  noNewKeyring: false,
  ioUid: 0,
  ioGid: 0,
  shimCgroup: "",
  systemdCgroup: false,
  criuPath: "",
  criuWorkPath: "",
};

test("no options, and an Any with an empty value, are the defaults", () => {
  assert.deepEqual(parseOptions([]), defaults);
  assert.deepEqual(parseOptions([{ typeUrl: "anything", value: new Uint8Array(0) }]), defaults);
});

test("Create's options are merged with those of start, field by field", () => {
  const merged = parseOptions([body("NoNewKeyring = true\nIoUid = 5\n"), runc({ ioUid: 1000 })]);
  assert.deepEqual(merged, { ...defaults, noNewKeyring: true, ioUid: 1000 });
});

test("ctr of 1.6 sends the owner of the pipes in an old form", () => {
  const old = { typeUrl: ANY.oldRuncOptions, value: Buffer.from("50a08d0658a08d06", "hex") };
  assert.deepEqual(parseOptions([old]), { ...defaults, ioUid: 100_000, ioGid: 100_000 });
});

test("a table made for runc is accepted; what belongs to its binary is ignored", () => {
  assert.deepEqual(parseOptions([body("BinaryName = 'crun'\nRoot = '/run/x'\nSystemdCgroup = false\n")]), defaults);
});

test("systemd's driver, as CRI and as ctr ask for it", () => {
  for (const options of [[body("SystemdCgroup = true\n")], [runc({ systemdCgroup: true })]])
    assert.deepEqual(parseOptions(options), { ...defaults, systemdCgroup: true });
});

test("criu's path and where its logs go: from a table, and from runc's own options", () => {
  const table = body("CriuPath = '/opt/criu'\nCriuWorkPath = '/var/log/criu'\nCriuImagePath = '/i'\n");
  const criu = { criuPath: "/opt/criu", criuWorkPath: "/var/log/criu" };
  assert.deepEqual(parseOptions([table]), { ...defaults, ...criu });
  assert.deepEqual(parseOptions([runc(criu)]), { ...defaults, ...criu });
});

test("ConfigPath names a TOML file", () => {
  const folder = mkdtempSync(join(tmpdir(), "trimaran-"));
  try {
    writeFileSync(join(folder, "c.toml"), "ShimCgroup = '/shims'\n");
    const options = (configPath: string) => [
      { typeUrl: ANY.runtimeOptions, value: runtimeoptions.v1.Options.encode({ configPath }) },
    ];
    assert.equal(parseOptions(options(join(folder, "c.toml"))).shimCgroup, "/shims");
    assert.throws(() => parseOptions(options(join(folder, "none"))), { message: /ConfigPath .*none: can't be read/ });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

for (const [what, options, message] of [
  [
    "an unknown key, with the likely one",
    [body("binary_name = 'x'\n")],
    'options: "binary_name" is unknown; "BinaryName"?',
  ],
  ["a name that every object has", [body("constructor = 'x'\n")], 'options: "constructor" is unknown'],
  ["no TOML", [body("a = = b")], /options: no TOML/],
  ["a wrong type", [body("IoUid = 'root'\n")], "options io_uid: root is no id (0 to 4294967294)"],
  ["a wrong type for a switch", [body("SystemdCgroup = 'yes'\n")], 'options systemd_cgroup: "yes" is no boolean'],
  ["a relative path", [body("CriuWorkPath = 'work'\n")], 'options criu_work_path: "work" is no absolute path'],
  [
    "a foreign type",
    [{ typeUrl: "x.y.Z", value: Buffer.from("a") }],
    'options: type "x.y.Z" is not one of this shim\'s',
  ],
] as const) {
  test(`${what} is InvalidArgument`, () => {
    assert.throws(() => parseOptions(options), { code: Code.InvalidArgument, message });
  });
}
