import { closeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { errnoOf } from "../syscall/errno.ts";
import type { Native } from "../syscall/native.ts";
import { openPidfd, sendPidfdSignal } from "../syscall/pidfd.ts";
import { childDirectories } from "./directory.ts";
import { CgroupError, toCgroupError } from "./error.ts";
import { readIfPresent, writeCgroupFile } from "./files.ts";
import type { Freezer } from "./freezer.ts";

const FIELD = "kill";
const SIGKILL = 9;

/** Pids of the processes in a cgroup and all below it, as our own pid namespace sees them. Empty if it is gone. */
export function listProcesses(directory: string): number[] {
  const pids = new Set<number>();
  for (const line of (readIfPresent(`${directory}/cgroup.procs`) ?? "").split("\n")) {
    const pid = Number(line);
    if (pid > 0) pids.add(pid); // 0: a process outside of our pid namespace
  }
  for (const child of childDirectories(directory)) {
    for (const pid of listProcesses(`${directory}/${child}`)) pids.add(pid);
  }
  return [...pids];
}

/**
 * Kill all by `cgroup.kill` (5.14) and wait until the cgroup is empty, at most `timeoutMs`. False if the kernel has no such
 * file. Works on frozen processes. Throws CgroupError if some are still there.
 */
export async function killUnified(directory: string, timeoutMs: number): Promise<boolean> {
  try {
    writeCgroupFile(`${directory}/cgroup.kill`, "1");
  } catch (error) {
    if (errnoOf(error) === "ENODEV") return true;
    if (errnoOf(error) !== "ENOENT") throw toCgroupError(error, FIELD, "refused", `${directory}/cgroup.kill`);
    return readIfPresent(`${directory}/cgroup.procs`) === undefined;
  }
  await waitUntil(() => /^populated 0$/m.test(readIfPresent(`${directory}/cgroup.events`) ?? "populated 0"), timeoutMs);
  return true;
}

/**
 * Kill all by signals: freeze, so that nobody forks, send SIGKILL by pidfd to whoever is still listed once the pidfd is open
 * (so a reused pid is never hit), thaw, until none is left. Throws CgroupError after `timeoutMs`.
 */
export async function killBySignals(
  directory: string,
  freezer: Freezer,
  native: Native,
  timeoutMs: number,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const wasEmpty = listProcesses(directory).length === 0;
    if (wasEmpty) return;
    if (performance.now() > deadlineMs) throw stillThere(directory);
    const frozen = await freezer.freeze(AbortSignal.timeout(1000)).then(
      () => true,
      () => false,
    );
    signalAll(directory, native, SIGKILL);
    if (frozen || freezer.isFrozen()) freezer.thaw();
    await waitUntil(() => listProcesses(directory).length === 0, Math.min(200, timeoutMs)).catch(() => undefined);
  }
}

/** Signal whoever is still listed once its pidfd is open: a reused pid is never hit. */
export function signalAll(directory: string, native: Native, signal: number): void {
  const opened: [number, number][] = [];
  try {
    for (const pid of listProcesses(directory)) {
      try {
        opened.push([pid, openPidfd(native, pid)]);
      } catch (error) {
        if (errnoOf(error) !== "ESRCH" && errnoOf(error) !== "EINVAL") throw error;
      }
    }
    const still = new Set(listProcesses(directory));
    for (const [pid, pidfd] of opened) if (still.has(pid)) sendPidfdSignal(native, pidfd, signal);
  } finally {
    for (const [, pidfd] of opened) closeSync(pidfd);
  }
}

async function waitUntil(done: () => boolean, timeoutMs: number): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  for (let delayMs = 0; !done(); delayMs = Math.min(20, delayMs + 1)) {
    if (performance.now() > deadlineMs) throw new CgroupError(FIELD, `processes are left after ${timeoutMs} ms`);
    await sleep(delayMs);
  }
}

function stillThere(directory: string): CgroupError {
  return new CgroupError(FIELD, `processes are left: ${listProcesses(directory).slice(0, 10).join(", ")}`);
}
