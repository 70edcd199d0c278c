import { readFileSync, statSync } from "node:fs";
import { hostPath, type Spec } from "@trimaran/linux";
import { type ExternalMount, NULL } from "./arguments.ts";

/** What decides which of a container's mounts are the host's. */
export interface MountedContainer {
  readonly spec: Spec;
  readonly bundle: string;
  /** Its own cgroup directories, by name below a mount of type `cgroup`. */
  readonly cgroups: readonly { readonly name: string; readonly path: string }[];
}

const BIND = new Set(["bind", "rbind"]);

/** Binds of the spec, and, without a cgroup namespace, its cgroup mounts: criu is told where they come from, and what they are called. */
export function externalMounts({ spec, bundle, cgroups }: MountedContainer): ExternalMount[] {
  const cgroupNamespace = spec.linux.namespaces.get("cgroup");
  const ownsCgroups = cgroupNamespace !== undefined && cgroupNamespace.path === undefined;
  return spec.mounts.flatMap(({ target, type, source, options }) => {
    if (options.includes("remount")) return [];
    if (BIND.has(type) || options.some((option) => BIND.has(option)))
      return [{ target, source: hostPath(bundle, source) }];
    if ((type !== "cgroup" && type !== "cgroup2") || ownsCgroups) return [];
    return cgroups.map(({ name, path }) => ({ target: name === "" ? target : `${target}/${name}`, source: path }));
  });
}

/** Masked paths over which the host's /dev/null lies; over directories there is a tmpfs. `mountinfo`: the container's. */
export function maskedFiles({ linux }: Spec, mountinfo: string): string[] {
  const masked = new Set(linux.maskedPaths);
  return mountinfo.split("\n").flatMap((line) => {
    const [, , , root, target = ""] = line.split(" ");
    return root === "/null" && masked.has(target) ? [target] : [];
  });
}

/** What a restore may find to be /dev/null: one name for all of them, or, in checkpoints of ours that are older, their own. */
export function maybeMasked({ linux }: Spec): ExternalMount[] {
  return [NULL, ...linux.maskedPaths].map((target) => ({ target, source: NULL }));
}

/** The same for `/proc/PID/mountinfo`. */
export function maskedFilesOf(spec: Spec, pid: number): string[] {
  return maskedFiles(spec, readFileSync(`/proc/${pid}/mountinfo`, "utf8"));
}

/** Places in the rootfs that must be there for its mounts, and what they are. Below another mount nothing is made. */
export function mountPoints({ spec, bundle }: MountedContainer): { readonly path: string; readonly isFile: boolean }[] {
  const targets = spec.mounts.map(({ target }) => target);
  const isBelow = (target: string) => targets.some((other) => other !== target && target.startsWith(`${other}/`));
  return spec.mounts
    .filter(({ target }) => !isBelow(target))
    .map(({ target, type, source, options }) => {
      const isBind = BIND.has(type) || options.some((option) => BIND.has(option));
      return { path: target, isFile: isBind && isFile(hostPath(bundle, source)) };
    });
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === false;
}
