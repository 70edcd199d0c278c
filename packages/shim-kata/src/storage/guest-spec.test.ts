import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidSpec, parseSpec } from "@trimaran/linux";
import { toGuestProcess, toGuestResources, toGuestSpec } from "./guest-spec.ts";
import { object } from "./json.ts";
import { planVolumes } from "./volumes.ts";

const SPEC = {
  ociVersion: "1.0.2",
  hostname: "web",
  annotations: { a: "b" },
  root: { path: "/run/containerd/io.containerd.runtime.v2.task/k8s.io/web/rootfs", readonly: true },
  process: {
    args: ["sh"],
    cwd: "/",
    user: { uid: 1, gid: 2 },
    capabilities: { bounding: ["CAP_KILL"] },
    rlimits: [{ type: "RLIMIT_NOFILE", soft: 1, hard: 2 }],
    apparmorProfile: "cri-containerd.apparmor.d",
  },
  mounts: [
    { destination: "/proc", type: "proc", source: "proc", options: ["nosuid"] },
    { destination: "/dev/shm", type: "bind", source: "/run/k8s/shm", options: ["rbind", "ro"] },
    { destination: "/etc/hosts", type: "bind", source: "/var/lib/kubelet/hosts", options: ["rbind", "rprivate", "ro"] },
    { destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["size=64k"] },
    { destination: "data/", type: "none", source: "/data", options: ["bind", "nodev", "rslave"] },
  ],
  linux: {
    cgroupsPath: "/kubepods/pod1/web",
    namespaces: [
      { type: "pid" },
      { type: "mount" },
      { type: "network", path: "/var/run/netns/cni-1" },
      { type: "ipc", path: "/proc/4711/ns/ipc" },
      { type: "uts", path: "/proc/4711/ns/uts" },
    ],
    resources: {
      memory: { limit: 1 << 26 },
      cpu: { shares: 1024, quota: 5000, period: 10000, cpus: "2-3", mems: "0" },
      pids: { limit: 10 },
      devices: [{ allow: false, access: "rwm" }],
      hugepageLimits: [{ pageSize: "2MB", limit: 0 }],
    },
    sysctl: { "kernel.shm_rmid_forced": "1", "net.ipv4.ip_unprivileged_port_start": "0" },
    devices: [{ path: "/dev/fuse", type: "c", major: 10, minor: 229 }],
    seccomp: { defaultAction: "SCMP_ACT_ERRNO" },
    maskedPaths: ["/proc/kcore"],
    readonlyPaths: ["/proc/sys"],
    rootfsPropagation: "rslave",
  },
} as const;

function guest(change: Readonly<Record<string, unknown>> = {}, podPid?: number) {
  const spec = { ...SPEC, ...change };
  const volumes = planVolumes(parseSpec(JSON.stringify(spec)).mounts);
  return toGuestSpec(spec, { id: "web", volumes, disks: [], ...(podPid === undefined ? {} : { podPid }) });
}

test("paths of the host are the share's; what the guest makes itself is left alone", () => {
  const { root, mounts, hostname, annotations } = guest();
  assert.deepEqual(root, { path: "/run/trimaran/shared/web/rootfs", readonly: true });
  assert.deepEqual(mounts, [
    SPEC.mounts[0],
    { destination: "/dev/shm", type: "bind", source: "/dev/shm", options: ["rbind", "ro"] },
    { destination: "/etc/hosts", type: "bind", source: "/run/trimaran/shared/web/0", options: ["rbind", "ro"] },
    SPEC.mounts[3],
    { destination: "data/", type: "none", source: "/run/trimaran/shared/web/1", options: ["bind", "nodev"] },
  ]);
  assert.deepEqual([hostname, annotations], ["web", { a: "b" }]);
});

test("a pod's first container has namespaces of its own, a further one joins them; the network is the guest's", () => {
  const own = [{ type: "pid" }, { type: "mount" }];
  assert.deepEqual(object(guest().linux).namespaces, [...own, { type: "ipc" }, { type: "uts" }]);
  const joined = ["ipc", "uts"].map((type) => ({ type, path: `/proc/7/ns/${type}` }));
  assert.deepEqual(object(guest({}, 7).linux).namespaces, [...own, ...joined]);
});

test("limits of the container stay, those of the host's hardware go", () => {
  const { resources, cgroupsPath, maskedPaths } = object(guest().linux);
  assert.deepEqual(resources, {
    memory: { limit: 1 << 26 },
    cpu: { shares: 1024, quota: 5000, period: 10000 },
    pids: { limit: 10 },
  });
  assert.deepEqual([cgroupsPath, maskedPaths], ["/web", ["/proc/kcore"]]);
  assert.deepEqual(toGuestResources({ blockIO: {}, memory: { limit: 1 } }), { memory: { limit: 1 } });
});

test("sysctls of the network are for the guest itself", () => {
  assert.deepEqual(object(guest().linux).sysctl, { "kernel.shm_rmid_forced": "1" });
});

test("what the host's kernel knows by name goes", () => {
  const { apparmorProfile: _, ...process } = SPEC.process;
  assert.deepEqual(guest().process, process);
  assert.deepEqual(toGuestProcess({ args: ["a"], selinuxLabel: "x" }), { args: ["a"] });
  const { linux } = guest();
  for (const key of ["seccomp", "rootfsPropagation"]) assert.ok(!(key in object(linux)));
});

test("the guest's engine accepts what comes out", () => {
  assert.equal(parseSpec(JSON.stringify(guest())).root.path, "/run/trimaran/shared/web/rootfs");
});

test("what a guest can't have is refused by field", () => {
  const linux = (change: object) => ({ linux: { ...SPEC.linux, ...change } });
  for (const [change, message] of [
    [
      { devices: [SPEC.linux.devices[0], { path: "/dev/nvidia0", type: "c", major: 195, minor: 0 }] },
      'linux.devices[1] "/dev/nvidia0": a device of the host is not in the guest',
    ],
    [
      { namespaces: [{ type: "mount" }, { type: "uts" }, { type: "cgroup", path: "/proc/1/ns/cgroup" }] },
      'linux.namespaces[2].path "/proc/1/ns/cgroup": a namespace of the host can\'t be joined from a guest',
    ],
  ] as const)
    assert.throws(
      () => guest(linux({ ...change, sysctl: {} })),
      (error) => error instanceof InvalidSpec && error.message === message,
    );
});

test("the spec of the bundle is not changed", () => {
  const before = JSON.stringify(SPEC);
  guest();
  assert.equal(JSON.stringify(SPEC), before);
});
