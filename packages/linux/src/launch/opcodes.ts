/** The numbers of PROTOCOL.md, section 5. */
export const OP = {
  SYS: 1,
  CLONE: 2,
  SYNC: 3,
  GATE: 4,
  PATH: 5,
  CHECK: 6,
  CAPS: 7,
  CWD: 8,
  FIND: 9,
  CLOSE: 10,
  STORE: 11,
  EXEC: 12,
  KEEP: 13,
  DROP: 14,
  FIELD: 15,
  PUMP: 16,
  EXIT: 17,
  BRANCH: 18,
  LOAD: 19,
  MOVED: 20,
} as const;

/** An operation of the interpreter. */
export type OpName = keyof typeof OP;

/** How an argument is meant. */
export const KIND = { immediate: 0, data: 1, register: 2, slot: 3 } as const;

/** Layout of a program. Sizes and offsets in bytes. */
export const FORMAT = {
  magic: 0x31504c54,
  headerSize: 32,
  stepSize: 64,
  maxRegisters: 64,
  maxSteps: 4096,
  noRegister: 0xffff,
  anyErrno: 0xffff,
  skipOnError: 0x8000,
} as const;

/** CHECK's second argument. */
export const CHECK = { type: 1, rdev: 2, inode: 3, magic: 4, namespace: 5 } as const;

/** BRANCH's comparisons. */
export const BRANCH = { equal: 0, notEqual: 1, less: 2, atLeast: 3 } as const;

/** STORE's and LOAD's formats. */
export const AS = { i32: 4, i64: 8, decimal: 10, decimalString: 11 } as const;

/** PATH's third argument: what to do if the path is missing. */
export const MISSING = { fail: 0, makeDirectory: 1, makeFile: 2, parent: 3 } as const;

/** PATH's fifth argument. */
export const PATH_FLAG = { noSymlinks: 1, noFollow: 2 } as const;

/** Codes of SYNC: what the child tells the task server, and waits for. */
export const SYNC_CODE = {
  /** The process has a new user namespace: write its uid_map and gid_map, then reply. */
  MAPPED: 1,
  /** The pty's master comes with this into the slot that the step names; reply at once. */
  CONSOLE: 2,
  /** Everything is mounted, the host's root is still visible: run the hooks prestart and createRuntime, then reply. */
  HOOKS: 3,
  /**
   * A hook in the container failed: value is its wait status, data a line with its name, then what it wrote (NUL padded).
   * Reply at once.
   */
  HOOK_FAILED: 4,
  /** A seccomp listener comes with this into the slot that the step names: send it to `listenerPath`, then reply. */
  LISTENER: 5,
  /** The process is in its network namespace: move the interfaces of `linux.netDevices` there, then reply. */
  NETWORK: 6,
  /** A traced program's clock readings are in the data (`readStepTimes`): reply at once. */
  TIMES: 7,
} as const;

/** Slots that compiled programs use for themselves; a StdioPlan and a prelude keep to 0..11. */
export const SLOT = { listener: 22, initPidfd: 12, cgroup: 13, sync: 14, pidfd: 15 } as const;
