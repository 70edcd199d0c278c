import { ATTR } from "../mount/mount.ts";
import { parseMountOptions } from "../mount/options.ts";
import { AT, CLONE, MOUNT, MS, O, O_BY_ARCH, S } from "./constants.ts";
import { park } from "./mounts.ts";
import { CHECK, MISSING } from "./opcodes.ts";
import type { Operand, ProgramBuilder, Register } from "./program.ts";
import { attachExtra, prepareBind, prepareRootfs, type RootfsPlan } from "./rootfs.ts";
import { attach, check, createFileSystem, leaveHostMounts, resolve, setAttributes } from "./tree.ts";

/**
 * A share: a file system in a mount namespace of its own, below which the files of containers are mounted one container after another, for a
 * server that has a copy of that namespace. Two empty directories of the host are all that it needs outside; it is gone with the last
 * process in the namespace.
 */
export interface SharePlace {
  /** Where our own programs make directories. */
  readonly work: string;
  /** The same file system, read-only: who is served through it can change nothing but what is mounted below. */
  readonly shared: string;
}

/** A directory or file of the host that goes to `SHARED/ID/N`. */
export interface SharedBind {
  readonly source: string;
  readonly readonly: boolean;
  /** With all that is mounted below it. */
  readonly recursive: boolean;
  /** What is mounted below it later on the host arrives, too. */
  readonly slave: boolean;
  /** For messages: `mounts[3] "/data"`. */
  readonly field: string;
}

/** What one container has in a share: `SHARED/ID/rootfs`, and a bind for each number. */
export interface SharedMounts {
  readonly id: string;
  readonly rootfs: RootfsPlan;
  readonly binds: readonly SharedBind[];
}

/** Directories are all that is in there. */
const SIZE = "1m";

/** Enter a new mount namespace, and make the share in it. The process that runs this, or what it execs, holds it. */
export function makeShare(b: ProgramBuilder, { work, shared }: SharePlace): void {
  b.field = `share ${JSON.stringify(shared)}`;
  leaveHostMounts(b);
  const options = { size: SIZE, mode: "0755" };
  const parameters = Object.entries(options).map(([key, value]) => ({ key, value }));
  const tree = createFileSystem(b, "tmpfs", parameters, ATTR.nosuid | ATTR.nodev);
  attachAt(b, tree, work);
  const clone = MOUNT.OPEN_TREE_CLONE | O.CLOEXEC | AT.EMPTY_PATH;
  const view = b.call("open_tree", [tree, b.data.string(""), clone]);
  setAttributes(b, view, { set: ATTR.rdonly, clear: 0, propagation: MS.SHARED });
  attachAt(b, view, shared);
  for (const fd of [tree, view]) close(b, fd);
}

/**
 * Mount a container's files in a share. All sources are paths of the namespace that the program starts in: what the host has mounted since
 * the share was made is found. `namespace`: a pidfd of a process in the share's.
 */
export function mountInShare(b: ProgramBuilder, place: SharePlace, namespace: Operand, mounts: SharedMounts): void {
  const rootfs = prepareRootfs(b, mounts.rootfs);
  const binds = mounts.binds.map((bind, i) => {
    b.field = bind.field;
    return { field: bind.field, name: `${i}`, tree: park(b, prepare(b, bind), i) };
  });
  const work = enter(b, place, namespace);
  b.field = "root";
  close(b, resolve(b, work, `${mounts.id}/rootfs`, MISSING.makeDirectory, { mode: 0o755 }));
  attachAt(b, rootfs.root, `${place.shared}/${mounts.id}/rootfs`);
  attachExtra(b, rootfs.root, rootfs.extra);
  for (const { field, name, tree } of binds) {
    b.field = field;
    makeTarget(b, tree, work, `${mounts.id}/${name}`);
    attachAt(b, tree, `${place.shared}/${mounts.id}/${name}`);
  }
}

/** Take a container's files out of a share again: those with `count` binds, or as many as there are of them. */
export function unmountInShare(
  b: ProgramBuilder,
  place: SharePlace,
  namespace: Operand,
  id: string,
  count: number,
): void {
  const work = enter(b, place, namespace);
  const names = ["rootfs", ...Array.from({ length: count }, (_, i) => `${i}`)];
  for (const name of names) {
    b.field = `share ${JSON.stringify(`${id}/${name}`)}`;
    const flags = MOUNT.MNT_DETACH | MOUNT.UMOUNT_NOFOLLOW;
    b.sys("umount2", [b.data.string(`${place.shared}/${id}/${name}`), flags], { tolerate: ["ENOENT", "EINVAL"] });
    const path = b.data.string(`${id}/${name}`);
    const file = b.sys("unlinkat", [work, path, AT.REMOVEDIR], { tolerate: ["ENOTDIR", "ENOENT"] });
    b.sys("unlinkat", [work, path, 0], { tolerate: ["ENOENT"] });
    b.skipOnSuccess(file);
  }
  b.field = `share ${JSON.stringify(id)}`;
  b.sys("unlinkat", [work, b.data.string(id), AT.REMOVEDIR], { tolerate: ["ENOENT"] });
}

/** Into the share's namespace; an fd of its work directory. */
function enter(b: ProgramBuilder, { work }: SharePlace, namespace: Operand): Register {
  b.field = "share";
  b.sys("setns", [namespace, CLONE.NEWNS]);
  return openPath(b, work, O_BY_ARCH[b.architecture].DIRECTORY);
}

function prepare(b: ProgramBuilder, { source, readonly, recursive, slave, field }: SharedBind): Register {
  const options = parseMountOptions([readonly ? "ro" : "rw", slave ? "rslave" : "rprivate"], () => field);
  return prepareBind(b, source, options, recursive, undefined);
}

/** A directory for a directory, an empty file for a file. Anything else of the host's means nothing to who is served. */
function makeTarget(b: ProgramBuilder, tree: Operand, work: Register, path: string): void {
  const made = b.register();
  const isDirectory = check(b, tree, CHECK.type, S.IFDIR, { tolerate: ["EXDEV"], action: "stat source" });
  const directory = b.next;
  resolve(b, work, path, MISSING.makeDirectory, { mode: 0o755, to: made });
  b.skipOnError(isDirectory);
  check(b, tree, CHECK.type, S.IFREG, { action: "source type" });
  resolve(b, work, path, MISSING.makeFile, { mode: 0o644, to: made });
  b.skipOnSuccess(directory);
  close(b, made);
}

function attachAt(b: ProgramBuilder, tree: Operand, path: string): void {
  const target = openPath(b, path, 0);
  attach(b, tree, target);
  close(b, target);
}

function openPath(b: ProgramBuilder, path: string, flags: number): Register {
  const nofollow = O_BY_ARCH[b.architecture].NOFOLLOW;
  return b.call("openat", [AT.FDCWD, b.data.string(path), O.PATH | O.CLOEXEC | nofollow | flags], {
    action: "open share",
  });
}

function close(b: ProgramBuilder, fd: Register): void {
  b.sys("close", [fd]);
  b.release(fd);
}
