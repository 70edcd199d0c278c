import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "ttrpc-ts";
import { type Dump, dumpArguments, networkFd, restoreArguments } from "./arguments.ts";

const WISHES = {
  openTcp: false,
  externalUnixSockets: false,
  terminal: false,
  fileLocks: false,
  emptyNamespaces: [],
  cgroupsMode: undefined,
};
const DUMP: Dump = {
  images: "/i",
  work: "/w",
  pid: 7,
  leaveRunning: true,
  mounts: [],
  masked: [],
  network: undefined,
  freezer: undefined,
  wishes: WISHES,
};
const PLAIN = ["--tree=7", "--images-dir=/i", "--work-dir=/w", "--log-file=dump.log", "-v4", "--manage-cgroups=soft"];

test("a dump of nothing special; what else there is, and what is wished, is a flag each", () => {
  assert.deepEqual(dumpArguments(DUMP), ["dump", ...PLAIN, "--leave-running"]);
  assert.deepEqual(dumpArguments({ ...DUMP, leaveRunning: false }), ["dump", ...PLAIN]);
  const all = dumpArguments({
    ...DUMP,
    mounts: ["/etc/hosts"],
    masked: ["/proc/kcore"],
    network: "4026531840",
    freezer: "/sys/fs/cgroup/c",
    wishes: {
      openTcp: true,
      externalUnixSockets: true,
      terminal: true,
      fileLocks: true,
      emptyNamespaces: ["network"],
      cgroupsMode: "full",
    },
  });
  assert.deepEqual(all.slice(PLAIN.length), [
    "--manage-cgroups=full",
    "--freeze-cgroup=/sys/fs/cgroup/c",
    "--leave-running",
    "--tcp-established",
    "--ext-unix-sk",
    "--shell-job",
    "--file-locks",
    "--empty-ns=net",
    "--external=mnt[/etc/hosts]:/etc/hosts",
    "--external=mnt[/proc/kcore]:/dev/null",
    "--external=net[4026531840]:extRootNetNS",
  ]);
});

test("a wish that can't be is InvalidArgument and names the field; so does a mount that criu can't be told of", () => {
  const wish = (wishes: Partial<Dump["wishes"]>) => () => dumpArguments({ ...DUMP, wishes: { ...WISHES, ...wishes } });
  assert.throws(wish({ cgroupsMode: "loose" }), { code: Code.InvalidArgument, message: /^cgroups_mode "loose"/ });
  assert.throws(wish({ emptyNamespaces: ["ipc"] }), { code: Code.InvalidArgument, message: /^empty_namespaces "ipc"/ });
  for (const target of ["/a]b", "/a\nb"])
    assert.throws(() => dumpArguments({ ...DUMP, mounts: [target] }), { code: Code.FailedPrecondition });
});

test("a restore: cgroups by hierarchy, mounts from where they are now, pipes and namespaces by fds", () => {
  const restore = {
    images: "/i",
    work: "/w",
    root: "/b/rootfs",
    mounts: [{ target: "/data", source: "/srv/data" }],
    cgroups: [
      { controllers: "cpu", path: "/ns/c" },
      { controllers: "", path: "/ns/c" },
    ],
    inherited: [{ fd: 1, name: "pipe:[12]" }, networkFd(10)],
    emptyNetwork: true,
  };
  const args = restoreArguments(restore, "/b/criu/bin/restored");
  assert.deepEqual(args.slice(0, 6), [
    "restore",
    "--images-dir=/i",
    "--work-dir=/w",
    "--log-file=restore.log",
    "-v4",
    "--root=/b/rootfs",
  ]);
  for (const flag of [
    "--restore-detached",
    "--restore-sibling",
    "--manage-cgroups=soft",
    "--cgroup-root=cpu:/ns/c",
    "--cgroup-root=/ns/c",
    "--empty-ns=net",
    "--external=mnt[/data]:/srv/data",
    "--inherit-fd=fd[1]:pipe:[12]",
    "--inherit-fd=fd[10]:extRootNetNS",
    "--action-script=/b/criu/bin/restored",
  ])
    assert.ok(args.includes(flag), flag);
});
