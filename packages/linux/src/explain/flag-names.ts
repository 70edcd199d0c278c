// biome-ignore-all format: tables of kernel constants

import { AT, CLONE, F, IOCTL, KEYCTL, MAGIC, MOUNT, MS, O, O_BY_ARCH, PRCTL, RESOLVE } from "../launch/constants.ts";
import { CHECK, MISSING, PATH_FLAG, SYNC_CODE } from "../launch/opcodes.ts";
import { ATTR } from "../mount/mount.ts";
import { NAMESPACE_FLAG, RLIMIT } from "../spec/tables.ts";
import type { Architecture } from "../syscall/numbers.ts";

/** Names of bits or of numbers. */
export type Names = readonly (readonly [name: string, value: number | bigint])[];

const prefixed = (prefix: string, table: Readonly<Record<string, number>>): Names =>
  Object.entries(table).map(([name, value]) => [`${prefix}${name}`, value]);

export const CLONE_FLAGS: Names = [
  ...Object.entries(NAMESPACE_FLAG).map(([kind, value]) => [`CLONE_NEW${cloneSuffix(kind)}`, value] as const),
  ["CLONE_INTO_CGROUP", CLONE.INTO_CGROUP], ["CLONE_PARENT", CLONE.PARENT], ["CLONE_FILES", CLONE.FILES], ["SIGCHLD", 17],
];

function cloneSuffix(kind: string): string {
  if (kind === "mount") return "NS";
  return kind === "network" ? "NET" : kind.toUpperCase();
}

export function openFlags(architecture: Architecture): Names {
  const { RDONLY: _, ...rest } = O;
  return [...prefixed("O_", rest), ...prefixed("O_", O_BY_ARCH[architecture]), ["O_APPEND", 0o2000]];
}

export const RESOLVE_FLAGS = prefixed("RESOLVE_", RESOLVE);
export const AT_FLAGS: Names = [
  ["AT_SYMLINK_NOFOLLOW", AT.SYMLINK_NOFOLLOW], ["AT_REMOVEDIR", AT.REMOVEDIR], ["AT_EMPTY_PATH", AT.EMPTY_PATH],
  ["AT_RECURSIVE", AT.RECURSIVE],
];
export const OPEN_TREE_FLAGS: Names = [["OPEN_TREE_CLONE", MOUNT.OPEN_TREE_CLONE], ["OPEN_TREE_CLOEXEC", O.CLOEXEC], ...AT_FLAGS];
export const MOVE_FLAGS: Names = [["MOVE_MOUNT_F_EMPTY_PATH", MOUNT.MOVE_F_EMPTY_PATH], ["MOVE_MOUNT_T_EMPTY_PATH", MOUNT.MOVE_T_EMPTY_PATH]];
export const UMOUNT_FLAGS: Names = [["MNT_DETACH", MOUNT.MNT_DETACH], ["UMOUNT_NOFOLLOW", MOUNT.UMOUNT_NOFOLLOW]];
export const FSCONFIG_COMMANDS: Names = [
  ["FSCONFIG_SET_FLAG", MOUNT.SET_FLAG], ["FSCONFIG_SET_STRING", MOUNT.SET_STRING], ["FSCONFIG_CMD_CREATE", MOUNT.CMD_CREATE],
  ["FSCONFIG_CMD_RECONFIGURE", MOUNT.CMD_RECONFIGURE],
];
export const MOUNT_ATTRIBUTES: Names = [
  ["MOUNT_ATTR_RDONLY", ATTR.rdonly], ["MOUNT_ATTR_NOSUID", ATTR.nosuid], ["MOUNT_ATTR_NODEV", ATTR.nodev],
  ["MOUNT_ATTR_NOEXEC", ATTR.noexec], ["MOUNT_ATTR_NOATIME", ATTR.noatime], ["MOUNT_ATTR_STRICTATIME", ATTR.strictatime],
  ["MOUNT_ATTR_NODIRATIME", ATTR.nodiratime], ["MOUNT_ATTR_IDMAP", ATTR.idmap], ["MOUNT_ATTR_NOSYMFOLLOW", ATTR.nosymfollow],
];
export const PROPAGATIONS = prefixed("MS_", MS);
export const IOCTLS: Names = prefixed("", IOCTL);
export const FCNTLS = prefixed("F_", F);
export const PRCTLS = prefixed("PR_", PRCTL);
export const KEYCTLS = prefixed("KEYCTL_", KEYCTL);
export const RLIMITS: Names = [...RLIMIT];
export const SECCOMP_FLAGS: Names = [
  ["SECCOMP_FILTER_FLAG_TSYNC", 1], ["SECCOMP_FILTER_FLAG_LOG", 2], ["SECCOMP_FILTER_FLAG_SPEC_ALLOW", 4],
  ["SECCOMP_FILTER_FLAG_NEW_LISTENER", 8], ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 32],
];
export const FILE_TYPES: Names = [["S_IFREG", 0o100000], ["S_IFCHR", 0o020000], ["S_IFDIR", 0o040000], ["S_IFBLK", 0o060000], ["S_IFIFO", 0o010000]];
export const CHECKS: Names = [
  ["type", CHECK.type], ["device number", CHECK.rdev], ["inode", CHECK.inode], ["file system", CHECK.magic],
  ["namespace", CHECK.namespace], ["another mount than", 6], ["the mount of", 7],
];
export const MAGICS = prefixed("", MAGIC);
export const MISSINGS: Names = [
  ["must exist", MISSING.fail], ["else make a directory", MISSING.makeDirectory], ["else make a file", MISSING.makeFile],
  ["its parent, made", MISSING.parent],
];
export const PATH_FLAGS: Names = [["no symlinks", PATH_FLAG.noSymlinks], ["last one not followed", PATH_FLAG.noFollow]];
export const SYNCS = prefixed("", SYNC_CODE);
export const COMPARISONS: Names = [["==", 0], ["!=", 1], ["<", 2], [">=", 3]];
export const CAPS_FLAGS: Names = [["bounding", 1], ["effective, permitted, inheritable", 2], ["ambient", 4]];
