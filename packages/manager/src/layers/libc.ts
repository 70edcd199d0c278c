import { createRequire } from "node:module";
import { constants } from "node:os";
import { SyscallError } from "../host/syscall-error.ts";
import { type ByteString, toCString, toText } from "./tar/byte-string.ts";

/** A point in time as the kernel has it. */
export interface FileTime {
  readonly seconds: number;
  readonly nanoseconds: number;
}

/** What unpacking and comparing need of the kernel and Node lacks. All calls are synchronous; none follows a symbolic link in the last part. */
export interface LayerLibc {
  /** `mode` with the file type's bits; permissions are subject to the umask. */
  mknod(path: ByteString, mode: number, major: number, minor: number): void;
  /** Of a path, or an open file. */
  setTimes(file: ByteString | number, atime: FileTime, mtime: FileTime): void;
  setXattr(path: ByteString, name: ByteString, value: Uint8Array): void;
  /** Undefined if the file has no such attribute, or its file system none at all. */
  getXattr(path: ByteString, name: ByteString): Buffer | undefined;
  /** Names of all attributes; none where the file system has none. */
  listXattrs(path: ByteString): ByteString[];
  /** The calling thread gets a working directory, root and umask of its own. */
  unshareRoot(): void;
  /** The calling thread gets a mount table of its own. */
  unshareMounts(): void;
  /** This thread's umask; returns the old one. */
  umask(mask: number): number;
  fchdir(fd: number): void;
  chroot(path: ByteString): void;
  /** mount(2). `data` of at most a page. */
  mount(source: string, target: string, type: string, flags: number, data: string): void;
  /** umount2(2), following no link. */
  umount(target: string, flags: number): void;
  /** Write out the file system of an open file. */
  syncfs(fd: number): void;
}

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const CLONE_FS = 0x200;
const CLONE_NEWNS = 0x20000;
const UMOUNT_NOFOLLOW = 8;
const TIMESPEC_BYTES = 16;
const XATTR_LIMIT_BYTES = 65536;
const { ENODATA, ENOTSUP, EOPNOTSUPP } = constants.errno;

/** Load libc through koffi (about 18 ms the first time). */
export function loadLayerLibc(): LayerLibc {
  const koffi: typeof import("koffi") = createRequire(import.meta.url)("koffi");
  const libc = koffi.load(null);
  const check = (result: number, syscall: string, subject: string): number => {
    if (result < 0) throw new SyscallError(syscall, koffi.errno(), toText(subject));
    return result;
  };
  const mknodat = libc.func("int mknodat(int, const char *, uint, uint64)");
  const utimensat = libc.func("int utimensat(int, const char *, const void *, int)");
  const futimens = libc.func("int futimens(int, const void *)");
  const lsetxattr = libc.func("int lsetxattr(const char *, const char *, const void *, size_t, int)");
  const lgetxattr = libc.func("int64 lgetxattr(const char *, const char *, _Out_ void *, size_t)");
  const llistxattr = libc.func("int64 llistxattr(const char *, _Out_ void *, size_t)");
  const unshare = libc.func("int unshare(int)");
  const umask = libc.func("uint umask(uint)");
  const fchdir = libc.func("int fchdir(int)");
  const chroot = libc.func("int chroot(const char *)");
  const mount = libc.func("int mount(const char *, const char *, const char *, ulong, const char *)");
  const umount2 = libc.func("int umount2(const char *, int)");
  const syncfs = libc.func("int syncfs(int)");

  const times = Buffer.alloc(2 * TIMESPEC_BYTES);
  const buffer = Buffer.alloc(XATTR_LIMIT_BYTES);
  const lacksXattrs = () => koffi.errno() === ENOTSUP || koffi.errno() === EOPNOTSUPP;
  return {
    mknod: (path, mode, major, minor) => {
      check(mknodat(AT_FDCWD, toCString(path), mode, toDeviceNumber(major, minor)), "mknod", path);
    },
    setTimes: (file, atime, mtime) => {
      encodeTime(times, 0, atime);
      encodeTime(times, TIMESPEC_BYTES, mtime);
      if (typeof file === "number") check(futimens(file, times), "futimens", `fd ${file}`);
      else check(utimensat(AT_FDCWD, toCString(file), times, AT_SYMLINK_NOFOLLOW), "utimensat", file);
    },
    setXattr: (path, name, value) => {
      const result = lsetxattr(toCString(path), toCString(name), value, value.length, 0);
      check(result, "lsetxattr", `${path} ${name}`);
    },
    getXattr: (path, name) => {
      const length = Number(lgetxattr(toCString(path), toCString(name), buffer, buffer.length));
      if (length < 0 && (koffi.errno() === ENODATA || lacksXattrs())) return undefined;
      return Buffer.from(buffer.subarray(0, check(length, "lgetxattr", `${path} ${name}`)));
    },
    listXattrs: (path) => {
      const length = Number(llistxattr(toCString(path), buffer, buffer.length));
      if (length < 0 && lacksXattrs()) return [];
      return buffer
        .toString("latin1", 0, check(length, "llistxattr", path))
        .split("\0")
        .filter(Boolean);
    },
    unshareRoot: () => void check(unshare(CLONE_FS), "unshare", "layer thread"),
    unshareMounts: () => void check(unshare(CLONE_NEWNS), "unshare", "layer thread"),
    umask: (mask) => umask(mask),
    fchdir: (fd) => void check(fchdir(fd), "fchdir", `fd ${fd}`),
    chroot: (path) => void check(chroot(toCString(path)), "chroot", path),
    mount: (source, target, type, flags, data) => void check(mount(source, target, type, flags, data), "mount", target),
    umount: (target, flags) => void check(umount2(target, flags | UMOUNT_NOFOLLOW), "umount2", target),
    syncfs: (fd) => void check(syncfs(fd), "syncfs", `fd ${fd}`),
  };
}

function encodeTime(into: Buffer, at: number, { seconds, nanoseconds }: FileTime): void {
  into.writeUInt32LE(seconds % 2 ** 32, at);
  into.writeUInt32LE(Math.floor(seconds / 2 ** 32), at + 4);
  into.writeUInt32LE(nanoseconds, at + 8);
  into.writeUInt32LE(0, at + 12);
}

/** dev_t as libc packs it: 12 bits of major around 20 of minor, and the high parts above. */
function toDeviceNumber(major: number, minor: number): bigint {
  const [a, b] = [BigInt(major), BigInt(minor)];
  return (b & 0xffn) | ((a & 0xfffn) << 8n) | ((b & ~0xffn) << 12n) | ((a & ~0xfffn) << 32n);
}
