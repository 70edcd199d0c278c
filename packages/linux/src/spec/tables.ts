// biome-ignore-all format: tables, in the kernel's order of numbers
/** RLIMIT names to numbers (asm-generic/resource.h; the same on x86_64 and arm64). */
export const RLIMIT: ReadonlyMap<string, number> = new Map([
  ["RLIMIT_CPU", 0], ["RLIMIT_FSIZE", 1], ["RLIMIT_DATA", 2], ["RLIMIT_STACK", 3], ["RLIMIT_CORE", 4], ["RLIMIT_RSS", 5],
  ["RLIMIT_NPROC", 6], ["RLIMIT_NOFILE", 7], ["RLIMIT_MEMLOCK", 8], ["RLIMIT_AS", 9], ["RLIMIT_LOCKS", 10],
  ["RLIMIT_SIGPENDING", 11], ["RLIMIT_MSGQUEUE", 12], ["RLIMIT_NICE", 13], ["RLIMIT_RTPRIO", 14], ["RLIMIT_RTTIME", 15],
]);

/** Scheduling policies of `process.scheduler.policy` (linux/sched.h). */
export const SCHEDULER_POLICY: ReadonlyMap<string, number> = new Map([
  ["SCHED_OTHER", 0], ["SCHED_FIFO", 1], ["SCHED_RR", 2], ["SCHED_BATCH", 3], ["SCHED_ISO", 4], ["SCHED_IDLE", 5],
  ["SCHED_DEADLINE", 6],
]);

/** Flags of `process.scheduler.flags` (linux/sched.h). */
export const SCHEDULER_FLAG: ReadonlyMap<string, number> = new Map([
  ["SCHED_FLAG_RESET_ON_FORK", 1], ["SCHED_FLAG_RECLAIM", 2], ["SCHED_FLAG_DL_OVERRUN", 4], ["SCHED_FLAG_KEEP_POLICY", 8],
  ["SCHED_FLAG_KEEP_PARAMS", 16], ["SCHED_FLAG_UTIL_CLAMP_MIN", 32], ["SCHED_FLAG_UTIL_CLAMP_MAX", 64],
]);

/** Classes of `process.ioPriority.class` (linux/ioprio.h). */
export const IO_CLASS: ReadonlyMap<string, number> = new Map([
  ["IOPRIO_CLASS_RT", 1], ["IOPRIO_CLASS_BE", 2], ["IOPRIO_CLASS_IDLE", 3],
]);

/** Namespace types of `linux.namespaces[].type` to CLONE_NEW… flags (linux/sched.h). */
export const NAMESPACE_FLAG = {
  time: 0x80, mount: 0x20000, cgroup: 0x2000000, uts: 0x4000000, ipc: 0x8000000, user: 0x10000000, pid: 0x20000000,
  network: 0x40000000,
} as const;

/** MS_… bits of `linux.rootfsPropagation` (linux/mount.h), and whether the whole tree is meant. */
export const PROPAGATION: ReadonlyMap<string, { readonly flag: number; readonly recursive: boolean }> = new Map([
  ["unbindable", { flag: 0x20000, recursive: false }], ["runbindable", { flag: 0x20000, recursive: true }],
  ["private", { flag: 0x40000, recursive: false }], ["rprivate", { flag: 0x40000, recursive: true }],
  ["slave", { flag: 0x80000, recursive: false }], ["rslave", { flag: 0x80000, recursive: true }],
  ["shared", { flag: 0x100000, recursive: false }], ["rshared", { flag: 0x100000, recursive: true }],
]);

/** personality(2) of `linux.personality.domain`. */
export const PERSONALITY: ReadonlyMap<string, number> = new Map([["LINUX", 0], ["LINUX32", 8]]);

/** Sysctls that belong to an ipc namespace. Source: runtime checklist 1.9. */
export const IPC_SYSCTLS: ReadonlySet<string> = new Set([
  "kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall", "kernel/shmmax", "kernel/shmmni",
  "kernel/shm_rmid_forced",
]);

/** Modes of `linux.memoryPolicy.mode` (linux/mempolicy.h). */
export const MEMORY_POLICY_MODE: ReadonlyMap<string, number> = new Map([
  ["MPOL_DEFAULT", 0], ["MPOL_PREFERRED", 1], ["MPOL_BIND", 2], ["MPOL_INTERLEAVE", 3], ["MPOL_LOCAL", 4],
  ["MPOL_PREFERRED_MANY", 5], ["MPOL_WEIGHTED_INTERLEAVE", 6],
]);

/** Flags of `linux.memoryPolicy.flags` (linux/mempolicy.h). */
export const MEMORY_POLICY_FLAG: ReadonlyMap<string, number> = new Map([
  ["MPOL_F_NUMA_BALANCING", 0x2000], ["MPOL_F_RELATIVE_NODES", 0x4000], ["MPOL_F_STATIC_NODES", 0x8000],
]);
