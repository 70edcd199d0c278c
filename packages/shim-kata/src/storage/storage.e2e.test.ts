/** A pod's share with real programs; the guest is a mount of the bridge's other half on this host. Runs in a mount namespace of its own. */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import { parseSpec, readHostFeatures } from "@trimaran/linux";
import { Monitored } from "../testing/monitored.ts";
import { shareLayout } from "./layout.ts";
import { findShare, openShare, type Share, type SharedContainer } from "./share.ts";
import { planVolumes } from "./volumes.ts";

const BRIDGE = join(import.meta.dirname, "../../../../build/fsbridge/trimaran-fsbridge");
const VIRTIOFSD = "/usr/lib/qemu/virtiofsd";
const FEATURES = readHostFeatures();
const LINUX = { namespaces: [{ type: "mount" }] };
const LIMIT_MS = 10_000;
/** virtiofsd lets a kernel believe in a name for so long. */
const ENTRY_MS = 1000;

/** A pod with its share, as a guest sees it at `guest`. */
class Pod implements AsyncDisposable {
  readonly monitored: Monitored;
  readonly directory: string;
  readonly guest: string;
  readonly plan: Parameters<typeof openShare>[1];
  #half: ChildProcess | undefined;

  constructor(
    monitored: Monitored,
    binaries = { bridge: BRIDGE, virtiofsd: VIRTIOFSD },
    more: Partial<Parameters<typeof openShare>[1]> = {},
  ) {
    this.monitored = monitored;
    this.directory = join(monitored.folder, "pod");
    this.guest = join(monitored.folder, "guest");
    for (const path of [this.directory, this.guest]) mkdirSync(path);
    this.plan = { pod: "pod", layout: shareLayout(this.directory), binaries, cgroup: { attachFiles: [] }, ...more };
  }

  open(): Promise<Share> {
    return openShare(this.monitored.host, this.plan, FEATURES);
  }

