import { ATTR } from "../mount/mount.ts";
import type { MountOptions } from "../mount/options.ts";
import { InvalidSpec } from "../spec/invalid-spec.ts";
import { MOUNT, MS } from "./constants.ts";
import type { CgroupPlan } from "./plan.ts";
import type { Operand, ProgramBuilder, Register } from "./program.ts";
import { cloneTree, createFileSystem, setAttributes } from "./tree.ts";

/** The container's own directories as detached trees, by name below the mount ("" for v2's single one). */
export interface CgroupTrees {
  readonly trees: readonly { readonly name: string; readonly tree: Register; readonly links: readonly string[] }[];
  readonly readonly: boolean;
}

const FLAGS = ATTR.nosuid | ATTR.nodev | ATTR.noexec;

/**
 * Clone the container's own cgroup directories from the host's mounts, with their flags. Seen from its own cgroup namespace
 * such a bind shows `/` as its root, like a mount of its own. Throws InvalidSpec if the caller named no directory.
 */
export function prepareCgroup(b: ProgramBuilder, { ownDirs }: CgroupPlan, options: MountOptions): CgroupTrees {
  if (ownDirs === "none") return { trees: [], readonly: true };
  if (ownDirs.length === 0) throw new InvalidSpec(b.field, "the container has no cgroup to show");
  const readonly = (options.attributes.set & ATTR.rdonly) !== 0;
  const trees = ownDirs.map(({ name, path, links }) => {
    const tree = cloneTree(b, path, false);
    setAttributes(b, tree, { set: FLAGS | (readonly ? ATTR.rdonly : 0), clear: 0, propagation: MS.PRIVATE });
    return { name, tree, links: links ?? [] };
  });
  return { trees, readonly };
}

/** v2: the one tree. v1 and hybrid: a tmpfs with a directory per hierarchy. Detached; the caller attaches it. */
export function cgroupRoot(b: ProgramBuilder, { trees }: CgroupTrees): Register {
  const [only] = trees;
  if (trees.length === 1 && only?.name === "") return only.tree;
  const mode = { key: "mode", value: "755" };
  return createFileSystem(b, "tmpfs", [{ key: "source", value: "tmpfs" }, mode], FLAGS);
}

/** Put the hierarchies into the attached tmpfs, then make it read-only if asked to. Nothing to do on v2. */
export function fillCgroup(b: ProgramBuilder, { trees, readonly }: CgroupTrees, root: Operand): void {
  for (const { name, tree, links } of trees) {
    if (name === "") continue;
    b.sys("mkdirat", [root, b.data.string(name), 0o755]);
    const flags = MOUNT.MOVE_F_EMPTY_PATH;
    b.sys("move_mount", [tree, b.data.string(""), root, b.data.string(name), flags]);
    for (const link of links) b.sys("symlinkat", [b.data.string(name), root, b.data.string(link)]);
    b.release(tree);
  }
  if (readonly && trees[0]?.name !== "") setAttributes(b, root, { set: ATTR.rdonly, clear: 0 });
}
