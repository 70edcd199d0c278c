import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { detectCgroups } from "../cgroup/host.ts";
import { defaultSpec } from "./testing/default-spec.ts";
import { MAPS, USER } from "./testing/namespaces.ts";
import { type Outcome, type PlanChange, TestPod } from "./testing/pod.ts";
import { makeRootfs } from "./testing/rootfs.ts";

let pod: TestPod;
let host: string;
before(async () => {
  pod = await TestPod.open();
  host = join(pod.folder, "host");
  mkdirSync(join(host, "sub"), { recursive: true });
  writeFileSync(join(host, "file"), "host file\n");
});
after(() => pod[Symbol.asyncDispose]());

type Config = ReturnType<typeof defaultSpec>;

async function run(
  script: string,
  mounts: Config["mounts"],
  plan: PlanChange = {},
  change = (_: Config) => {},
): Promise<Outcome> {
  const config = defaultSpec(["sh", "-c", script]);
  config.mounts.push(...mounts);
  change(config);
  const container = await pod.create(config, plan);
  return container.end();
}

function bind(source: string, destination: string, ...options: string[]) {
  return { destination, type: "bind", source, options: ["rbind", ...options] };
}

const FLAGS = (target: string) => `grep ' ${target} ' /proc/self/mountinfo | busybox awk '{print $6, $7}'`;

test("binds of a directory, a file and a device onto missing and existing targets, in listed order", async () => {
  const mounts = [
    bind(host, "/new/dir"),
    bind(join(host, "file"), "/new/dir/sub/../../file"),
    bind("/dev/zero", "/tmp/zero"),
    bind(join(host, "file"), "/etc/passwd", "ro"),
    { destination: "/tmp/deep", type: "tmpfs", source: "tmpfs", options: ["ro", "mode=700"] },
    bind(host, "/tmp/deep/inner"),
  ];
  const script =
    "cat /new/dir/file /new/file /etc/passwd; stat -c %t:%T /tmp/zero; ls /tmp/deep/inner; touch /tmp/deep/x /tmp/deep/inner/x; stat -c %a /tmp/deep";
  const { stdout, stderr, failure } = await run(script, mounts);
  assert.equal(failure, undefined);
  assert.equal(stdout, "host file\nhost file\nhost file\n1:5\nfile\nsub\n700\n");
  assert.match(stderr, /^touch: \/tmp\/deep\/x: Read-only file system\n$/);
  rmSync(join(host, "x"));
  assert.deepEqual(readdirSync(host), ["file", "sub"]);
});

test("options show in mountinfo", async () => {
  const options = ["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow"];
  const tmpfs = { destination: "/t", type: "tmpfs", source: "here", options: ["size=4k", "nr_inodes=7", ...options] };
  const script = [
    FLAGS("/a"),
    FLAGS("/b"),
    FLAGS("/c"),
    "grep ' /t ' /proc/self/mountinfo | busybox sed 's/.* - //'",
    FLAGS("/t"),
  ].join("; ");
  const mounts = [
    bind(host, "/a", ...options),
    bind(host, "/b", "rslave", "ro", "rw"),
    bind(host, "/c", "shared"),
    tmpfs,
  ];
  const { stdout, failure } = await run(script, mounts);
  assert.equal(failure, undefined);
  assert.match(
    stdout,
    /^ro,nosuid,nodev,noexec,noatime,nodiratime,nosymfollow -\nrw,relatime (?:-|master:[0-9]+)\nrw,relatime shared:[0-9]+\ntmpfs here rw,size=4k,nr_inodes=7(?:,inode64)?\nro,nosuid,nodev,noexec,noatime,nodiratime,nosymfollow -\n$/,
  );
});

test("rro reaches submounts, ro does not; remount keeps what it does not name", async () => {
  const tree = join(pod.folder, "tree");
  mkdirSync(join(tree, "sub"), { recursive: true });
  execFileSync("mount", ["-t", "tmpfs", "tmpfs", join(tree, "sub")]);
  try {
    const remount = { destination: "/one", type: "", source: "", options: ["remount", "bind", "nosuid"] };
    const mounts = [bind(tree, "/one", "ro"), bind(tree, "/all", "rro"), remount];
    const { stdout, stderr } = await run(`touch /one/x /one/sub/x /all/x /all/sub/y; ${FLAGS("/one")}`, mounts);
    assert.equal(
      stderr.replaceAll("touch: ", ""),
      ["/one/x", "/all/x", "/all/sub/y"].map((path) => `${path}: Read-only file system\n`).join(""),
    );
    assert.match(stdout, /^ro,nosuid,relatime/);
  } finally {
    execFileSync("umount", [join(tree, "sub")]);
  }
});

