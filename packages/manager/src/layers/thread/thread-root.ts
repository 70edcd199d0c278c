import { closeSync, constants, openSync, readFileSync } from "node:fs";
import { lstat } from "node:fs/promises";
import type { LayerLibc } from "../libc.ts";
import { MNT_DETACH, MS_PRIVATE_RECURSIVE } from "../mount/mount-flags.ts";
import type { ByteString } from "../tar/byte-string.ts";

/**
 * What the calling thread sees as "/", apart from the other threads of the process. Only synchronous calls of Node run on the calling
 * thread: whatever goes through libuv's pool (promises, callbacks) sees the host as it is.
 */
export class ThreadRoot implements Disposable {
  #hostFd: number;
  readonly #libc: LayerLibc;
  #root: ByteString = "/";
  #mountRoot: string | undefined;

  private constructor(libc: LayerLibc, hostFd: number) {
    this.#libc = libc;
    this.#hostFd = hostFd;
  }

  /** The host's root directory, as long as this object lives. */
  get hostFd(): number {
    return this.#hostFd;
  }

  /** Part with the process's root, working directory and umask (0 from now on). To be called once, on a worker thread. */
  static async open(libc: LayerLibc): Promise<ThreadRoot> {
    // The pool's threads take over the root of the thread that makes them: they must be there before this one has a root of its own.
    await lstat("/");
    libc.unshareRoot();
    libc.umask(0);
    return new ThreadRoot(libc, openRoot());
  }

  /** Make a directory this thread's root, until the result is disposed. No path, link or `..` leads out of it. */
  enter(directory: ByteString): Disposable {
    this.#libc.chroot(directory);
    this.#root = directory;
    return { [Symbol.dispose]: () => this.#leave() };
  }

  /** Run something with the host's root, then come back. */
  outside<T>(body: () => T): T {
    const root = this.#root;
    this.#leave();
    try {
      return body();
    } finally {
      if (root !== "/") this.enter(root);
    }
  }

  /**
   * Give this thread a mount table of its own, where nothing that it mounts is seen by others or outlives it, and an empty file system on
   * `mountRoot` (an existing directory) for mount points. There is no way back: the thread is to end after its job.
   */
  openMounts(mountRoot: string): void {
    this.#libc.unshareMounts();
    closeSync(this.#hostFd); // of the old table, in which this thread can't mount
    this.#hostFd = openRoot();
    this.#libc.mount("", "/", "", MS_PRIVATE_RECURSIVE, "");
    this.#libc.mount("tmpfs", mountRoot, "tmpfs", 0, "mode=0700,size=1m");
    this.#mountRoot = mountRoot;
  }

  /** Also gives what was mounted back at once: the thread's own end may come later. */
  [Symbol.dispose](): void {
    this.#leave();
    if (this.#mountRoot !== undefined) this.#libc.umount(this.#mountRoot, MNT_DETACH);
    this.#mountRoot = undefined;
    closeSync(this.#hostFd);
  }

  #leave(): void {
    if (this.#root === "/") return;
    this.#libc.fchdir(this.#hostFd);
    this.#libc.chroot(".");
    this.#root = "/";
  }
}

function openRoot(): number {
  return openSync("/", constants.O_RDONLY | constants.O_DIRECTORY);
}

/** Whether user ids here are not the machine's own, so that devices can't be made. */
export function isInUserNamespace(): boolean {
  return !/^\s*0\s+0\s+4294967295\s*$/.test(readFileSync("/proc/self/uid_map", "utf8"));
}
