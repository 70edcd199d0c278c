import type { ProgramBuilder } from "@trimaran/linux";

// asm-generic: fcntl.h, socket.h, linux/prctl.h
const AT_FDCWD = -100;
const O_RDONLY = 0;
const O_WRONLY = 1;
const O_CLOEXEC = 0o2000000;
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const F_DUPFD_CLOEXEC = 1030;
const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;
const CLONE_ARGS_BYTES = 88;
const CLONE_ARGS_CGROUP = 80;
const CLONE_INTO_CGROUP = 0x2_0000_0000n;
const BACKLOG = 1;

/** Slots of the pod's helpers. None of them has streams. */
export const HELPER_SLOT = { words: 0, listener: 3, namespace: 12, cgroup: 13 } as const;

/** The fd of a helper's listening socket. */
export const LISTENER_FD = 3;

/** Where a helper runs: a cgroup2 directory that it is cloned into, and files into which it writes `0`. */
export interface HelperCgroup {
  readonly into?: string;
  readonly attachFiles: readonly string[];
}

/** In the monitor: a socket that listens, so that whoever connects later finds it, in whatever order the helpers come up. */
export function openListener(b: ProgramBuilder, path: string): void {
  b.field = `socket ${JSON.stringify(path)}`;
  const address = Buffer.alloc(2 + Buffer.byteLength(path) + 1);
  address.writeUInt16LE(AF_UNIX, 0);
  address.write(path, 2);
  b.sys("unlinkat", [AT_FDCWD, b.data.string(path), 0], { tolerate: ["ENOENT"] });
  const listener = b.call("socket", [AF_UNIX, SOCK_STREAM | O_CLOEXEC, 0]);
  b.sys("umask", [0o177]);
  b.sys("bind", [listener, b.data.bytes(address), address.length]);
  b.sys("umask", [0o022]);
  b.sys("listen", [listener, BACKLOG]);
  b.op("KEEP", [listener, HELPER_SLOT.listener]);
  b.release(listener);
}

/** In the monitor: the process in whose mount namespace the program is to work; the monitor is its parent, so the number is its own. */
export function openNamespace(b: ProgramBuilder, pid: number): void {
  b.field = "share";
  const pidfd = b.call("pidfd_open", [pid, 0]);
  b.op("KEEP", [pidfd, HELPER_SLOT.namespace]);
  b.release(pidfd);
}

/** Become a child, in the helpers' cgroup, which ends with the monitor. `slots` of the monitor are its alone from now on. */
export function becomeHelper(b: ProgramBuilder, cgroup: HelperCgroup, slots: readonly number[]): void {
  const args = b.data.space(CLONE_ARGS_BYTES);
  const mine = [...slots];
  b.field = "cgroup";
  if (cgroup.into !== undefined) {
    const directory = b.call("openat", [AT_FDCWD, b.data.string(cgroup.into), 0o10000000 | O_CLOEXEC, 0]);
    b.op("KEEP", [directory, HELPER_SLOT.cgroup]);
    b.op("STORE", [directory, args.offset + CLONE_ARGS_CGROUP, 8]);
    b.release(directory);
    b.data.setWord(args, CLONE_INTO_CGROUP);
    mine.push(HELPER_SLOT.cgroup);
  }
  b.op("CLONE", [args, 0, mine.reduce((mask, slot) => mask | (1 << slot), 0)]);
  b.sys("prctl", [PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0]);
  b.sys("setsid", []);
  for (const path of cgroup.attachFiles) {
    const file = b.call("openat", [AT_FDCWD, b.data.string(path), O_WRONLY | O_CLOEXEC, 0]);
    b.sys("write", [file, b.data.bytes(Buffer.from("0")), 1]);
    b.sys("close", [file]);
    b.release(file);
  }
}

/** In the child: 0, 1, 2 and the listener get their numbers, all else is closed. */
export function arrangeFds(b: ProgramBuilder): void {
  b.field = "stdio";
  const high = b.call("fcntl", [{ kind: "slot", index: HELPER_SLOT.listener }, F_DUPFD_CLOEXEC, 64]); // it may have got 0 to 3 itself
  const words = b.call("fcntl", [{ kind: "slot", index: HELPER_SLOT.words }, F_DUPFD_CLOEXEC, 64]);
  const nothing = b.call("openat", [AT_FDCWD, b.data.string("/dev/null"), O_RDONLY | O_CLOEXEC, 0]);
  const nowhere = b.call("fcntl", [nothing, F_DUPFD_CLOEXEC, 64]);
  [nowhere, words, words].forEach((fd, number) => {
    b.sys("dup3", [fd, number, 0]);
  });
  b.sys("dup3", [high, LISTENER_FD, 0]);
  for (const fd of [high, words, nothing, nowhere]) b.release(fd);
  b.op("CLOSE", [b.data.halves([LISTENER_FD]), 1]);
}

/** The last step. `argv[0]` is the program's path. */
export function execHelper(b: ProgramBuilder, argv: readonly string[]): void {
  const { data } = b;
  const list = (words: readonly string[]) => data.pointers(words.map((word) => data.string(word)));
  b.field = `program ${JSON.stringify(argv[0])}`;
  b.op("EXEC", [data.string(argv[0] ?? ""), list(argv), list(["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]), AT_FDCWD, 0], {
    action: "execve",
  });
}