test("overlay and bind rootfs of Create, and a mount below it", async () => {
  const layers = ["lower", "upper", "work"].map((name) => join(pod.folder, name));
  const [lower = "", upper = "", work = ""] = layers;
  for (const layer of layers) mkdirSync(layer);
  makeRootfs(lower);
  const overlay = {
    type: "overlay",
    source: "overlay",
    target: "",
    options: [`workdir=${work}`, `upperdir=${upper}`, `lowerdir=${lower}`],
  };
  const below = { type: "bind", source: host, target: "tmp", options: ["ro", "rbind"] };
  const first = await run("echo hi > /file; ls /tmp; grep ' / / ' /proc/self/mountinfo | grep -c overlay", [], {
    rootfs: [overlay, below],
  });
  assert.equal(first.stdout, "file\nsub\n1\n");
  assert.ok(existsSync(join(upper, "file")));
  mkdirSync(join(lower, "run"));
  const many = Array.from({ length: 30 }, (_, i) => join(pod.folder, `layer-${i}`));
  for (const layer of many) mkdirSync(layer);
  const long = { ...overlay, options: [`lowerdir=${[...many, lower].join(":")}`] }; // one by one, or by mount(2): as the kernel is
  const second = await run("touch /x; echo ok", [], { rootfs: [long] });
  assert.match(second.stderr, /Read-only/);
  assert.equal(second.stdout, "ok\n");
  const readonly = { type: "bind", source: lower, target: "", options: ["ro", "rbind"] };
  const third = await run("touch /x; echo ok", [], { rootfs: [readonly] });
  assert.match(third.stderr, /Read-only/);
});

test("an overlay of many layers, and of names with commas, on a kernel before 6.5: read and write, read-only, in a user namespace", async () => {
  const old = { ...pod.host, kernel: [6, 1] as const };
  const folder = join(pod.folder, "many");
  const names = Array.from({ length: 60 }, (_, i) => join(folder, `${i},of a name that is long`));
  for (const [i, path] of names.entries()) {
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, `file-${i}`), "");
  }
  const base = join(folder, "base");
  mkdirSync(base);
  makeRootfs(base);
  mkdirSync(join(base, "run"));
  const writable = ["upper", "work"].map((name) => join(folder, name));
  for (const path of writable) mkdirSync(path);
  const [upper = "", work = ""] = writable;
  const lower = `lowerdir=${[...names, base].join(":")}`;
  const overlay = (...options: string[]) => ({ type: "overlay", source: "overlay", target: "", options });
  const script = "ls / | grep -c file-; touch /new; echo $?";
  const before = pod.hostMounts();
  const shown = async (rootfs: ReturnType<typeof overlay>, change: (config: Config) => unknown = () => {}) =>
    await run(script, [], { rootfs: [rootfs], host: old }, change);
  const both = await shown(overlay(`workdir=${work}`, `upperdir=${upper}`, lower));
  assert.deepEqual([both.failure, both.stdout], [undefined, "60\n0\n"]);
  assert.ok(existsSync(join(upper, "new")));
  rmSync(join(upper, "new"));
  const below = await shown(overlay(lower, "ro"));
  assert.deepEqual([below.failure, below.stdout], [undefined, "60\n1\n"]);
  assert.match(below.stderr, /Read-only/);
  for (const path of [base, ...writable]) execFileSync("chown", ["-R", "100000:200000", path]);
  const mapped = await shown(overlay(`workdir=${work}`, `upperdir=${upper}`, lower), (config) => {
    config.linux.namespaces = USER.map((type) => ({ type }));
    Object.assign(config.linux, MAPS);
  });
  assert.deepEqual([mapped.failure, mapped.stdout], [undefined, "60\n0\n"]);
  const missing = await shown(overlay(`${lower}:${folder}/none`));
  assert.equal(
    missing.failure,
    'rootfs[0] "overlay": the source, or a path in the options, does not exist (ENOENT from mount)',
  );
  assert.equal(pod.hostMounts(), before);
  rmSync(folder, { recursive: true });
});

