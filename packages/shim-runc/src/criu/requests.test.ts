import assert from "node:assert/strict";
import { test } from "node:test";
import { criu } from "@trimaran/proto";
import type { Dump, Restore } from "./arguments.ts";
import { dumpRequest, goOn, restoreRequest } from "./requests.ts";

const FDS = { images: 21, work: 22 };
const { CriuReqType, CriuCgMode } = criu;

test("a dump says what its arguments would, and that the terminal's other end is ours", () => {
  const dump: Dump = {
    ...{ images: "/i", work: "/w", pid: 7, leaveRunning: true, freezer: "/sys/fs/cgroup/c", network: "4026531840" },
    ...{ mounts: ["/etc/hosts"], masked: ["/proc/kcore"] },
    wishes: {
      ...{ openTcp: true, externalUnixSockets: true, terminal: true, fileLocks: true },
      ...{ emptyNamespaces: ["network"], cgroupsMode: "ignore" },
    },
  };
  const { type, opts } = criu.CriuReq.decode(Buffer.from(dumpRequest(dump, FDS)));
  assert.equal(type, CriuReqType.DUMP);
  assert.partialDeepStrictEqual(opts, {
    ...{ imagesDirFd: 21, workDirFd: 22, logFile: "dump.log", logLevel: 4, orphanPtsMaster: true },
    ...{ pid: 7, leaveRunning: true, freezeCgroup: "/sys/fs/cgroup/c", manageCgroupsMode: CriuCgMode.IGNORE },
    ...{ tcpEstablished: true, extUnixSk: true, shellJob: true, fileLocks: true, emptyNs: 0x40000000 },
    external: ["mnt[/etc/hosts]:/etc/hosts", "mnt[/proc/kcore]:/dev/null", "net[4026531840]:extRootNetNS"],
  });
});

test("a restore: the same, by notices at its stages; an fd of 0 is one, too", () => {
  const restore: Restore = {
    ...{ images: "/i", work: "/w", root: "/b/rootfs", emptyNetwork: false },
    mounts: [{ target: "/data", source: "/srv/data" }],
    cgroups: [
      { controllers: "cpu", path: "/ns/c" },
      { controllers: "", path: "/ns/c" },
    ],
    inherited: [{ fd: 0, name: "pipe:[12]" }],
  };
  const { type, opts } = criu.CriuReq.decode(Buffer.from(restoreRequest(restore, FDS)));
  assert.equal(type, CriuReqType.RESTORE);
  assert.partialDeepStrictEqual(opts, {
    ...{ logFile: "restore.log", root: "/b/rootfs", rstSibling: true, notifyScripts: true, orphanPtsMaster: true },
    ...{ manageCgroupsMode: CriuCgMode.SOFT, emptyNs: 0, external: ["mnt[/data]:/srv/data"] },
    cgRoot: [
      { ctrl: "cpu", path: "/ns/c" },
      { ctrl: "", path: "/ns/c" },
    ],
    inheritFd: [{ key: "pipe:[12]", fd: 0 }],
  });
  const field2 = Buffer.of(0x10, 0); // sent, though it is 0
  const bytes = Buffer.from(restoreRequest(restore, FDS));
  assert.ok(bytes.includes(Buffer.concat([Buffer.from("pipe:[12]"), field2])));
});

test("answers to a notice", () => {
  assert.deepEqual([...goOn(true)], [0x08, 6, 0x18, 1]);
  assert.deepEqual([...goOn(false)], [0x08, 6]);
});
