import type { AttributeChange, FsParameter } from "../mount/options.ts";
import { MAX_FS_VALUE } from "../mount/overlay.ts";
import { InvalidSpec } from "../spec/invalid-spec.ts";
import { AT, CLONE, MOUNT, MS, O, RESOLVE, S, SIZE } from "./constants.ts";
import { CHECK, MISSING } from "./opcodes.ts";
import type { Operand, ProgramBuilder, Register } from "./program.ts";

/** Steps of the fd based mount API. No function here takes a path inside a rootfs but `resolve`. */

/** A detached clone of a host path's mount (with `recursive`, of all below it too). */
export function cloneTree(b: ProgramBuilder, path: string, recursive: boolean, action = "open_tree"): Register {
  const flags = MOUNT.OPEN_TREE_CLONE | O.CLOEXEC | (recursive ? AT.RECURSIVE : 0);
  return b.call("open_tree", [AT.FDCWD, b.data.string(path), flags], { action });
}

/** Change attributes or propagation (one MS_ flag) of the mount that `tree` is the root of. */
export function setAttributes(
  b: ProgramBuilder,
  tree: Operand,
  change: AttributeChange & { readonly propagation?: number },
  recursive = false,
): void {
  const attr = b.data.words([change.set, change.clear, change.propagation ?? 0, 0]);
  const flags = AT.EMPTY_PATH | (recursive ? AT.RECURSIVE : 0);
  b.sys("mount_setattr", [tree, b.data.string(""), flags, attr, SIZE.mountAttr]);
}

/** All mounts of our namespace, whose root is "/", hear of the host's and are not heard there. */
export function slaveMounts(b: ProgramBuilder): void {
  const slave = b.data.words([0, 0, MS.SLAVE, 0]);
  const args = [AT.FDCWD, b.data.string("/"), AT.RECURSIVE, slave, SIZE.mountAttr];
  b.sys("mount_setattr", args, { action: "make / rslave" });
}

/** A mount namespace of our own, in which nothing that we do is seen on the host. */
export function leaveHostMounts(b: ProgramBuilder): void {
  b.sys("unshare", [CLONE.NEWNS]);
  slaveMounts(b);
}

/** A new file system, mounted but nowhere attached. `attributes` are ATTR bits of the mount. */
export function createFileSystem(
  b: ProgramBuilder,
  type: string,
  parameters: readonly FsParameter[],
  attributes: number,
): Register {
  const context = b.call("fsopen", [b.data.string(type), MOUNT.FSOPEN_CLOEXEC]);
  configure(b, context, parameters);
  b.sys("fsconfig", [context, MOUNT.CMD_CREATE, 0, 0, 0], { action: "fsconfig create" });
  const tree = b.call("fsmount", [context, MOUNT.FSMOUNT_CLOEXEC, attributes]);
  b.release(context);
  return tree;
}

/** Parameters of a file system context, in order. Throws InvalidSpec for a value longer than fsconfig takes. */
export function configure(b: ProgramBuilder, context: Operand, parameters: readonly FsParameter[]): void {
  for (const { key, value } of parameters) {
    const action = `fsconfig ${key}`;
    if (value === undefined) {
      b.sys("fsconfig", [context, MOUNT.SET_FLAG, b.data.string(key), 0, 0], { action });
      continue;
    }
    if (Buffer.byteLength(value) >= MAX_FS_VALUE)
      throw new InvalidSpec(b.field, `${key} is longer than ${MAX_FS_VALUE - 1} bytes`);
    b.sys("fsconfig", [context, MOUNT.SET_STRING, b.data.string(key), b.data.string(value), 0], { action });
  }
}

/** Attach a detached tree over the directory or file that `target` is an fd of. */
export function attach(b: ProgramBuilder, tree: Operand, target: Operand): void {
  const none = b.data.string("");
  b.sys("move_mount", [tree, none, target, none, MOUNT.MOVE_F_EMPTY_PATH | MOUNT.MOVE_T_EMPTY_PATH]);
}

/** Resolve a path inside `root` (never outside), making what is missing as `missing` says. An O_PATH fd. */
export function resolve(
  b: ProgramBuilder,
  root: Operand,
  path: string,
  missing: number,
  options: {
    readonly mode?: number;
    readonly flags?: number;
    readonly tolerate?: readonly string[];
    readonly to?: Register;
  } = {},
): Register {
  const to = options.to ?? b.register();
  b.op("PATH", [root, b.data.string(path), missing, options.mode ?? 0, options.flags ?? 0], {
    to,
    action: "resolve target",
    ...(options.tolerate === undefined ? {} : { tolerate: options.tolerate }),
  });
  return to;
}

/** Resolve the target of a bind: where it is missing, a directory or an empty file, whichever `source` is. */
export function resolveLike(b: ProgramBuilder, source: Operand, root: Operand, path: string): Register {
  const target = b.register();
  const isDirectory = check(b, source, CHECK.type, S.IFDIR, { tolerate: ["EXDEV"], action: "stat source" });
  const directory = b.next;
  resolve(b, root, path, MISSING.makeDirectory, { mode: 0o755, to: target });
  b.skipOnError(isDirectory);
  resolve(b, root, path, MISSING.makeFile, { mode: 0o644, to: target });
  b.skipOnSuccess(directory);
  return target;
}

/** Is the fd what it should be? EXDEV if not. */
export function check(
  b: ProgramBuilder,
  fd: Operand,
  what: number,
  value: Operand,
  options: { readonly tolerate?: readonly string[]; readonly action?: string } = {},
): number {
  return b.op("CHECK", [fd, what, value], options);
}

/** openat2 of a path below `directory`; `resolution` are RESOLVE_ bits. */
export function openAt(
  b: ProgramBuilder,
  directory: Operand,
  path: string,
  flags: number,
  resolution: number = RESOLVE.NO_XDEV | RESOLVE.NO_SYMLINKS | RESOLVE.BENEATH,
  options: { readonly tolerate?: "any" | readonly string[]; readonly action?: string } = {},
): Register {
  const how = b.data.words([flags | O.CLOEXEC, 0, resolution]);
  return b.call("openat2", [directory, b.data.string(path), how, SIZE.openHow], options);
}

/** Write a whole text with one write. */
export function writeText(b: ProgramBuilder, fd: Operand, text: string, action = "write"): void {
  b.sys("write", [fd, b.data.string(text), Buffer.byteLength(text)], { action });
}