test("a file system whose source or options are paths of the host: a device, an overlay", async () => {
  const disk = join(pod.folder, "disk");
  const lower = join(pod.folder, "layer");
  mkdirSync(lower);
  writeFileSync(join(lower, "layer"), "of the host\n");
  execFileSync("truncate", ["-s", "4M", disk]);
  execFileSync("mkfs.ext4", ["-q", disk]);
  const device = execFileSync("losetup", ["--find", "--show", disk], { encoding: "utf8" }).trim();
  try {
    const mounts = [
      { destination: "/disk", type: "ext4", source: device, options: ["ro"] },
      { destination: "/layers", type: "overlay", source: "overlay", options: [`lowerdir=${lower}:${host}`] },
    ];
    const allowed = { allow: true, type: "b", major: 7, access: "r" };
    const script = "ls -d /disk/lost+found; cat /layers/layer /layers/file; touch /disk/x";
    const { stdout, stderr, failure } = await run(script, mounts, {}, ({ linux }) => {
      Object.assign(linux, { resources: { devices: [allowed] } });
    });
    assert.equal(failure, undefined);
    assert.equal(stdout, "/disk/lost+found\nof the host\nhost file\n");
    assert.match(stderr, /\/disk\/x: Read-only file system/);
  } finally {
    execFileSync("losetup", ["--detach", device]);
    rmSync(lower, { recursive: true });
  }
});

test("failures name the mount and the reason", async () => {
  const failure = async (mount: Config["mounts"][number]) => (await run("true", [mount])).failure;
  assert.equal(
    await failure(bind("/no/such", "/data")),
    'mounts[7] "/data": source does not exist (ENOENT from open_tree)',
  );
  assert.equal(
    await failure({ destination: "/data", type: "foofs", source: "x", options: [] }),
    'mounts[7] "/data": unknown file system type (ENODEV from fsopen)',
  );
  assert.match(
    (await failure({ destination: "/data", type: "tmpfs", source: "x", options: ["bar=1"] })) ?? "",
    /^mounts\[7\] "\/data": .*EINVAL from fsconfig bar/,
  );
  writeFileSync(pod.path("tmp/afile"), "");
  assert.match((await failure(bind(host, "/tmp/afile"))) ?? "", /^mounts\[7\] "\/tmp\/afile": a directory and a file/);
  assert.match(
    (await failure(bind(host, "/tmp/afile/below"))) ?? "",
    /^mounts\[7\] "\/tmp\/afile\/below": target has a file where/,
  );
  const mode = await run("true", [], {
    rootfs: [{ type: "overlay", source: "overlay", target: "", options: [`lowerdir=/no/such:${host}`] }],
  });
  assert.match(mode.failure ?? "", /^rootfs\[0\] "overlay": .*ENOENT from fsconfig/);
  const root = await run("true", [], {}, (config) => Object.assign(config, { root: { path: "nowhere" } }));
  assert.equal(root.failure, 'root.path "nowhere": does not exist (ENOENT from open rootfs)');
});

test("symlinks in the image lead nowhere outside", async () => {
  const canary = join(pod.folder, "canary");
  mkdirSync(canary);
  symlinkSync(canary, pod.path("tmp/out"));
  symlinkSync("/../../../..", pod.path("tmp/up"));
  const dangling = await run("true", [bind(host, "/tmp/out")]);
  assert.match(dangling.failure ?? "", /^mounts\[7\] "\/tmp\/out": target has a (symlink|file)/);
  mkdirSync(pod.path(canary), { recursive: true });
  const inside = await run(`ls ${canary}; ls /viaup`, [bind(host, "/tmp/out"), bind(host, "/tmp/up/viaup")]);
  assert.equal(inside.stdout, "file\nsub\nfile\nsub\n");
  assert.deepEqual(readdirSync(canary), []);
  symlinkSync("/proc", pod.path("tmp/p"));
  const inProc = await run("true", [bind(host, "/tmp/p/self/attr")]);
  assert.match(inProc.failure ?? "", /target (lies inside \/proc|does not exist|cannot be made)/);
  const cpuinfo = await run("true", [bind(join(host, "file"), "/tmp/p/cpuinfo")]);
  assert.match(cpuinfo.failure ?? "", /target lies inside \/proc/);
  const allowed = await run("cat /proc/cpuinfo", [bind(join(host, "file"), "/proc/cpuinfo")]);
  assert.equal(allowed.stdout, "host file\n");
  const overProc = await run("true", [bind(host, "/proc")]);
  assert.match(overProc.failure ?? "", /^mounts\[7\] "\/proc": is on another file system/);
});

