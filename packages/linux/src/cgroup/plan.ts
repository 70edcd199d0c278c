import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { isScopePath, type ScopeName } from "../systemd/unit-name.ts";
import { CgroupError } from "./error.ts";
import type { CgroupHost } from "./host.ts";

/** A container's directory in one v1 hierarchy. */
export interface PlannedHierarchy {
  readonly controllers: readonly string[];
  readonly mountPoint: string;
  readonly directory: string;
}

/**
 * Where a container's cgroup is, in every hierarchy. Plain data: it is written to disk before anything is made, and
 * `Cgroup.open` takes it back after a restart.
 */
export interface CgroupPlan {
  /** The cgroup's path as configured, cleaned: "/default/web", or "web" if it is relative to our own cgroup. */
  readonly path: string;
  readonly hierarchies: readonly PlannedHierarchy[];
  /** The directory in the unified tree (v2 and hybrid), and where that tree is mounted. */
  readonly unified?: string;
  readonly unifiedMountPoint?: string;
  /** All that `create` would make, leaves first, as `rmdir` wants it; parents that did not exist when planning come last. */
  readonly directories: readonly string[];
  /** systemd's unit, if it is systemd that makes the cgroup. */
  readonly scope?: ScopeName;
}

/** The plan of a container that has no cgroup of its own: whoever makes it may make none, and nobody has asked for a limit. */
export const NO_CGROUP: CgroupPlan = { path: "", hierarchies: [], directories: [] };

/** Whether a plan, perhaps one that was read from disk, is that. */
export function isNoCgroup({ hierarchies, unified }: CgroupPlan): boolean {
  return hierarchies.length === 0 && unified === undefined;
}

/**
 * Choose the directories for `linux.cgroupsPath`: absolute is below the mount, relative is below our own cgroup (v1) or
 * beside it (v2), absent or empty is `fallbackName` (the container's id), relative. Reads which parents exist; makes nothing.
 * Throws CgroupError for a path that leaves its start by `..`, that is the root, or that is systemd's `slice:prefix:name`.
 */
export function planCgroup(host: CgroupHost, cgroupsPath: string | undefined, fallbackName: string): CgroupPlan {
  const path = cleanPath(cgroupsPath === undefined || cgroupsPath === "" ? fallbackName : cgroupsPath);
  const absolute = path.startsWith("/");
  const hierarchies = host.hierarchies.map(({ controllers, mountPoint, ownPath }) => ({
    controllers,
    mountPoint,
    directory: join(mountPoint, absolute ? path : join(ownPath, path)),
  }));
  const leaves = hierarchies.map(({ directory }) => directory);
  const parents = hierarchies.flatMap(({ mountPoint, directory }) => missingParents(mountPoint, directory));
  if (host.unified === undefined) return { path, hierarchies, directories: [...leaves, ...parents] };
  const { mountPoint, ownPath } = host.unified;
  const start = host.mode === "v2" ? dirname(ownPath) : ownPath;
  const unified = join(mountPoint, absolute ? path : join(start, path));
  const directories = [...leaves, unified, ...parents, ...missingParents(mountPoint, unified)];
  return { path, hierarchies, unified, unifiedMountPoint: mountPoint, directories };
}

function cleanPath(path: string): string {
  const fail = (why: string) => new CgroupError(`linux.cgroupsPath ${JSON.stringify(path)}`, why);
  if (isScopePath(path))
    throw fail(
      "systemd's slice:prefix:name form needs the systemd cgroup driver: SystemdCgroup = true, or --systemd-cgroup",
    );
  if (path.includes("\0") || path.includes("\n")) throw fail("has a NUL or a newline");
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) throw fail("leaves its start by ..");
  }
  if (parts.length === 0) throw fail("names no cgroup");
  if (parts.some((part) => Buffer.byteLength(part) > 255)) throw fail("has a name longer than 255 bytes");
  return (path.startsWith("/") ? "/" : "") + parts.join("/");
}

/** Parents of `directory` below the mount that do not exist, deepest first. */
function missingParents(mountPoint: string, directory: string): string[] {
  const missing: string[] = [];
  for (let parent = dirname(directory); parent.length > mountPoint.length; parent = dirname(parent)) {
    if (existsSync(parent)) break;
    missing.push(parent);
  }
  return missing;
}

function join(start: string, rest: string): string {
  return `${start.replace(/\/+$/, "")}/${rest.replace(/^\/+/, "")}`;
}
