import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { ANY, containerd, runtimeoptions } from "@trimaran/proto";
import { Code } from "ttrpc-ts";
import { parseConfig } from "./config.ts";
import { checkFlags, runscFlags } from "./flags.ts";

const folder = mkdtempSync(join(tmpdir(), "trimaran-"));
after(() => rmSync(folder, { recursive: true }));

type Fields = Parameters<typeof runtimeoptions.v1.Options.encode>[0];
const options = (fields: Fields) => ({ typeUrl: ANY.runtimeOptions, value: runtimeoptions.v1.Options.encode(fields) });
const body = (toml: string) => options({ configBody: Buffer.from(toml) });
const parse = (...list: Parameters<typeof parseConfig>[0]) => parseConfig(list, []);

function file(name: string, toml: string): string {
  writeFileSync(join(folder, name), toml);
  return join(folder, name);
}

test("no options are the defaults; an empty Any is no options", () => {
  const { settings, flags, ...rest } = parse({ typeUrl: "anything", value: new Uint8Array(0) });
  assert.deepEqual(rest, { binaryName: "runsc", root: "/run/containerd/runsc", ioUid: 0, ioGid: 0, shimCgroup: "" });
  assert.deepEqual([settings.size, flags.size], [0, 0]);
});

test("a file of gVisor's own shim is taken as it is, and each value names it", () => {
  const path = file(
    "gvisor.toml",
    `log_path = "/var/log/%ID%"\nlog_level = "debug"\nbinary_name = "/opt/runsc"\nio_uid = 7
[runsc_config]\nplatform = "systrap"\ndebug = "true"\nnum-network-channels = 2\noverlay2 = "none"\n`,
  );
  const config = parse(options({ typeUrl: "io.containerd.runsc.v1.options", configPath: path }));
  assert.equal(config.binaryName, "/opt/runsc");
  assert.equal(config.ioUid, 7);
  assert.deepEqual(config.settings.get("runsc_config.platform"), { value: "systrap", source: path });
  assert.deepEqual(runscFlags(config, "web"), ["--debug=true", "--num-network-channels=2", "--overlay2=none"]);
});

test("options of Create are merged key by key over those of start", () => {
  const runc = { typeUrl: ANY.runcOptions, value: containerd.runc.v1.Options.encode({ ioUid: 1000 }) };
  const config = parse(body("io_uid = 5\nio_gid = 6\n[runsc_config]\nnetwork = 'none'\n"), runc);
  assert.deepEqual([config.ioUid, config.ioGid], [1000, 6]);
  assert.deepEqual(runscFlags(config, "x"), ["--network=none"]);
});

test("ctr of 1.6 sends the owner of the pipes in an old form", () => {
  const old = { typeUrl: ANY.oldRuncOptions, value: Buffer.from("50a08d0658a08d06", "hex") };
  const { ioUid, ioGid } = parse(old);
  assert.deepEqual([ioUid, ioGid], [100_000, 100_000]);
});

test("the default file is read where nothing else brings a table", () => {
  const path = file("default.toml", "root = '/run/elsewhere'\n");
  assert.equal(parseConfig([], ["/none", path]).root, "/run/elsewhere");
  assert.equal(parseConfig([body("io_uid = 1\n")], [path]).root, "/run/containerd/runsc");
});

test("%ID% in the path of a log is the container's id", () => {
  const config = parse(body("[runsc_config]\ndebug-log = '/l/%ID%/x'\nuser-log = '/u'\nstrace-syscalls = '%ID%'\n"));
  assert.deepEqual(runscFlags(config, "web"), ["--debug-log=/l/web/x", "--strace-syscalls=%ID%"]);
});

for (const [what, list, message] of [
  ["an unknown key", [body("binaryname = 'x'\n")], 'options: "binaryname" is unknown; "binary_name"?'],
  [
    "a flag outside its table",
    [body("debug = true\n")],
    'options: "debug" is unknown; flags of runsc go into [runsc_config]',
  ],
  ["a name that every object has", [body("constructor = 'x'\n")], /options: "constructor" is unknown/],
  ["no TOML", [body("a = = b")], /options: no TOML/],
  ["a file that is missing", [options({ configPath: "/none.toml" })], /ConfigPath \/none\.toml: can't be read/],
  [
    "another shim's type",
    [options({ typeUrl: "x.y", configPath: "/z" })],
    /TypeUrl: "x\.y", not io\.containerd\.runsc/,
  ],
  ["a foreign Any", [{ typeUrl: "x.Y", value: Buffer.from("a") }], /type "x\.Y" is not one/],
  ["a list as a flag", [body("[runsc_config]\nnetwork = ['a']\n")], /runsc_config\.network: \["a"\] is no text/],
  ["an id below 0", [body("io_uid = -1\n")], "options: io_uid: -1 is no id (0 to 4294967294)"],
  ["a relative root", [body("root = 'x'\n")], 'options: root: "x" is no absolute path'],
  [
    "what the shim sets",
    [body("[runsc_config]\nroot = '/x'\n")],
    "options: runsc_config.root: is set by the shim; use root",
  ],
  ["a name with a blank", [body("[runsc_config]\n'a b' = 1\n")], /"a b" is no name of a flag/],
] as const) {
  test(`${what} is InvalidArgument`, () => {
    assert.throws(() => parse(...list), { code: Code.InvalidArgument, message });
  });
}

test("a flag that this runsc does not have is named, with what set it and a similar one", () => {
  const binary = { path: "/usr/bin/runsc", identity: "", version: "1", flags: new Map([["file-access", ""]]) };
  const check = (toml: string) => () => checkFlags(parse(body(toml)), binary);
  check("[runsc_config]\nfile-access = 'shared'\nuser-log = '/x'\n")();
  const message = 'options: runsc_config.file_access: /usr/bin/runsc (1) has no such flag; "file-access"?';
  assert.throws(check("[runsc_config]\nfile_access = 'shared'\n"), { code: Code.InvalidArgument, message });
});
