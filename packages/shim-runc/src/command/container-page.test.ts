import assert from "node:assert/strict";
import { test } from "node:test";
import type { ProcessView } from "@trimaran/linux";
import { formatContainer } from "./container-page.ts";

const VIEW: ProcessView = {
  pid: 42,
  pidsInside: [42, 1],
  uid: 1000,
  gid: 1001,
  namespaces: [
    { kind: "mount", inode: 1, relation: "own", with: [] },
    { kind: "network", inode: 2, relation: "shared", with: ["pause", "sidecar"] },
    { kind: "user", inode: 3, relation: "host", with: [] },
  ],
  cgroups: [
    {
      hierarchy: "unified",
      directory: "/sys/fs/cgroup/x",
      limits: { "memory.max": "64" },
      usage: { "pids.current": "1" },
    },
  ],
  mounts: [{ target: "/", type: "overlay", source: "overlay", options: ["rw"] }],
  capabilities: { effective: ["CAP_KILL"], permitted: [], inheritable: [], bounding: [], ambient: [] },
  seccomp: { mode: "filter", filters: 2 },
  noNewPrivileges: true,
};
const TARGET = {
  id: "web",
  image: "busybox",
  pid: 42,
  layers: [{ directory: "/l0", sizeBytes: 2 ** 20 }, { directory: "/l1" }],
  others: [],
};

test("one page: what is its own, the host's and the pod's, and every part of it", () => {
  const page = formatContainer({ ...TARGET, runtime: "io.containerd.trimaran-runc.v2", sandbox: "pause" }, VIEW);
  for (const line of [
    "web: busybox, io.containerd.trimaran-runc.v2",
    "pid 42 on the host, 1 in its own namespace; uid 1000, gid 1001",
    "  mount    its own                                  1",
    "  network  the pod's, shared with pause, sidecar  2",
    "  user     the host's",
    "           limit  memory.max 64",
    "  /  overlay  overlay (rw)",
    "  effective    kill",
    "  mode               2 filter(s)",
    "  0, its own  /l0  1.0 MiB",
  ])
    assert.ok(page.replace(/ +/g, " ").includes(line.replace(/ +/g, " ")), `${line} is missing in:\n${page}`);
  assert.doesNotMatch(page, /kernel of its own/);
  assert.match(
    formatContainer({ ...TARGET, runtime: "io.containerd.trimaran-kata.v2", sandbox: "" }, VIEW),
    /kernel of its own/,
  );
});
