import { ATTR } from "../mount/mount.ts";
import { AT, CLONE, MOUNT, MS, O } from "./constants.ts";
import type { Operand, ProgramBuilder, Register } from "./program.ts";
import { pivotToPlaced } from "./rootfs.ts";
import { attach, cloneTree, createFileSystem, leaveHostMounts, resolveLike, setAttributes } from "./tree.ts";

/** What a program sees of the host: files and directories under their own paths, absolute. All of them exist. */
export interface OwnRoot {
  readonly readOnly: readonly string[];
  readonly writable: readonly string[];
  /** Nodes that may be opened: what else is shown shows devices that can't. */
  readonly devices: readonly string[];
  /** Symbolic links of the root directory itself, such as /lib64. */
  readonly links: readonly { readonly path: string; readonly target: string }[];
}

/** Mount points are all that is in there. */
const SIZE = "64k";

/**
 * Enter a mount namespace whose root has only these paths: nothing else of the host's files, sockets and /proc is there for whoever takes
 * the program over. Needs CAP_SYS_ADMIN; without it afterwards there is no way back.
 */
export function enterOwnRoot(b: ProgramBuilder, view: OwnRoot): void {
  b.field = "root";
  leaveHostMounts(b);
  const parameters = Object.entries({ size: SIZE, mode: "0755" }).map(([key, value]) => ({ key, value }));
  const root = createFileSystem(b, "tmpfs", parameters, ATTR.nosuid | ATTR.nodev | ATTR.noexec);
  // The paths below begin at our root directory as it was: what is mounted over that is not looked at.
  const over = [root, b.data.string(""), AT.FDCWD, b.data.string("/"), MOUNT.MOVE_F_EMPTY_PATH];
  b.sys("move_mount", over, { action: "attach root" });
  const plain = ATTR.nosuid | ATTR.nodev;
  const kinds = [
    [view.readOnly, plain | ATTR.rdonly],
    [view.devices, ATTR.nosuid | ATTR.noexec | ATTR.rdonly],
    [view.writable, plain | ATTR.noexec],
  ] as const;
  for (const [paths, attributes] of kinds)
    for (const path of paths.toSorted((one, other) => one.length - other.length)) show(b, root, path, attributes);
  for (const { path, target } of view.links)
    b.sys("symlinkat", [b.data.string(target), root, b.data.string(path.slice(1))]);
  b.field = "root";
  pivotToPlaced(b, { root, extra: [] });
  setAttributes(b, root, { set: ATTR.rdonly, clear: 0 });
  close(b, root);
}

/** A device of the host's for a root that `enterOwnRoot` has made. */
export interface ShownDevice {
  /** A pidfd of whoever lives in that root, or its mount namespace. */
  readonly namespace: Operand;
  readonly path: string;
  /** Where it is to be: in a writable directory of the root. */
  readonly target: string;
}

/** For a child of its own, which ends there: nothing of the host is left to it but the device. */
export function showDevice(b: ProgramBuilder, { namespace, path, target }: ShownDevice): void {
  b.field = `root ${JSON.stringify(path)}`;
  const tree = cloneTree(b, path, false);
  const change = { set: ATTR.nosuid | ATTR.noexec, clear: ATTR.nodev, propagation: MS.PRIVATE };
  setAttributes(b, tree, change);
  b.sys("setns", [namespace, CLONE.NEWNS]);
  const flags = O.RDONLY | O.CREAT | O.CLOEXEC | O.NONBLOCK;
  const place = b.call("openat", [AT.FDCWD, b.data.string(target), flags, 0o600]);
  attach(b, tree, place);
  for (const fd of [tree, place]) close(b, fd);
}

function show(b: ProgramBuilder, root: Register, path: string, attributes: number): void {
  b.field = `root ${JSON.stringify(path)}`;
  const tree = cloneTree(b, path, true);
  setAttributes(b, tree, { set: attributes, clear: 0, propagation: MS.PRIVATE }, true);
  const target = resolveLike(b, tree, root, path);
  attach(b, tree, target);
  for (const fd of [tree, target]) close(b, fd);
}

function close(b: ProgramBuilder, fd: Register): void {
  b.sys("close", [fd]);
  b.release(fd);
}
