import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chownSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { NamespaceKind } from "../spec/linux.ts";
import { configure, entries, inode, MAPS, openMappedPod, run, USER, withOwner } from "./testing/namespaces.ts";
import type { TestPod } from "./testing/pod.ts";

let pod: TestPod;
before(async () => {
  pod = await openMappedPod();
});
after(() => pod[Symbol.asyncDispose]());

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
  const { stdout, stderr, failure } = await run(pod, config);
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

test("a FIFO of the image where a device belongs holds nothing up, a link leads nowhere", {
  timeout: 20_000,
}, async () => {
  const config = configure(
    "echo x > /dev/null && echo ran",
    USER.map((type) => ({ type })),
    (config) => {
      Object.assign(config.linux, MAPS);
      config.mounts = config.mounts.filter(({ destination }) => !destination.startsWith("/dev"));
    },
  );
  execFileSync("mkfifo", [pod.path("dev/null")]);
  chownSync(pod.path("dev/null"), 100000, 200000);
  assert.deepEqual(await run(pod, config), { failure: undefined, code: 0, stdout: "ran\n", stderr: "" });
  rmSync(pod.path("dev/null"));
  const canary = join(pod.folder, "canary");
  symlinkSync(canary, pod.path("dev/null"));
  assert.match((await run(pod, config)).failure ?? "", /^default device "\/dev\/null": .*ELOOP/);
  assert.equal(existsSync(canary), false);
  rmSync(pod.path("dev"), { recursive: true });
  mkdirSync(pod.path("dev"));
  chownSync(pod.path("dev"), 100000, 200000);
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
  const { stdout, failure } = await run(pod, config);
  assert.equal(failure, undefined);
  assert.equal(stdout, "1000\n1000\n");
  assert.equal(statSync(pod.path("tmp/new")).uid, 101000);
});

test("join a user namespace and others of its container; setgroups and ids not mapped", async () => {
  await withOwner(
    pod,
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
  assert.match((await run(pod, unmapped)).failure ?? "", /^process\.user\.uid: the id is not mapped/);
});

test("a new user namespace with a network namespace of somebody else", async () => {
  await withOwner(
    pod,
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
      const { stdout, failure } = await run(pod, config);
      assert.equal(failure, undefined);
      assert.equal(stdout, `${inode(owner.pid, "network")}\n0\n`);
    },
  );
});

test("labels without their security module are errors, written through the kernel's own /proc", async () => {
  for (const [key, value] of [
    ["apparmorProfile", "some-profile"],
    ["selinuxLabel", "a:b:c"],
  ] as const) {
    const config = configure(
      "true",
      USER.map((type) => ({ type })),
      (config) => {
        Object.assign(config.linux, MAPS);
        Object.assign(config.process, { [key]: value });
      },
    );
    assert.match((await run(pod, config)).failure ?? "", new RegExp(`^process\\.${key} "${value}": `));
  }
});

test("a terminal in a user namespace", async () => {
  const config = configure(
    "tty; stat -c '%t %u' /dev/console",
    USER.map((type) => ({ type })),
    (config) => {
      Object.assign(config.linux, MAPS);
      Object.assign(config.process, { terminal: true });
    },
  );
  const container = await pod.create(config, {}, {});
  assert.equal(container.failure, undefined);
  assert.equal((await container.end()).stdout.replaceAll("\r", ""), "/dev/pts/0\n88 0\n");
});