  /** What the guest does: mount. */
  async mount(): Promise<void> {
    const half = spawn(BRIDGE, ["guest", `connect:${this.plan.layout.guestSocket}`, this.guest], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    this.#half = half;
    await once(half.stdout, "data");
  }

  /** In the host's view: a container's bundle with an overlay rootfs. */
  container(id: string, mounts: readonly object[] = []): SharedContainer {
    const bundle = join(this.monitored.folder, id);
    for (const name of ["lower", "upper", "work"]) mkdirSync(join(bundle, name), { recursive: true });
    writeFileSync(join(bundle, "lower/file"), `of ${id}\n`);
    const spec = parseSpec(JSON.stringify({ ociVersion: "1.0.2", root: { path: "rootfs" }, mounts, linux: LINUX }));
    const options = ["lowerdir", "upperdir", "workdir"].map((key) => `${key}=${bundle}/${key.slice(0, -3)}`);
    const rootfs = [{ type: "overlay", source: "overlay", target: "", options }];
    return { request: { id, bundle, rootfs }, spec, volumes: planVolumes(spec.mounts) };
  }

  /** A shell script in the guest's view of the share. */
  async sh(script: string): Promise<string> {
    const options = { timeout: LIMIT_MS, killSignal: "SIGKILL", cwd: this.guest } as const;
    return (await promisify(execFile)("sh", ["-euc", script], options)).stdout.trim();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#half) execFileSync("umount", ["-l", this.guest]);
    this.#half?.kill("SIGKILL");
    await this.monitored[Symbol.asyncDispose]();
  }
}

test("rootfs and volumes of two containers, the second one mounted later, from what was mounted on the host later", async () => {
  await using pod = new Pod(await Monitored.open());
  const share = await pod.open();
  await pod.mount();
  const host = (name: string) => join(pod.monitored.folder, name);
  mkdirSync(host("data"));
  writeFileSync(host("data/a"), "a\n");
  writeFileSync(host("hosts"), "127.0.0.1\n");
  const bind = (destination: string, source: string, ...options: string[]) => ({ destination, source, options });
  const one = pod.container("one", [
    { destination: "/proc", type: "proc", source: "proc" },
    bind("/data", host("data"), "rbind", "rw"),
    bind("/frozen", host("data"), "rbind", "ro"),
    { destination: "/dev/shm", type: "bind", source: "/run/sandbox/shm", options: ["rbind"] },
    bind("/etc/hosts", host("hosts"), "bind", "rprivate"),
    bind("/etc/frozen", host("hosts"), "bind", "ro"),
  ]);
  await share.add(one);
  await share.add(one); // as a replayed request does
  assert.equal(
    await pod.sh("ls; ls one; cat one/rootfs/file one/0/a one/2"),
    "one\n0\n1\n2\n3\nrootfs\nof one\na\n127.0.0.1",
  );
  await pod.sh("echo new > one/rootfs/new; rm one/rootfs/file; echo b > one/0/b; echo ::1 >> one/2");
  assert.equal(readFileSync(host("one/upper/new"), "utf8"), "new\n");
  assert.equal(readFileSync(host("data/b"), "utf8"), "b\n");
  assert.equal(readFileSync(host("hosts"), "utf8"), "127.0.0.1\n::1\n");

  for (const write of [
    "echo x > one/1/x",
    "echo x > one/3",
    "mkdir two",
    "mkdir one/4",
    "rmdir one/0",
    "mv one/2 one/5",
  ])
    await assert.rejects(pod.sh(write), /Read-only file system|busy|Directory nonexistent/, write);
  assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(pod.directory));

  mkdirSync(host("late"));
  execFileSync("mount", ["-t", "tmpfs", "late", host("late")]);
  writeFileSync(host("late/secret"), "s\n");
  const two = pod.container("two", [bind("/late", host("late"), "rbind", "ro")]);
  await share.add(two);
  assert.equal(await pod.sh("cat two/rootfs/file two/0/secret"), "of two\ns");
  execFileSync("umount", [host("late")]);

  const found = findShare(pod.monitored.restart(), pod.plan, FEATURES);
  await found.remove("one", one.volumes.length);
  await found.remove("one", one.volumes.length);
  await setTimeout(ENTRY_MS);
  assert.equal(await pod.sh("ls; cat two/0/secret"), "two\ns");
  const held = filesOf(pod.directory);
  await assert.rejects(pod.sh("stat one"), /No such file/); // the guest forgets what it knew below, and virtiofsd lets go of it
  while (filesOf(pod.directory) >= held) await setTimeout(5);
  await found.close();
  await found.close();
  const never = findShare(pod.monitored.restart(), pod.plan, FEATURES);
  await never.remove("one", 1);
  assert.equal((await never.ended()).kind, "lost");
  await never.close();
  assert.deepEqual(readdirSync(pod.directory), []);
});

