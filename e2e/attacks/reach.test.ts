/** Who can reach what is ours on the host: sockets, directories, state. And what a container sees of them. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { run } from "../harness/process.ts";
import { ShimYard, type StartedShim, trimaranShim } from "../harness/shims.ts";
import { throwAt } from "./bed/throw-at.ts";

let yard: ShimYard;
let pod: StartedShim;
let pid: number;
before(async () => {
  process.env.ATTACK_TOKEN = "do-not-tell"; // the environment that containerd would give to start
  const path = "/usr/sbin:/usr/bin:/sbin:/bin";
  yard = await ShimYard.open({ name: "trimaran", binary: trimaranShim(), style: "2.1", isControl: false, path });
  pod = await yard.start(["sleep", "1000"]);
  ({ pid } = await pod.create());
  await pod.shim.task.start({ id: pod.id });
});
after(() => yard[Symbol.asyncDispose]());

function socketOf({ shim }: StartedShim): string {
  return shim.reply.address.replace("unix://", "");
}

/** The monitor of our pod. */
function monitorPid(): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^PPid:\t(\d+)$/m.exec(status)?.[1]);
}

test("CVE-2021-41103, CVE-2024-25621: nobody but root gets into the state, and no file there is for others", () => {
  const names = readdirSync(yard.trimaranState, { recursive: true, encoding: "utf8" });
  assert.ok(names.some((name) => name.endsWith("server.sock")));
  for (const name of ["", ...names]) {
    const { mode, uid } = lstatSync(join(yard.trimaranState, name));
    assert.deepEqual([mode & 0o077, uid], [0, 0], `${name} ${mode.toString(8)}`);
  }
  assert.equal(lstatSync(socketOf(pod)).mode & 0o777, 0o600);
});

test("CVE-2020-15257: no abstract socket is ours", () => {
  const lines = readFileSync("/proc/net/unix", "utf8").split("\n");
  const inodes = [monitorPid(), ...taskServers()].flatMap(socketInodes);
  assert.ok(inodes.length > 0);
  const ours = lines.filter((line) => inodes.includes(line.trim().split(/\s+/)[6] ?? ""));
  assert.ok(
    ours.some((line) => line.includes(socketOf(pod))),
    "it has been looked for",
  );
  assert.deepEqual(
    ours.filter((line) => line.includes("@")),
    [],
  );
});

function taskServers(): number[] {
  const names = readdirSync(yard.trimaranState, { recursive: true, encoding: "utf8" });
  const files = names.filter((name) => name.endsWith("server.pid"));
  return files.map((name) => Number(readFileSync(join(yard.trimaranState, name), "utf8").split(" ")[0]));
}

function socketInodes(of: number): string[] {
  const links = run0(["ls", "-l", `/proc/${of}/fd`]);
  return [...links.matchAll(/socket:\[(\d+)\]/g)].map(([, inode]) => inode ?? "");
}

function run0(argv: readonly string[]): string {
  const [file = "", ...args] = argv;
  return spawnSync(file, args, { encoding: "utf8" }).stdout;
}

test("CVE-2020-15257: another user who gets at the socket is not listened to, whatever its mode is", async () => {
  const path = socketOf(pod);
  assert.match((await run([...NOBODY, process.execPath, "-e", DIAL, path])).stdout, /EACCES/);
  // The defence of the file system is off, in a mount namespace of ours: what is left is the check of the peer.
  const open = (...as: string[]) =>
    run(["unshare", "--mount", "sh", "-c", EXPOSE, "sh", path, ...as, process.execPath, "-e", DIAL]);
  chmodSync(path, 0o666);
  try {
    assert.match((await open(...NOBODY)).stdout, /^(closed|ECONNRESET|EPIPE)/);
    assert.match((await open()).stdout, /^open/, "the control: root is listened to");
  } finally {
    chmodSync(path, 0o600);
  }
});

const NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
const EXPOSE = 'mount --bind "$1" /etc/hostname; shift; exec "$@" /etc/hostname';

