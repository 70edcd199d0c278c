// biome-ignore-all format: a table of kernel constants
/** Open and lookup flags. `O` differs between architectures only in the two that are functions of it. */
export const O = {
  RDONLY: 0, WRONLY: 1, RDWR: 2, CREAT: 0o100, EXCL: 0o200, NOCTTY: 0o400, NONBLOCK: 0o4000, CLOEXEC: 0o2000000, PATH: 0o10000000,
} as const;

/** O_DIRECTORY and O_NOFOLLOW have numbers of their own on arm64. */
export const O_BY_ARCH = {
  x86_64: { DIRECTORY: 0o200000, NOFOLLOW: 0o400000 },
  arm64: { DIRECTORY: 0o40000, NOFOLLOW: 0o100000 },
} as const;

/** linux/fcntl.h */
export const AT = { FDCWD: -100, SYMLINK_NOFOLLOW: 0x100, REMOVEDIR: 0x200, EMPTY_PATH: 0x1000, RECURSIVE: 0x8000 } as const;

/** fcntl(2). */
export const F = { DUPFD_CLOEXEC: 1030 } as const;

/** linux/openat2.h */
export const RESOLVE = { NO_XDEV: 1, NO_MAGICLINKS: 2, NO_SYMLINKS: 4, BENEATH: 8, IN_ROOT: 16 } as const;

/** linux/mount.h: open_tree, move_mount, fsopen, fsmount, fsconfig, umount2, mount. */
export const MOUNT = {
  OPEN_TREE_CLONE: 1, MOVE_F_EMPTY_PATH: 4, MOVE_T_EMPTY_PATH: 0x40, FSOPEN_CLOEXEC: 1, FSMOUNT_CLOEXEC: 1,
  FSPICK_CLOEXEC: 1, FSPICK_EMPTY_PATH: 8, SET_FLAG: 0, SET_STRING: 1, CMD_CREATE: 6, CMD_RECONFIGURE: 7, MNT_DETACH: 2, UMOUNT_NOFOLLOW: 8, MS_RDONLY: 1,
} as const;

/** MS_ propagation bits of mount_attr.propagation. */
export const MS = { UNBINDABLE: 0x20000, PRIVATE: 0x40000, SLAVE: 0x80000, SHARED: 0x100000 } as const;

/** linux/sched.h */
export const CLONE = { INTO_CGROUP: 0x2_0000_0000, NEWNS: 0x20000, NEWNET: 0x40000000, NEWCGROUP: 0x2000000, NEWTIME: 0x80, NEWUSER: 0x10000000, NEWPID: 0x20000000, PARENT: 0x8000, FILES: 0x400 } as const;

/** File types of st_mode. */
export const S = { IFMT: 0o170000, IFREG: 0o100000, IFCHR: 0o020000, IFDIR: 0o040000, IFBLK: 0o060000, IFIFO: 0o010000 } as const;

/** File systems by statfs's f_type. */
export const MAGIC = { proc: 0x9fa0, devpts: 0x1cd1, tmpfs: 0x01021994 } as const;

/** ioctls. */
export const IOCTL = { TIOCSCTTY: 0x540e, TIOCSWINSZ: 0x5414, TIOCSPTLCK: 0x40045431, TIOCGPTPEER: 0x5441, SIOCSIFFLAGS: 0x8914 } as const;

/** linux/prctl.h, linux/seccomp.h, linux/keyctl.h */
export const PRCTL = { SET_DUMPABLE: 4, SET_KEEPCAPS: 8, SET_NO_NEW_PRIVS: 38 } as const;
export const KEYCTL = { JOIN_SESSION_KEYRING: 1, SETPERM: 5 } as const;
export const SECCOMP_SET_MODE_FILTER = 1;
export const SECCOMP_FILTER_FLAG_NEW_LISTENER = 8;

/** Signals; pidfd_send_signal's flag for a whole process group (6.9); poll's event. */
export const SIGKILL = 9;
export const SIGCHLD = 17;
export const PIDFD_SIGNAL_PROCESS_GROUP = 4;
export const POLLIN = 1;

/** linux/close_range.h, linux/memfd.h */
export const CLOSE_RANGE_CLOEXEC = 4;
export const MFD_CLOEXEC = 1;

/** Sizes of kernel structs in bytes. */
export const SIZE = { cloneArgs: 88, mountAttr: 32, openHow: 24 } as const;

/** Offset of `cgroup` in struct clone_args. */
export const CLONE_ARGS_CGROUP = 80;

/** A device number as mknod and st_rdev have it. */
export function makedev(major: number, minor: number): number {
  return (major << 8) | (minor & 0xff) | ((minor & ~0xff) << 12);
}