for (const [name, source, reason] of [
  ["a volume without a source", "/no/such", /^mounts\[1\] "\/v": source does not exist \(ENOENT from open_tree\)$/],
  ["a device", "/dev/null", /^mounts\[1\] "\/v": source is neither a directory nor a file, so it can't be shared/],
] as const)
  test(`${name} is refused by field, and nothing of the container stays`, async () => {
    await using pod = new Pod(await Monitored.open());
    const share = await pod.open();
    await pod.mount();
    const volumes = [
      { destination: "/etc", type: "bind", source: "/etc", options: ["rbind", "ro"] },
      { destination: "/v", type: "bind", source, options: ["rbind"] },
    ];
    await assert.rejects(share.add(pod.container("one", volumes)), { message: reason });
    assert.equal(await pod.sh("ls"), "");
    await share.add(pod.container("one"));
    assert.equal(await pod.sh("ls one/rootfs"), "file");
    await share.close();
  });

test("a volume on a server that does not answer: an error after a while, and nothing of the container stays", async () => {
  await using server = new Pod(await Monitored.open());
  await (await server.open()).add(server.container("files"));
  await server.mount();
  await using pod = new Pod(await Monitored.open(), undefined, { mountLimitMs: 300 });
  const share = await pod.open();
  await pod.mount();
  const stopped = processesIn(server.directory).filter(({ name }) => name.includes("trimaran-fsbridge"));
  for (const { pid } of stopped) process.kill(pid, "SIGSTOP");
  const source = join(server.guest, "files/rootfs");
  const late = share.add(pod.container("one", [{ destination: "/v", type: "bind", source, options: ["rbind"] }]));
  await assert.rejects(late, { message: "mounts: a source does not answer in 300 ms" });
  for (const { pid } of stopped) process.kill(pid, "SIGCONT");
  assert.equal(await pod.sh("ls"), "");
  await share.add(pod.container("two"));
  assert.equal(await pod.sh("ls two/rootfs"), "file");
});

test("many volumes", async () => {
  await using pod = new Pod(await Monitored.open());
  const share = await pod.open();
  await pod.mount();
  const volumes = Array.from({ length: 90 }, (_, i) => ({
    destination: `/v${i}`,
    type: "bind",
    source: "/etc",
    options: ["rbind", "ro"],
  }));
  await share.add(pod.container("one", volumes));
  assert.equal(await pod.sh("ls one | wc -l; cmp one/89/passwd /etc/passwd && echo same"), "91\nsame");
  await share.remove("one", 90);
  await share.close();
});

test("a program is not there: the reason, and nothing stays", async () => {
  for (const missing of ["bridge", "virtiofsd"] as const) {
    const binaries = { bridge: BRIDGE, virtiofsd: VIRTIOFSD, [missing]: "/no/program" };
    await using pod = new Pod(await Monitored.open(), binaries);
    await assert.rejects(pod.open(), /program "\/no\/program": .*no such file or directory/);
    assert.deepEqual(readdirSync(pod.directory), []);
  }
});

test("the bridge or the file daemon is killed: the share has ended, and its mounts with it", async () => {
  for (const program of ["trimaran-fsbridge", "virtiofsd"]) {
    await using pod = new Pod(await Monitored.open());
    const share = await pod.open();
    await pod.mount();
    await share.add(pod.container("one"));
    const again = findShare(pod.monitored.host, pod.plan, FEATURES); // whoever waits for the first one is told all the same
    const pids = processesIn(pod.directory);
    const [victim] = pids.filter(({ name }) => name.includes(program)); // its child, where it has one, ends with it
    process.kill(victim?.pid ?? assert.fail(program), "SIGKILL");
    await Promise.all([share.ended(), again.ended()]);
    if (program === "virtiofsd") assert.match(await share.reason(), /trimaran-fsbridge: file daemon: closed/);
    await assert.rejects(pod.sh("ls one"), /ENOTCONN|ECONNABORTED|not connected|connection abort/);
    await share.remove("one", 0);
    await share.close();
    assert.deepEqual(processesIn(pod.directory), []);
    assert.deepEqual(readdirSync(pod.directory), []);
  }
});

test("the monitor is killed: nothing runs on, nothing is mounted", async () => {
  await using pod = new Pod(await Monitored.open());
  await pod.open();
  await pod.mount();
  assert.equal(processesIn(pod.directory).length, 3);
  await pod.monitored.kill();
  while (processesIn(pod.directory).length > 0) await setTimeout(5);
});

/** How many fds virtiofsd has open. */
function filesOf(directory: string): number {
  const pid = processesIn(directory).findLast(({ name }) => name.includes("virtiofsd"))?.pid;
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** Processes whose command line names this directory, the guest's half apart. */
function processesIn(directory: string): { readonly pid: number; readonly name: string }[] {
  return readdirSync("/proc").flatMap((entry) => {
    const path = `/proc/${entry}/cmdline`;
    if (!/^\d+$/.test(entry) || !existsSync(path)) return [];
    const command = read(path);
    const isOurs = command.includes(`${directory}/`) && !command.includes("\0guest\0");
    return isOurs ? [{ pid: Number(entry), name: command.split("\0")[0] ?? "" }] : [];
  });
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // it has just ended
  }
}
