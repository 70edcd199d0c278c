import type { IdMapping } from "../spec/linux.ts";

/**
 * A mount as containerd's API and the OCI spec have it. `target` is absolute in a spec's list ("/data"), and relative to the
 * rootfs or empty (the rootfs itself) in Create's list. `source` is a host path for binds, else what the file system makes of it.
 */
export interface Mount {
  readonly type: string;
  readonly source: string;
  readonly target: string;
  readonly options: readonly string[];
  /** An idmapped mount: a file of `containerId` on disk is seen as `hostId`. Neither is empty. */
  readonly idMappings?: IdMappings;
}

/** Lines of a uid_map and a gid_map. */
export interface IdMappings {
  readonly uids: readonly IdMapping[];
  readonly gids: readonly IdMapping[];
}

/** Bits of `mount_attr.attr_set`, `attr_clr` and of fsmount (linux/mount.h). */
export const ATTR = {
  rdonly: 0x1,
  nosuid: 0x2,
  nodev: 0x4,
  noexec: 0x8,
  atimeMask: 0x70,
  noatime: 0x10,
  strictatime: 0x20,
  nodiratime: 0x80,
  idmap: 0x100000,
  nosymfollow: 0x200000,
} as const;
