import { constants } from "node:os";
import { SyscallError } from "./syscall-error.ts";

/** A program to be run: in a session of its own, all signals as at the start of a process. */
export interface Program {
  /** Absolute, not looked up. */
  readonly path: string;
  /** Without argv[0], which is the path. */
  readonly args: readonly string[];
  readonly cwd: string;
  readonly environment: NodeJS.ProcessEnv;
  /** Descriptors for stdin, stdout and stderr, all above 2; they stay the caller's. */
  readonly stdio: readonly [number, number, number];
}

/** How a program ended: "exit status 3" by its code, or the name of the signal. */
export interface ProgramEnd {
  /** 0 to 255; undefined if a signal ended it. */
  readonly code: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
}

/** A program that runs. */
export interface Child {
  readonly pid: number;
  /** Resolves when it has ended; what it left running does not matter. */
  readonly ended: Promise<ProgramEnd>;
  /** SIGKILL; nothing if it has ended. */
  kill(): void;
}

/** Programs without Node's own fork, which copies the page tables of a large process each time: 3 ms against 0.3 ms for a daemon's. */
export interface ChildCalls {
  /** Throws SyscallError if it can't be started. */
  spawn(program: Program): Child;
  /** An empty file in memory, closed on exec; `data` is in it and its offset is 0. */
  memoryFile(name: string, data?: Uint8Array): number;
}

type Koffi = typeof import("koffi");
type Library = ReturnType<Koffi["load"]>;

const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;
const POSIX_SPAWN_SETSID = 0x80;
/** More than glibc needs on x86_64 and arm64: 80, 336 and 128 bytes. */
const FILE_ACTIONS_BYTES = 256;
const ATTRIBUTES_BYTES = 1024;
const SIGNAL_SET_BYTES = 256;
const MFD_CLOEXEC = 1;
const WNOHANG = 1;
/** SIGCHLD tells of an end at once. This only keeps Node from leaving while a program runs, and would find one whose signal was lost. */
const LOOK_AGAIN_MS = 1000;

/** posix_spawn(3), waitpid(2), memfd_create(2). */
export function bindChildCalls(koffi: Koffi, libc: Library): ChildCalls {
  const start = bindPosixSpawn(libc);
  const waitpid = libc.func("int waitpid(int, _Out_ int *, int)");
  const memfdCreate = libc.func("int memfd_create(const char *, uint)");
  const write = libc.func("int64 pwrite(int, const void *, size_t, int64)");
  const pids = new Map<number, (end: ProgramEnd) => void>();
  let timer: NodeJS.Timeout | undefined;

  /** Each child is asked for by its pid: Node has children of its own. */
  const look = () => {
    for (const [pid, resolve] of pids) {
      const status = [0];
      if (waitpid(pid, status, WNOHANG) !== pid) continue;
      pids.delete(pid);
      resolve(toEnd(status[0] ?? 0));
    }
    if (pids.size > 0) return;
    process.off("SIGCHLD", look);
    clearInterval(timer);
    timer = undefined;
  };
  return {
    spawn(program) {
      if (timer === undefined) {
        process.on("SIGCHLD", look);
        timer = setInterval(look, LOOK_AGAIN_MS);
      }
      const { promise, resolve } = Promise.withResolvers<ProgramEnd>();
      try {
        const pid = start(program);
        pids.set(pid, resolve);
        const kill = () => void (pids.has(pid) && process.kill(pid, "SIGKILL")); // not reaped, so the pid is still its own
        return { pid, ended: promise, kill };
      } finally {
        look(); // it may have ended before it was on the list
      }
    },
    memoryFile(name, data) {
      const fd: number = memfdCreate(name, MFD_CLOEXEC);
      if (fd < 0) throw new SyscallError("memfd_create", koffi.errno(), name);
      if (data !== undefined && Number(write(fd, data, data.length, 0)) !== data.length) {
        throw new SyscallError("pwrite", koffi.errno(), name);
      }
      return fd;
    },
  };
}

function bindPosixSpawn(libc: Library): (program: Program) => number {
  const spawn = libc.func("int posix_spawn(_Out_ int *, const char *, void *, void *, const char **, const char **)");
  const initActions = libc.func("int posix_spawn_file_actions_init(void *)");
  const addDup2 = libc.func("int posix_spawn_file_actions_adddup2(void *, int, int)");
  const addChdir = libc.func("int posix_spawn_file_actions_addchdir_np(void *, const char *)");
  const destroyActions = libc.func("int posix_spawn_file_actions_destroy(void *)");
  const initAttributes = libc.func("int posix_spawnattr_init(void *)");
  const setFlags = libc.func("int posix_spawnattr_setflags(void *, int16)");
  const setDefault = libc.func("int posix_spawnattr_setsigdefault(void *, const void *)");
  const setMask = libc.func("int posix_spawnattr_setsigmask(void *, const void *)");
  const fillSet = libc.func("int sigfillset(_Out_ void *)");

  const attributes = Buffer.alloc(ATTRIBUTES_BYTES);
  const [all, none] = [Buffer.alloc(SIGNAL_SET_BYTES), Buffer.alloc(SIGNAL_SET_BYTES)];
  fillSet(all);
  initAttributes(attributes);
  setFlags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  setDefault(attributes, all);
  setMask(attributes, none);

  return ({ path, args, cwd, environment, stdio }) => {
    const actions = Buffer.alloc(FILE_ACTIONS_BYTES);
    const check = (errno: number, syscall: string, subject: string) => {
      if (errno !== 0) throw new SyscallError(syscall, errno, subject);
    };
    check(initActions(actions), "posix_spawn_file_actions_init", path);
    try {
      stdio.forEach((fd, at) => {
        check(addDup2(actions, fd, at), "posix_spawn_file_actions_adddup2", path);
      });
      check(addChdir(actions, cwd), "posix_spawn_file_actions_addchdir_np", cwd);
      const entries = Object.entries(environment).flatMap(([key, value]) =>
        value === undefined ? [] : `${key}=${value}`,
      );
      const pid = [0];
      check(spawn(pid, path, actions, attributes, [path, ...args, null], [...entries, null]), "posix_spawn", path);
      return pid[0] ?? 0;
    } finally {
      destroyActions(actions);
    }
  };
}

/** From the status of waitpid(2). */
function toEnd(status: number): ProgramEnd {
  const signal = status & 0x7f;
  if (signal === 0) return { code: (status >> 8) & 0xff, signal: undefined };
  return { code: undefined, signal: SIGNAL_NAMES.get(signal) ?? "SIGKILL" };
}

/** Some have two names; the first is the usual one. */
const SIGNAL_NAMES = new Map(
  Object.entries(constants.signals)
    .reverse()
    .map(([name, value]): [number, NodeJS.Signals] => [value, name as NodeJS.Signals]),
);
