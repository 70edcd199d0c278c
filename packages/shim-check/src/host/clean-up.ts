import { existsSync } from "node:fs";
import { readdir, rm, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { cgroupsOf, mountsOf, processesOf, type Scope, socketPath } from "./belongings.ts";
import { signal } from "./process-state.ts";
import { runProgram } from "./program.ts";

const GONE_MS = 5_000;

/**
 * End and remove all that bears a scope's mark, whatever state a shim has left it in: processes, mounts, cgroups, sockets. Waits up to
 * `goneMs` for what is ending. Returns the processes that survive.
 */
export async function removeAll(scope: Scope, goneMs: number = GONE_MS): Promise<string[]> {
  const survivors = await killProcesses(scope, goneMs);
  for (const path of (await mountsOf(scope)).reverse()) await runProgram("umount", "-l", path).catch(() => undefined);
  await removeCgroups(scope, goneMs);
  for (const id of scope.ids) await rm(socketPath(scope.address, scope.namespace, id), { force: true });
  for (const runtime of ["runc", "runsc"])
    await rm(join("/run/containerd", runtime, scope.namespace), { recursive: true, force: true });
  return survivors;
}

/** SIGKILL, again and again: a shim's death may bring forth another process. What is frozen is thawed, or it would not die. */
async function killProcesses(scope: Scope, goneMs: number): Promise<string[]> {
  const until = Date.now() + goneMs;
  for (;;) {
    const found = await processesOf(scope);
    const left = found.filter(({ state, pid }) => state !== "Z" && pid !== process.pid);
    if (left.length === 0) return [];
    if (Date.now() > until) return left.map(({ pid, command }) => `process ${pid}: ${command}`);
    for (const path of await cgroupsOf(scope)) await thaw(path);
    for (const { pid } of left) signal(pid);
    await delay(20);
  }
}

/** v1, then v2: only one of the files is there. */
async function thaw(cgroup: string): Promise<void> {
  for (const [name, value] of [
    ["freezer.state", "THAWED"],
    ["cgroup.freeze", "0"],
  ] as const) {
    if (existsSync(join(cgroup, name))) await writeFile(join(cgroup, name), value).catch(() => undefined);
  }
}

/** A scope's cgroups that have no processes. One is busy until its zombies are reaped; PID 1 takes its time where no subreaper does it. */
export async function removeCgroups(scope: Scope, goneMs: number = GONE_MS): Promise<void> {
  const until = Date.now() + goneMs;
  const hierarchies = await readdir("/sys/fs/cgroup");
  const own = ["", ...hierarchies].map((name) => join("/sys/fs/cgroup", name, scope.namespace)); // "": the unified one, where it is alone
  for (;;) {
    for (const path of [...(await cgroupsOf(scope)), ...own]) await rmdir(path).catch(() => undefined);
    if (!own.some((path) => existsSync(path)) || Date.now() > until) return;
    await delay(50);
  }
}