/** Connect, send the beginning of a frame, say whether the other end is still there after a while. */
const DIAL = `
const socket = require("node:net").connect(process.argv[1]);
socket.on("error", (error) => { console.log(error.code); process.exit(); });
socket.on("close", () => { console.log("closed"); process.exit(); });
socket.on("connect", () => socket.write(Buffer.alloc(4)));
setTimeout(() => { console.log("open"); process.exit(); }, 1500);`;

test("the monitor cannot be traced or dumped, runs from a sealed copy, and has no secret of containerd's environment", () => {
  const of = monitorPid();
  assert.match(lstatTarget(of), /memfd:/);
  assert.equal(lstatSync(`/proc/${of}/environ`).uid, 0);
  const environment = readFileSync(`/proc/${of}/environ`, "utf8")
    .split("\0")
    .map((entry) => entry.split("=")[0]);
  const allowed = /^(TRIMARAN_[A-Z]+|PATH|)$/;
  assert.deepEqual(
    environment.filter((name) => !allowed.test(name ?? "")),
    [],
  );
});

function lstatTarget(of: number): string {
  return run0(["readlink", `/proc/${of}/exe`]);
}

test("a task server: no code from text, and of start's environment only a few names", () => {
  const servers = taskServers();
  assert.ok(servers.length > 0);
  for (const of of servers) {
    const argv = readFileSync(`/proc/${of}/cmdline`, "utf8").split("\0");
    assert.ok(argv.includes("--disallow-code-generation-from-strings") && argv.includes("--disable-proto=delete"));
    const environment = readFileSync(`/proc/${of}/environ`, "utf8").split("\0");
    const names = environment.map((entry) => entry.split("=")[0] ?? "");
    assert.deepEqual(
      names.filter((name) => !/^(TRIMARAN_[A-Z0-9_]+|NODE_COMPILE_CACHE|PATH|HOME|LANG|TZ|)$/.test(name)),
      [],
    );
    assert.ok(environment.includes(`NODE_COMPILE_CACHE=${yard.trimaranState}/cache/code`), "not start's own");
    assert.ok(!environment.join("\n").includes("do-not-tell"), "what else start had is not passed on");
  }
});

test("hostile bytes on the pod's socket: it lives, its task, too", { timeout: 60_000 }, async () => {
  const path = socketOf(pod);
  const inputs = [
    Buffer.alloc(0),
    Buffer.from("GET / HTTP/1.1\r\n\r\n"),
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    Buffer.alloc(10, 0xff), // 4 GiB to come
    Buffer.concat([Buffer.from([0, 0x40, 0, 1, 0, 0, 0, 1, 1, 0]), Buffer.alloc(1000)]),
    Buffer.concat([Buffer.from([0, 0, 0, 5, 0, 0, 0, 2, 1, 0]), Buffer.alloc(5)]), // an even stream
    Buffer.concat([Buffer.from([0, 0, 0, 3, 0, 0, 0, 1, 9, 9]), Buffer.from("abc")]),
    Buffer.alloc(1 << 20, 1),
  ];
  await Promise.all(
    Array.from({ length: 200 }, (_, i) => throwAt(path, inputs[i % inputs.length] ?? Buffer.alloc(0), 500)),
  );
  assert.equal((await pod.shim.task.state({ id: pod.id })).pid, pid);
  assert.ok(existsSync(`/proc/${pid}`));
});

test("CVE-2025-47291: a container with a user namespace is in the configured cgroup in every hierarchy", () => {
  const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8").trim().split("\n");
  for (const line of lines.filter((text) => !/^0::/.test(text) || lines.length === 1))
    assert.match(line, new RegExp(`:/${yard.tag}/${pod.id}$`));
});

test("a state directory that others can write to is not used", async () => {
  const folder = join(yard.containerd.dir, "open");
  mkdirSync(folder);
  chmodSync(folder, 0o777);
  const { options } = await yard.prepare(["true"]);
  const { invoke } = await import("@trimaran/shim-check");
  const done = await invoke({ ...options, env: { ...options.env, TRIMARAN_STATE: folder } }, "start");
  assert.notEqual(done.code, 0, `${done.stdout}${done.stderr}`);
});
