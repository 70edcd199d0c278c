import assert from "node:assert/strict";
import { chownSync, mkdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { NamespaceKind } from "../spec/linux.ts";
import { defaultSpec } from "./testing/default-spec.ts";
import { type Outcome, type Running, TestPod } from "./testing/pod.ts";

let pod: TestPod;
before(async () => {
  pod = await TestPod.open();
  for (const path of [".", "tmp", "etc", "dev"]) chownSync(pod.path(path), 100000, 200000);
});
after(() => pod[Symbol.asyncDispose]());

type Config = ReturnType<typeof defaultSpec>;
type NamespaceEntry = { type: string; path?: string };

const MAPS = {
  uidMappings: [{ containerID: 0, hostID: 100000, size: 65536 }],
  gidMappings: [{ containerID: 0, hostID: 200000, size: 65536 }],
};
const FILES: Readonly<Record<string, string>> = { mount: "mnt", network: "net" };
const fileOf = (kind: string) => FILES[kind] ?? kind;
const inode = (pid: number | "self", kind: string) => readlinkSync(`/proc/${pid}/ns/${fileOf(kind)}`);

function configure(
  script: string,
  namespaces: readonly NamespaceEntry[],
  change: (config: Config) => unknown = () => {},
): Config {
  const config = defaultSpec(["sh", "-c", script]);
  config.linux.namespaces = namespaces.map((one) => ({ ...one }));
  change(config);
  return config;
}

async function run(config: Config): Promise<Outcome> {
  return (await pod.create(config)).end();
}

/** The default namespaces, those of `joined` by path. */
function entries(owner: Running, joined: readonly string[], more: readonly string[] = []): NamespaceEntry[] {
  const kinds = new Set(["pid", "ipc", "uts", "mount", "network", ...joined, ...more]);
  return [...kinds].map((type) =>
    joined.includes(type) ? { type, path: `/proc/${owner.pid}/ns/${fileOf(type)}` } : { type },
  );
}

async function withOwner(
  change: (config: Config) => unknown,
  kinds: readonly string[],
  use: (owner: Running) => Promise<void>,
): Promise<void> {
  const owner = await pod.create(
    configure(
      "sleep 1000",
      kinds.map((type) => ({ type })),
      change,
    ),
  );
  assert.equal(owner.failure, undefined);
  await owner.start();
  try {
    await use(owner);
  } finally {
    owner.kill();
    await owner.end();
  }
}

const ALL = ["pid", "ipc", "uts", "mount", "network", "cgroup", "time"];

test("join each kind by path, and all of them", async () => {
  await withOwner(
    () => {},
    ALL,
    async (owner) => {
      for (const joined of [
        ["ipc"],
        ["uts"],
        ["network"],
        ["cgroup"],
        ["time"],
        ["pid"],
        ["mount"],
        ["pid", "ipc", "network"],
        ALL,
      ]) {
        const change = ({ linux }: Config) =>
          joined.includes("mount") && Object.assign(linux, { maskedPaths: [], readonlyPaths: [] });
        const config = configure("sleep 1000", entries(owner, joined), change);
        const container = await pod.create(config);
        assert.equal(container.failure, undefined, joined.join());
        await container.start();
        for (const kind of ["pid", "ipc", "uts", "mount", "network"]) {
          const isSame = inode(container.pid, kind) === inode(owner.pid, kind);
          assert.equal(isSame, joined.includes(kind), `${kind} with ${joined}`);
        }
        for (const kind of joined) assert.equal(inode(container.pid, kind), inode(owner.pid, kind), kind);
        container.kill();
        await container.end();
      }
    },
  );
});

test("a path of the wrong kind, of no namespace, of nothing", async () => {
  const failure = async (path: string) =>
    (await run(configure("true", [{ type: "mount" }, { type: "network", path }]))).failure;
  const at = 'linux.namespaces[1] "network" path';
  assert.equal(
    await failure("/proc/self/ns/ipc"),
    `${at} "/proc/self/ns/ipc": is a namespace of another kind (EXDEV from NS_GET_NSTYPE)`,
  );
  assert.equal(await failure("/etc/passwd"), `${at} "/etc/passwd": is not a namespace (ENOTTY from NS_GET_NSTYPE)`);
  assert.equal(await failure("/nope"), `${at} "/nope": does not exist (ENOENT from open namespace)`);
});

test("time offsets", async () => {
  const timeOffsets = { monotonic: { secs: 86400, nanosecs: 5 }, boottime: { secs: 1_000_000 } };
  const { stdout, failure } = await run(
    configure(
      "cat /proc/self/timens_offsets; cat /proc/uptime",
      [{ type: "mount" }, { type: "time" }, { type: "pid" }],
      ({ linux }) => Object.assign(linux, { timeOffsets }),
    ),
  );
  assert.equal(failure, undefined);
  assert.match(stdout, /monotonic +86400 +5\nboottime +1000000 +0\n/);
  const uptime = Number(/\n([0-9]{7,})\./.exec(stdout)?.[1]);
  assert.ok(uptime > 1_000_000);
});

const USER = ["pid", "ipc", "uts", "mount", "network", "cgroup", "user"];

test("a user namespace with maps: ids, mounts, devices, masks", async () => {
  const volume = join(pod.folder, "volume");
  mkdirSync(volume, { mode: 0o700 });
  writeFileSync(join(volume, "file"), "content\n");
  const script = [
    "cat /proc/self/uid_map",
    "id",
    "cat /data/file",
    "echo x > /dev/null && echo null",
    "stat -c '%u %t:%T' /dev/zero",
    "cat /proc/keys | busybox wc -c",
    "touch /run/x && stat -c %u /run/x",
    "grep Cap /proc/self/status",
    "ulimit -n",
  ].join("; ");
  const config = configure(
    script,
    USER.map((type) => ({ type })),
    (config) => {
      Object.assign(config.linux, MAPS);
      config.process.user = { uid: 0, gid: 0 };
      config.mounts.push({ destination: "/data", type: "bind", source: volume, options: ["rbind", "ro"] });
    },
  );
  chownSync(volume, 100000, 200000);
  const { stdout, stderr, failure } = await run(config);
  assert.equal(failure, undefined);
  assert.equal(stderr, "");
  const lines = stdout.split("\n").map((line) => line.trim().replace(/\s+/g, " "));
  assert.deepEqual(lines.slice(0, 7), [
    "0 100000 65536",
    "uid=0(root) gid=0",
    "content",
    "null",
    "65534 1:5",
    "0",
    "0",
  ]);
  assert.match(stdout, /CapBnd:\t00000000a80425fb/);
});

test("a user namespace: stdio belongs to the user, files to the mapped root", async () => {
  const config = configure(
    "echo again >> /dev/stdout || echo refused; stat -c %u /tmp/new; id -u",
    USER.map((type) => ({ type })),
    (config) => {
      Object.assign(config.linux, MAPS);
      Object.assign(config.process, { user: { uid: 1000, gid: 1000 } });
    },
  );
  config.process.args[2] = `touch /tmp/new; ${config.process.args[2]}`;
  const { stdout, failure } = await run(config);
  assert.equal(failure, undefined);
  assert.equal(stdout, "1000\n1000\n");
  assert.equal(statSync(pod.path("tmp/new")).uid, 101000);
});

test("join a user namespace and others of its container; setgroups and ids not mapped", async () => {
  await withOwner(
    ({ linux }) => Object.assign(linux, MAPS),
    USER,
    async (owner) => {
      const joined = ["user", "network", "ipc", "uts", "pid"];
      const config = configure(
        "id -u; readlink /proc/self/ns/pid; echo 1 > /proc/sys/net/ipv4/ip_forward; ls /proc | head -n 1",
        entries(owner, joined),
      );
      const container = await pod.create(config);
      assert.equal(container.failure, undefined);
      for (const kind of joined) assert.equal(inode(container.pid, kind), inode(owner.pid, kind), kind);
      assert.notEqual(inode(container.pid, "mount"), inode(owner.pid, "mount"));
      assert.equal(
        readFileSync(`/proc/${container.pid}/uid_map`, "utf8").trim().replace(/\s+/g, " "),
        "0 100000 65536",
      );
      const { stdout } = await container.end();
      assert.equal(stdout, `0\n${inode(owner.pid, "pid") satisfies string}\n1\n`);
    },
  );
  const unmapped = configure(
    "true",
    USER.map((type) => ({ type })),
    (config) => {
      Object.assign(config.linux, MAPS);
      Object.assign(config.process, { user: { uid: 70000, gid: 0 } });
    },
  );
  assert.match((await run(unmapped)).failure ?? "", /^process\.user\.uid: the id is not mapped/);
});

test("a new user namespace with a network namespace of somebody else", async () => {
  await withOwner(
    () => {},
    ["mount", "network"],
    async (owner) => {
      const kinds: readonly NamespaceKind[] = ["user", "pid", "mount", "ipc"];
      const path = `/proc/${owner.pid}/ns/net`;
      const config = configure(
        "readlink /proc/self/ns/net; id -u",
        [...kinds.map((type) => ({ type })), { type: "network", path }],
        (config) => {
          Object.assign(config.linux, MAPS);
          config.mounts = config.mounts.filter(({ type }) => type !== "sysfs");
          config.linux.maskedPaths = config.linux.maskedPaths.filter((path) => path.startsWith("/proc"));
        },
      );
      const { stdout, failure } = await run(config);
      assert.equal(failure, undefined);
      assert.equal(stdout, `${inode(owner.pid, "network")}\n0\n`);
    },
  );
});

test("a shared pid namespace: a process that enters it sees no mount of the host's", async () => {
  await withOwner(
    () => {},
    ["pid", "mount"],
    async (owner) => {
      const container = await pod.create(configure("true", entries(owner, ["pid"])));
      assert.equal(container.failure, undefined);
      const mounts = readFileSync(`/proc/${container.pid}/mountinfo`, "utf8");
      assert.ok(!mounts.includes(" /tmp/launch") || mounts.split("\n").length < 40);
      await container.end();
    },
  );
});
