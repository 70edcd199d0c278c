import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { closeSync, mkdirSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Bundle } from "../bundles/bundle.ts";
import { loadSyscalls } from "../host/syscalls.ts";
import { writeFakeShim } from "../testing/fake-shim.ts";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { runShimDelete } from "./delete-shim.ts";
import { awaitStartOutput, openStartOutput } from "./start-output.ts";
import { type ShimParent, startShim } from "./start-shim.ts";

const syscalls = loadSyscalls();
const parent: ShimParent = {
  grpcAddress: "/s/g.sock",
  ttrpcAddress: "/s/g.sock.ttrpc",
  publishBinary: "/bin/publish",
  environment: { PATH: process.env.PATH, OURS: "yes" },
  debug: false,
};

function prepare(path: string): Bundle {
  const bundle = { namespace: "ns", id: "web", path: join(path, "bundle"), workPath: join(path, "work") };
  mkdirSync(bundle.path);
  return bundle;
}

const start = (binary: string, bundle: Bundle, timeoutMs = 10_000, input?: Uint8Array) =>
  startShim(binary, bundle, parent, {
    syscalls,
    signal: AbortSignal.timeout(timeoutMs),
    ...(input && { input }),
  });

test("a shim gets containerd's arguments, environment, directory and group", async () => {
  using directory = temporaryDirectory();
  const bundle = prepare(directory.path);
  const seen = 'echo "$@" > args; env > env; pwd > cwd; cat > stdin; ps -o pid=,pgid= -p $$ > group; echo unix:///x';
  const endpoint = await start(writeFakeShim(directory.path, { start: seen }), bundle, 10_000, Buffer.from("any"));
  assert.deepEqual(endpoint, { version: 2, address: "unix:///x", protocol: "ttrpc" });
  const read = (name: string) => readFileSync(join(bundle.path, name), "utf8").trim();
  assert.equal(read("args"), "-namespace ns -address /s/g.sock -publish-binary /bin/publish -id web start");
  const env = new Set(read("env").split("\n"));
  const expected = [
    "OURS=yes",
    "TTRPC_ADDRESS=/s/g.sock.ttrpc",
    "GRPC_ADDRESS=/s/g.sock",
    "NAMESPACE=ns",
    "MAX_SHIM_VERSION=2",
    "GOMAXPROCS=2",
  ];
  for (const entry of expected) assert.ok(env.has(entry), entry);
  assert.equal(read("cwd"), realpathSync(bundle.path));
  assert.equal(read("stdin"), "any");
  const [pid, group] = read("group").split(/\s+/);
  assert.equal(pid, group);
});

test("stdout and stderr are one, and without input stdin is at its end", async () => {
  using directory = temporaryDirectory();
  const shim = writeFakeShim(directory.path, { start: "cat; echo unix:///y >&2" });
  assert.equal((await start(shim, prepare(directory.path))).address, "unix:///y");
});

test("a failing start speaks in its own words", async () => {
  using directory = temporaryDirectory();
  const bundle = prepare(directory.path);
  const shim = writeFakeShim(directory.path, { start: "echo no such pod >&2; exit 3" });
  await assert.rejects(start(shim, bundle), /start: exit status 3: no such pod/);
  using another = temporaryDirectory();
  await assert.rejects(start("/nonexistent/shim", prepare(another.path)), /ENOENT/);
});

test("a daemon that keeps its parent's stdout does not delay start; a start that hangs is ended in time", async () => {
  using directory = temporaryDirectory();
  const shim = writeFakeShim(directory.path, { start: "echo unix:///z; sleep 2 & exit 0" });
  assert.equal((await start(shim, prepare(directory.path))).address, "unix:///z");
  using another = temporaryDirectory();
  const hanging = writeFakeShim(another.path, { start: "exec sleep 30" });
  await assert.rejects(start(hanging, prepare(another.path), 300), /no reply in time/);
});

test("what start prints is found by a manager that comes after a crash, also while start still runs", async () => {
  using directory = temporaryDirectory();
  const bundle = prepare(directory.path);
  assert.equal(await awaitStartOutput(bundle, syscalls), undefined);
  const shim = writeFakeShim(directory.path, { start: "touch started; read -r line; echo unix:///$line" });
  const output = openStartOutput(bundle, syscalls);
  const child = spawn(shim, ["start"], { cwd: bundle.path, stdio: ["pipe", output, output] });
  closeSync(output);
  const found = awaitStartOutput(bundle, syscalls);
  child.stdin?.end("late\n");
  assert.equal(String(await found), "unix:///late\n");
});

test("delete gets the bundle too, and its output is parsed", async () => {
  using directory = temporaryDirectory();
  const bundle = prepare(directory.path);
  const shim = writeFakeShim(directory.path, {
    delete: `echo "$@" > args; printf '\\010\\007\\020\\211\\001\\032\\002\\010\\005'`,
  });
  assert.deepEqual(await runShimDelete(shim, bundle, parent, syscalls), {
    pid: 7,
    status: 137,
    exitedAtNs: 5_000_000_000n,
  });
  assert.match(readFileSync(join(bundle.path, "args"), "utf8"), new RegExp(`-id web -bundle ${bundle.path} delete`));
  const failing = writeFakeShim(directory.path, { delete: "echo broken >&2; exit 1" });
  await assert.rejects(runShimDelete(failing, bundle, parent, syscalls), /delete: broken/);
});
