import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import {
  type Config,
  configure,
  entries,
  inode,
  MAPS,
  openMappedPod,
  run,
  USER,
  withOwner,
} from "./testing/namespaces.ts";
import type { TestPod } from "./testing/pod.ts";

let pod: TestPod;
before(async () => {
  pod = await openMappedPod();
});
after(() => pod[Symbol.asyncDispose]());

const ALL = ["pid", "ipc", "uts", "mount", "network", "cgroup", "time"];

test("join each kind by path, and all of them", async () => {
  await withOwner(
    pod,
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
    (await run(pod, configure("true", [{ type: "mount" }, { type: "network", path }]))).failure;
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
    pod,
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

test("a shared pid namespace: at the gate nothing of the host's mounts is left", async () => {
  await withOwner(
    pod,
    () => {},
    ["pid", "mount"],
    async (owner) => {
      const container = await pod.create(configure("true", entries(owner, ["pid"])));
      assert.equal(container.failure, undefined);
      const lines = readFileSync(`/proc/${container.pid}/mountinfo`, "utf8").trim().split("\n");
      for (const line of lines) assert.match(line.split(" ")[4] ?? "", /^\/($|dev|proc|run|sys(?!\/fs))/);
      await container.end();
    },
  );
});

test("sysctls: of a joined namespace yes, of the host's no; in a user namespace", async () => {
  const sysctl = { "net.ipv4.ip_forward": "1" };
  const forward = readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8");
  const withPath = (path: string) => {
    const kinds = [{ type: "mount" }, { type: "pid" }, { type: "network", path }];
    return configure("cat /proc/sys/net/ipv4/ip_forward", kinds, ({ linux }) => Object.assign(linux, { sysctl }));
  };
  await withOwner(
    pod,
    () => {},
    ["mount", "network"],
    async (owner) => {
      assert.equal((await run(pod, withPath(`/proc/${owner.pid}/ns/net`))).stdout, "1\n");
    },
  );
  const refused = await run(pod, withPath("/proc/self/ns/net"));
  assert.equal(
    refused.failure,
    "linux.sysctl \"net.ipv4.ip_forward\": the namespace that is joined is the host's (EXDEV from refuse the host's namespace)",
  );
  assert.equal(readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8"), forward);
  const change = ({ linux }: Config) => Object.assign(linux, { ...MAPS, sysctl });
  const inUser = configure(
    "cat /proc/sys/net/ipv4/ip_forward",
    USER.map((type) => ({ type })),
    change,
  );
  const { stdout, failure } = await run(pod, inUser);
  assert.equal(failure, undefined);
  assert.equal(stdout, "1\n");
});