test("/proc, /sys or /dev of the image is a symlink", async () => {
  for (const name of ["proc", "sys", "dev"]) {
    rmSync(pod.path(name), { recursive: true });
    const target = join(pod.folder, `stolen-${name}`);
    mkdirSync(target);
    symlinkSync(`../../stolen-${name}`, pod.path(name));
    mkdirSync(pod.path(`stolen-${name}`));
    const { failure, stdout } = await run("echo ran", []);
    if (name === "dev") assert.equal(stdout, "ran\n");
    else assert.match(failure ?? "", new RegExp(`^mounts\\[[05]\\] "/${name}": target has a symlink in it \\(ELOOP`));
    assert.deepEqual(readdirSync(target), []);
    rmSync(pod.path(name));
    mkdirSync(pod.path(name));
  }
});

test("no /dev mount: nodes are made in the image's directory and links of the image are not followed", async () => {
  const withoutDev = (config: Config) => {
    config.mounts = config.mounts.filter(({ destination }) => !destination.startsWith("/dev"));
  };
  const ok = await run("echo x > /dev/null; ls -l /dev/ptmx", [], {}, withoutDev);
  assert.equal(ok.failure, undefined);
  rmSync(pod.path("dev/null"));
  symlinkSync("/etc/passwd", pod.path("dev/null"));
  const bad = await run("true", [], {}, withoutDev);
  assert.equal(
    bad.failure,
    'default device "/dev/null": is another kind of file than configured (EXDEV from device type)',
  );
  renameSync(pod.path("dev"), pod.path("dev.old"));
  mkdirSync(pod.path("dev"));
});

test("devices of the config; a /dev of the host's is left alone", async () => {
  const devices = [
    { path: "/dev/net/tun", type: "c", major: 10, minor: 200, fileMode: 0o100600, uid: 5, gid: 6 },
    { path: "/dev/null", type: "c", major: 1, minor: 3, fileMode: 0o600 },
    { path: "/opt/fifo", type: "p" },
  ];
  const script = "stat -c '%n %a %u:%g %t,%T %F' /dev/net/tun /dev/null /opt/fifo";
  const made = await run(script, [], {}, (config) => Object.assign(config.linux, { devices }));
  assert.equal(made.failure, undefined);
  assert.match(
    made.stdout,
    /^\/dev\/net\/tun 600 5:6 a,c8 character special file\n\/dev\/null 600 0:0 1,3 .*\n\/opt\/fifo 666 0:0 0,0 fifo\n$/,
  );
  const before = readdirSync("/dev").sort();
  await run("true", [bind("/dev", "/dev")], {}, (config) => {
    config.mounts = config.mounts.filter(
      ({ destination }) => !destination.startsWith("/dev") || destination === "/dev",
    );
  });
  assert.deepEqual(readdirSync("/dev").sort(), before);
});

const v1 = detectCgroups().mode === "v2" ? test.skip : test; // v2's is in faults.e2e.test.ts

v1("a cgroup mount shows the container's own directories", async () => {
  const names = ["memory", "pids"];
  const ownDirs = names.map((name) => ({ name, path: `/sys/fs/cgroup/${name}/launch-test`, links: [`${name}-link`] }));
  for (const { path } of ownDirs) mkdirSync(path, { recursive: true });
  const attachFiles = ownDirs.map(({ path }) => `${path}/tasks`);
  const mount = {
    destination: "/sys/fs/cgroup",
    type: "cgroup",
    source: "cgroup",
    options: ["ro", "nosuid", "noexec", "nodev", "relatime"],
  };
  const script =
    "cat /proc/self/cgroup | grep memory; cat /sys/fs/cgroup/memory/tasks | head -n 1; ls /sys/fs/cgroup; touch /sys/fs/cgroup/x";
  const outcome = await run(script, [mount], { cgroup: { attachFiles, ownDirs } }, ({ linux }) =>
    linux.namespaces.push({ type: "cgroup" }),
  );
  for (const { path } of ownDirs) execFileSync("rmdir", [path]);
  assert.equal(outcome.failure, undefined);
  assert.match(outcome.stdout, /^[0-9]+:memory:\/\n1\nmemory\nmemory-link\npids\npids-link\n$/);
  assert.match(outcome.stderr, /Read-only/);
});
