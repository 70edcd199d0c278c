import { mkdirSync, readdirSync, rmdirSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { errnoOf } from "../syscall/errno.ts";
import { toCgroupError } from "./error.ts";

const FIELD = "linux.cgroupsPath";

/**
 * Make a cgroup directory below `mountPoint` and, if they are missing, its parents. What it makes is pushed to `made`, parents first.
 * Returns false if the directory was there already. A parent that a neighbour removes meanwhile is made again, 10 times.
 */
export function makeCgroupDirectory(mountPoint: string, directory: string, made: string[]): boolean {
  for (let tries = 0; ; tries++) {
    try {
      mkdirSync(directory, 0o755);
      made.push(directory);
      return true;
    } catch (error) {
      if (errnoOf(error) === "EEXIST") return false;
      const parent = dirname(directory);
      if (errnoOf(error) !== "ENOENT" || tries === 10 || parent.length <= mountPoint.length) {
        throw toCgroupError(error, FIELD, "cannot be made", directory);
      }
      makeCgroupDirectory(mountPoint, parent, made);
    }
  }
}

/** Remove what `makeCgroupDirectory` made, last first. Errors are dropped: this runs when another one is being reported. */
export function unmakeCgroupDirectories(made: readonly string[]): void {
  for (const directory of made.toReversed()) {
    try {
      rmdirSync(directory);
    } catch {
      // somebody else is in it now, or it is gone
    }
  }
}

/**
 * Remove a cgroup and all below it. Gone already is success. EBUSY (a process is still on its way out) is tried again after
 * 1 ms, doubling, 10 tries. Throws CgroupError.
 */
export async function removeCgroupDirectory(directory: string): Promise<void> {
  for (let delayMs = 1; ; delayMs *= 2) {
    try {
      removeTree(directory);
      return;
    } catch (error) {
      if (errnoOf(error) !== "EBUSY" || delayMs > 512)
        throw toCgroupError(error, FIELD, "cannot be removed", directory);
    }
    await sleep(delayMs);
  }
}

/** Remove a parent that we made, if nobody uses it. Never fails. */
export function removeIfUnused(directory: string): void {
  unmakeCgroupDirectories([directory]);
}

function removeTree(directory: string): void {
  try {
    rmdirSync(directory);
    return;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    if (errnoOf(error) !== "EBUSY") throw error; // cgroupfs says EBUSY both for children and for processes
  }
  for (const child of childDirectories(directory)) removeTree(`${directory}/${child}`);
  try {
    rmdirSync(directory);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}

/** Names of the cgroups right below; none if the cgroup is gone. */
export function childDirectories(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENODEV") return [];
    throw error;
  }
}
