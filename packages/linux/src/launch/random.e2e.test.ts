import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { defaultSpec } from "./testing/default-spec.ts";
import { MAPS, openMappedPod } from "./testing/namespaces.ts";
import type { TestPod } from "./testing/pod.ts";

const RUNS = 60;

let pod: TestPod;
let volume: string;
before(async () => {
  pod = await openMappedPod();
  volume = join(pod.folder, "volume");
  mkdirSync(join(volume, "sub"), { recursive: true });
});
after(() => pod[Symbol.asyncDispose]());

const attribute = fc.subarray(["ro", "nosuid", "nodev", "noatime", "nosymfollow", "rnosuid", "nodiratime"]);
const propagation = fc.constantFrom([], ["private"], ["rslave"], ["rshared"], ["unbindable"]);
const bind = fc
  .tuple(attribute, propagation, fc.constantFrom("/data", "/tmp/a/b", "/new/place"))
  .map(([options, propagation, destination]) => ({
    destination,
    type: "bind",
    options: ["rbind", ...options, ...propagation],
  }));
const tmpfs = fc
  .tuple(attribute, fc.constantFrom([], ["size=64k"], ["mode=700", "tmpcopyup"]), fc.constantFrom("/etc", "/scratch"))
  .map(([options, data, destination]) => ({ destination, type: "tmpfs", options: [...options, ...data] }));
const capability = fc.subarray(["CAP_KILL", "CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_NET_RAW", "CAP_UNKNOWN"]);
const hook = { path: "/bin/sh", args: ["sh", "-c", 'read state; test -n "$state"'], timeout: 20 };

/** A valid config: any combination of these must run. */
const specs = fc.record({
  kinds: fc.subarray(["ipc", "uts", "network", "cgroup", "time", "user"]),
  pid: fc.boolean(),
  mounts: fc.array(fc.oneof(bind, tmpfs), { maxLength: 4 }),
  readonly: fc.boolean(),
  uid: fc.constantFrom(0, 1, 1000),
  gids: fc.subarray([1, 2, 3]),
  umask: fc.constantFrom(undefined, 0, 0o77),
  capabilities: fc.option(capability, { nil: undefined }),
  noNewPrivileges: fc.boolean(),
  hooks: fc.subarray(["prestart", "createRuntime", "createContainer", "startContainer"]),
  oom: fc.constantFrom(undefined, 0, 900),
  nice: fc.boolean(),
  rootfsPropagation: fc.constantFrom(undefined, "rslave", "private", "rshared", "unbindable"),
  masked: fc.subarray(["/proc/keys", "/sys/firmware", "/nonexistent", "/bin/cat", "/etc", "/proc/acpi"]),
  terminal: fc.boolean(),
  rlimit: fc.constantFrom(undefined, "RLIMIT_CORE", "RLIMIT_MSGQUEUE", "RLIMIT_MEMLOCK"),
  sysctl: fc.subarray(["net.ipv4.ip_forward", "kernel.msgmax"]),
  devices: fc.subarray([
    { path: "/dev/fuse", type: "c", major: 10, minor: 229, fileMode: 0o600 },
    { path: "/dev/deep/er/null", type: "c", major: 1, minor: 3, uid: 1, gid: 2 },
    { path: "/dev/fifo", type: "p" },
  ]),
  policy: fc.constantFrom(undefined, { mode: "MPOL_LOCAL" }, { mode: "MPOL_BIND", nodes: "0" }),
  personality: fc.constantFrom(undefined, "LINUX", "LINUX32"),
  names: fc.boolean(),
});

type Choice = typeof specs extends fc.Arbitrary<infer T> ? T : never;

function toConfig(choice: Choice) {
  const config = defaultSpec(["/bin/busybox", "true"]);
  const isUser = choice.kinds.includes("user");
  // A new user namespace may mount proc and mqueue only if it has pid and ipc namespaces of its own.
  const kinds = new Set(["mount", ...choice.kinds, ...(choice.pid ? ["pid"] : []), ...(isUser ? ["pid", "ipc"] : [])]);
  config.linux.namespaces = [...kinds].map((type) => ({ type }));
  const isUnique = (target: string, i: number) =>
    choice.mounts.findIndex(({ destination }) => destination === target) === i;
  // What covers a volume that is shared with the host is the host's, too, and stays there.
  const mounts =
    choice.rootfsPropagation === "rshared"
      ? choice.mounts.filter(({ destination }, i) => isUnique(destination, i))
      : choice.mounts;
  for (const mount of mounts) config.mounts.push({ source: mount.type === "bind" ? volume : "tmpfs", ...mount });
  Object.assign(config.root, { readonly: choice.readonly });
  const { capabilities: set, umask, oom } = choice;
  Object.assign(config.process, {
    terminal: choice.terminal,
    user: { uid: choice.uid, gid: choice.uid, additionalGids: choice.gids, ...(umask === undefined ? {} : { umask }) },
    capabilities:
      set === undefined ? undefined : { bounding: set, effective: set, permitted: set, inheritable: [], ambient: [] },
    noNewPrivileges: choice.noNewPrivileges,
    ...(oom === undefined ? {} : { oomScoreAdj: oom }),
    ...(choice.nice
      ? { scheduler: { policy: "SCHED_BATCH", nice: 3 }, ioPriority: { class: "IOPRIO_CLASS_IDLE" } }
      : {}),
  });
  if (choice.rlimit !== undefined) config.process.rlimits.push({ type: choice.rlimit, soft: 65536, hard: 65536 });
  if (choice.names && kinds.has("uts")) Object.assign(config, { hostname: "random", domainname: "example" });
  const sysctl = choice.sysctl.filter((name) => kinds.has(name.startsWith("net.") ? "network" : "ipc"));
  Object.assign(config.linux, {
    sysctl: Object.fromEntries(sysctl.map((name) => [name, "1"])),
    devices: isUser ? [] : choice.devices, // there they are the host's, and it has no such paths
    ...(choice.policy === undefined ? {} : { memoryPolicy: choice.policy }),
    ...(choice.personality === undefined ? {} : { personality: { domain: choice.personality } }),
  });
  Object.assign(config, { hooks: Object.fromEntries(choice.hooks.map((kind) => [kind, [hook]])) });
  Object.assign(config.linux, {
    maskedPaths: choice.masked,
    ...(choice.rootfsPropagation === undefined ? {} : { rootfsPropagation: choice.rootfsPropagation }),
    ...(isUser ? MAPS : {}),
    ...(kinds.has("time") ? { timeOffsets: { boottime: { secs: 100 } } } : {}),
  });
  return config;
}

test("random valid configs run", async () => {
  const before = pod.hostMounts();
  await fc.assert(
    fc.asyncProperty(specs, async (choice) => {
      const config = toConfig(choice);
      const container = await pod.create(config, {}, choice.terminal ? {} : undefined);
      const { failure, code } = await container.end();
      assert.equal(failure, undefined);
      assert.equal(code, 0);
    }),
    { numRuns: RUNS },
  );
  assert.equal(pod.hostMounts(), before);
});
