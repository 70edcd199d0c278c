import { createRequire } from "node:module";
import { errnoOf } from "../errors/manager-error.ts";
import { bindChildCalls, type ChildCalls } from "./child-calls.ts";
import { SyscallError } from "./syscall-error.ts";

/** The calls that Node lacks. Paths are given to the kernel as they are: whoever builds them has made them safe. */
export interface Syscalls extends ChildCalls {
  /** A FIFO; the mode is not subject to the umask. */
  mkfifo(path: string, mode: number): void;
  /** `mode` with the file type's bits. Device numbers 0:0 make a whiteout. */
  mknod(path: string, mode: number, major: number, minor: number): void;
  /** Set one extended attribute; a symbolic link is not followed. */
  lsetxattr(path: string, name: string, value: Uint8Array): void;
  /** The attributes of a file, a symbolic link not followed: at most 64 KiB of names and of each value. */
  lgetxattrs(path: string): ReadonlyMap<string, Buffer>;
  /** Lazy unmount of one mount; false if nothing is mounted there. */
  umount(path: string): boolean;
  /** An exclusive lock on an open file, for as long as it is open. Waits on a thread of the pool. */
  flock(fd: number): Promise<void>;
  /** The same without waiting, or shared with others who share; false if another open file's lock is in the way. */
  tryFlock(fd: number, kind?: "exclusive" | "shared"): boolean;
  /** Return free memory of malloc to the system. */
  mallocTrim(): void;
  /** Forget the pages of a mapping; they are read again from its file when touched. Only for clean ones. */
  dropPages(start: bigint, length: number): void;
  /** Put a terminal into raw mode (cfmakeraw: Node's own leaves output processing on). The result takes it back. */
  rawTerminal(fd: number): Disposable;
}

const AT_FDCWD = -100;
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;
const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const MADV_DONTNEED = 4;
const TCSADRAIN = 1;
const TERMIOS_BYTES = 64; // glibc's struct has 60
const XATTR_LIMIT_BYTES = 65536;

/** Load libc (about 18 ms the first time, with koffi's own loading). */
export function loadSyscalls(): Syscalls {
  // koffi is CommonJS at heart; asked for here and not at the top, since `ps` and `--help` need none of it.
  const koffi: typeof import("koffi") = createRequire(import.meta.url)("koffi");
  const libc = koffi.load(null);
  const check = (result: number, syscall: string, subject: string): number => {
    if (result < 0) throw new SyscallError(syscall, koffi.errno(), subject);
    return result;
  };
  const mknodat = libc.func("int mknodat(int, const char *, uint, uint64)");
  const fchmodat = libc.func("int fchmodat(int, const char *, uint, int)");
  const setxattr = libc.func("int lsetxattr(const char *, const char *, const void *, size_t, int)");
  const getxattr = libc.func("int64 lgetxattr(const char *, const char *, _Out_ void *, size_t)");
  const listxattr = libc.func("int64 llistxattr(const char *, _Out_ void *, size_t)");
  const umount2 = libc.func("int umount2(const char *, int)");
  const flock = libc.func("int flock(int, int)");
  const madvise = libc.func("int madvise(uint64, size_t, int)");
  const mallocTrim = libc.func("int malloc_trim(size_t)");

  const tcgetattr = libc.func("int tcgetattr(int, _Out_ void *)");
  const tcsetattr = libc.func("int tcsetattr(int, int, const void *)");
  const cfmakeraw = libc.func("void cfmakeraw(_Inout_ void *)");

  const mknod: Syscalls["mknod"] = (path, mode, major, minor) => {
    check(mknodat(AT_FDCWD, path, mode, deviceNumber(major, minor)), "mknod", path);
    check(fchmodat(AT_FDCWD, path, mode & 0o7777, 0), "chmod", path);
  };
  return {
    ...bindChildCalls(koffi, libc),
    mknod,
    mkfifo: (path, mode) => mknod(path, 0o010000 | mode, 0, 0),
    lsetxattr: (path, name, value) => {
      check(setxattr(path, name, value, value.length, 0), "lsetxattr", `${path} ${name}`);
    },
    lgetxattrs: (path) => {
      const buffer = Buffer.alloc(XATTR_LIMIT_BYTES);
      const size = Number(listxattr(path, buffer, buffer.length));
      check(size, "llistxattr", path);
      const names = buffer.toString("utf8", 0, size).split("\0").filter(Boolean);
      return new Map(
        names.map((name) => {
          const length = Number(getxattr(path, name, buffer, buffer.length));
          return [name, Buffer.from(buffer.subarray(0, check(length, "lgetxattr", `${path} ${name}`)))];
        }),
      );
    },
    umount: (path) => {
      try {
        check(umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW), "umount2", path);
        return true;
      } catch (error) {
        if (errnoOf(error) === "EINVAL" || errnoOf(error) === "ENOENT") return false;
        throw error;
      }
    },
    mallocTrim: () => void mallocTrim(0),
    dropPages: (start, length) => void check(madvise(start, length, MADV_DONTNEED), "madvise", start.toString(16)),
    rawTerminal: (fd) => {
      const saved = Buffer.alloc(TERMIOS_BYTES);
      check(tcgetattr(fd, saved), "tcgetattr", "terminal");
      const raw = Buffer.from(saved);
      cfmakeraw(raw);
      check(tcsetattr(fd, TCSADRAIN, raw), "tcsetattr", "terminal");
      return { [Symbol.dispose]: () => void tcsetattr(fd, TCSADRAIN, saved) };
    },
    tryFlock: (fd, kind = "exclusive") => {
      try {
        check(flock(fd, (kind === "shared" ? LOCK_SH : LOCK_EX) | LOCK_NB), "flock", "lock");
        return true;
      } catch (error) {
        if (errnoOf(error) === "EAGAIN" || errnoOf(error) === "EWOULDBLOCK") return false;
        throw error;
      }
    },
    flock: async (fd) => {
      const { promise, resolve, reject } = Promise.withResolvers<number>();
      flock.async(fd, LOCK_EX, (error: unknown, result: number) => (error ? reject(error) : resolve(result)));
      if ((await promise) < 0) throw new SyscallError("flock", koffi.errno(), "lock");
    },
  };
}

/** dev_t as libc packs it: 12 bits of major around 20 of minor, and the high parts above. */
function deviceNumber(major: number, minor: number): bigint {
  const [a, b] = [BigInt(major), BigInt(minor)];
  return (b & 0xffn) | ((a & 0xfffn) << 8n) | ((b & ~0xffn) << 12n) | ((a & ~0xfffn) << 32n);
}
