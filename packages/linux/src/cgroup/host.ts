import { readFileSync } from "node:fs";

/** What the kernel offers: v1 only, v1 with a unified tree beside it, or unified only. */
export type CgroupMode = "v1" | "hybrid" | "v2";

/** One mounted v1 hierarchy. */
export interface Hierarchy {
  /** Controllers as the kernel names them ("cpu", "cpuacct"), or `name=systemd` for a named one. */
  readonly controllers: readonly string[];
  readonly mountPoint: string;
  /** The caller's own cgroup below the mount point, "/" if it is the root or lies outside of the mount. */
  readonly ownPath: string;
}

/** The cgroup mounts of a host, found once. Paths are absolute. */
export interface CgroupHost {
  readonly mode: CgroupMode;
  /** Mount point of cgroup2 on v2, else the folder above the v1 mounts ("/sys/fs/cgroup"). */
  readonly root: string;
  /** v1 hierarchies; empty on v2. */
  readonly hierarchies: readonly Hierarchy[];
  /** The unified tree: on v2 and hybrid. */
  readonly unified: { readonly mountPoint: string; readonly ownPath: string } | undefined;
}

interface Mount {
  readonly root: string;
  readonly mountPoint: string;
  readonly type: string;
  readonly options: readonly string[];
}

const NOT_CONTROLLERS = new Set(["rw", "ro", "none", "all", "xattr", "noprefix", "clone_children", "cpuset_v2_mode"]);

/**
 * Find the cgroup hierarchies from mountinfo and the caller's own cgroups. The arguments are the texts of
 * /proc/self/mountinfo and /proc/self/cgroup, read if absent. Of two mounts of one hierarchy the first counts.
 * Throws if no cgroup file system is mounted. Source: cgroups(7), runtime checklist 3.1.
 */
export function detectCgroups(options: { mountinfo?: string; selfCgroup?: string } = {}): CgroupHost {
  const mounts = parseMounts(options.mountinfo ?? readFileSync("/proc/self/mountinfo", "utf8"));
  const own = parseSelfCgroup(options.selfCgroup ?? readFileSync("/proc/self/cgroup", "utf8"));
  const hierarchies: Hierarchy[] = [];
  const seen = new Set<string>();
  for (const mount of mounts) {
    if (mount.type !== "cgroup") continue;
    const controllers = mount.options.filter(isController);
    const key = controllers.join();
    if (controllers.length === 0 || seen.has(key)) continue;
    seen.add(key);
    const ownPath = below(mount.root, own.get(controllers[0] ?? "") ?? "/");
    hierarchies.push({ controllers, mountPoint: mount.mountPoint, ownPath });
  }
  const mount2 = mounts.find((mount) => mount.type === "cgroup2");
  const unified = mount2 && { mountPoint: mount2.mountPoint, ownPath: below(mount2.root, own.get("") ?? "/") };
  const first = hierarchies[0];
  if (first === undefined) {
    if (unified === undefined) throw new Error("no cgroup file system is mounted");
    return { mode: "v2", root: unified.mountPoint, hierarchies, unified };
  }
  const root = first.mountPoint.slice(0, first.mountPoint.lastIndexOf("/")) || "/";
  return { mode: unified === undefined ? "v1" : "hybrid", root, hierarchies, unified };
}

/** The hierarchy that has a controller, if any. */
export function findHierarchy(host: CgroupHost, controller: string): Hierarchy | undefined {
  return host.hierarchies.find((hierarchy) => hierarchy.controllers.includes(controller));
}

function isController(option: string): boolean {
  if (option.startsWith("name=")) return true;
  return !NOT_CONTROLLERS.has(option) && !option.includes("=") && !option.startsWith("favor");
}

/** proc(5): `id parent major:minor root mountpoint options optional… - type source superoptions`. */
function parseMounts(mountinfo: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of mountinfo.split("\n")) {
    const [left, right] = line.split(" - ");
    const [, , , root, mountPoint] = left?.split(" ") ?? [];
    const [type, , options] = right?.split(" ") ?? [];
    if (root === undefined || mountPoint === undefined || type === undefined || !type.startsWith("cgroup")) continue;
    mounts.push({
      root: unescapeOctal(root),
      mountPoint: unescapeOctal(mountPoint),
      type,
      options: options?.split(",") ?? [],
    });
  }
  return mounts;
}

/** Blanks and backslashes in a path of mountinfo are octal escapes. */
export function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** Lines `id:controllers:path`; the unified one has id 0 and no controllers. */
function parseSelfCgroup(text: string): Map<string, string> {
  const own = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [, controllers, path] = /^[0-9]+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) continue;
    for (const controller of controllers.split(",")) own.set(controller, path);
  }
  return own;
}

/** A cgroup's path inside a mount that shows only the part below `root`. */
function below(root: string, path: string): string {
  if (root === "/") return path;
  return path.startsWith(`${root}/`) ? path.slice(root.length) : "/";
}
