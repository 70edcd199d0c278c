import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { commandOf, descendantsOf, privilegesOf } from "../../../e2e/harness/privileges.ts";

/** Capabilities that virtiofsd keeps to give files to whom they belong. Source: its own list, contrib and passthrough_ll.c of QEMU. */
const FILE_CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETGID", "SETUID", "MKNOD", "SETFCAP"];
const NUMBER: Readonly<Record<string, bigint>> = {
  CHOWN: 0n,
  DAC_OVERRIDE: 1n,
  FOWNER: 3n,
  FSETID: 4n,
  SETGID: 6n,
  SETUID: 7n,
  MKNOD: 27n,
  SETFCAP: 31n,
};
const ANONYMOUS = /^(anon_inode:|pipe:|socket:|\/memfd:)/;

/** What the processes around a machine may, which a guest could take over: `qemu` is its pid, `machine` its folder, `state` where all pods have theirs. */
export function assertConfined(qemu: number, machine: string, state: string): void {
  checkQemu(qemu, machine, state);
  const monitor = Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${qemu}/status`, "utf8"))?.[1]);
  const helpers = descendantsOf(monitor).map((pid) => ({ pid, command: commandOf(pid), ...privilegesOf(pid) }));
  const bridge = helpers.find(({ command }) => command.includes("trimaran-fsbridge host"));
  assert.ok(bridge, "the bridge runs");
  assert.deepEqual([bridge.capabilities, bridge.noNewPrivileges, bridge.seccomp], [0n, true, 2]);
  assert.deepEqual([bridge.environment, bridge.files.filter((path) => !ANONYMOUS.test(path))], [["PATH"], []]);
  const daemons = helpers.filter(({ command }) => command.includes("virtiofsd"));
  const worker = daemons.find(({ hasOwnPids }) => hasOwnPids);
  assert.ok(worker, "the file daemon's worker runs");
  const kept = FILE_CAPABILITIES.reduce((mask, name) => mask | (1n << (NUMBER[name] ?? 0n)), 0n);
  assert.equal(worker.capabilities & ~kept, 0n, worker.capabilities.toString(16));
  assert.equal(worker.seccomp, 2);
  for (const own of ["mnt", "pid", "net"]) assert.ok(worker.namespaces.includes(own), own);
}

function checkQemu(pid: number, machine: string, state: string): void {
  const { capabilities, bounding, noNewPrivileges, seccomp, hasOwnPids, namespaces, environment, files } =
    privilegesOf(pid);
  assert.deepEqual([capabilities, bounding, noNewPrivileges, seccomp, hasOwnPids], [0n, 0n, true, 2, true]);
  assert.deepEqual(namespaces.filter((kind) => kind !== "cgroup").sort(), ["ipc", "mnt", "net", "pid", "uts"]);
  assert.deepEqual(environment, ["PATH", "MALLOC_ARENA_MAX"]);
  const hugePages = /^THP_enabled:\t(\d)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  assert.equal(hugePages, commandOf(pid).includes("-accel tcg") ? "0" : "1");
  const root = `/proc/${pid}/root`;
  for (const path of ["/etc", "/proc", "/sys", "/root", "/home", "/run/containerd", "/var/lib", "/dev/mem", "/dev/sda"])
    assert.ok(!existsSync(root + path), path);
  assert.ok(existsSync(`${root}${machine}/qmp.sock`), "it has its own folder");
  const pods = readdirSync(`${root}${state}/kata`);
  assert.deepEqual(pods.length, 1, `no other pod's folder: ${pods}`);
  const foreign = files.filter((path) => !ANONYMOUS.test(path) && !existsSync(root + path));
  assert.deepEqual(foreign, [], "nothing open that is not in its root");
}
