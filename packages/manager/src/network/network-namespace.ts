import { closeSync, constants, mkdirSync, openSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { constants as system } from "node:os";
import { dirname } from "node:path";
import { SyscallError } from "../host/syscall-error.ts";

/** The calls that make, join and hold network namespaces. All act on the calling thread, at once. */
export interface NamespaceLibc {
  unshareNetwork(): void;
  /** Join the network namespace of an open file. */
  joinNetwork(fd: number): void;
  /** Show a file at another path, which exists. */
  bind(source: string, target: string): void;
  /** Unmount at once, following no link; nothing mounted there is success. */
  unmount(path: string): void;
}

const CLONE_NEWNET = 0x40000000;
const MS_BIND = 0x1000;
const DETACH_NOFOLLOW = 2 | 8;
const OWN_NAMESPACE = "/proc/thread-self/ns/net";

/** Load libc through koffi (about 18 ms the first time). */
export function loadNamespaceLibc(): NamespaceLibc {
  const koffi: typeof import("koffi") = createRequire(import.meta.url)("koffi");
  const libc = koffi.load(null);
  const { EINVAL, ENOENT } = system.errno;
  const check = (result: number, syscall: string, subject: string, fine: readonly number[] = []) => {
    if (result < 0 && !fine.includes(koffi.errno())) throw new SyscallError(syscall, koffi.errno(), subject);
  };
  const unshare = libc.func("int unshare(int)");
  const setns = libc.func("int setns(int, int)");
  const mount = libc.func("int mount(const char *, const char *, const char *, ulong, const char *)");
  const umount2 = libc.func("int umount2(const char *, int)");
  return {
    unshareNetwork: () => check(unshare(CLONE_NEWNET), "unshare", "network namespace"),
    joinNetwork: (fd) => check(setns(fd, CLONE_NEWNET), "setns", "network namespace"),
    bind: (source, target) => check(mount(source, target, "", MS_BIND, ""), "mount", target),
    unmount: (path) => check(umount2(path, DETACH_NOFOLLOW), "umount2", path, [EINVAL, ENOENT]),
  };
}

/**
 * Make a network namespace that lives as long as it is mounted on `path`, a new file (its directory is made, mode 0711). The
 * calling thread is in the new namespace for a moment only, in which nothing else runs on it. Throws SyscallError, EEXIST.
 */
export function makeNetworkNamespace(path: string, libc: NamespaceLibc): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
  closeSync(openSync(path, constants.O_CREAT | constants.O_EXCL | constants.O_RDONLY, 0o444));
  try {
    const home = openSync(OWN_NAMESPACE, constants.O_RDONLY);
    try {
      libc.unshareNetwork();
      try {
        libc.bind(OWN_NAMESPACE, path);
      } finally {
        libc.joinNetwork(home);
      }
    } finally {
      closeSync(home);
    }
  } catch (error) {
    removeNetworkNamespace(path, libc);
    throw error;
  }
}

/** Let go of a network namespace; it ends with its last process. Already gone is success. */
export function removeNetworkNamespace(path: string, libc: NamespaceLibc): void {
  libc.unmount(path);
  rmSync(path, { force: true });
}
