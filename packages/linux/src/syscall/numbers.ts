// biome-ignore-all format: a table, in the kernel's order of numbers
/**
 * System call numbers of x86_64 and arm64, every call a launch program, the monitor or a seccomp check may name.
 * Both tables hold the same names: a call that one of them lacks (`open`, `mknod`, `symlink` …) has its `…at` form here.
 * Source: Linux 6.1 asm/unistd_64.h and asm-generic/unistd.h; newer ones (fchmodat2, statmount, listmount, open_tree_attr)
 * from 6.15's, which share one number on all architectures.
 */
export const SYSCALL = {
  x86_64: {
    read: 0, write: 1, close: 3, fstat: 5, lseek: 8, mmap: 9, mprotect: 10, munmap: 11, brk: 12, rt_sigaction: 13,
    rt_sigprocmask: 14, rt_sigreturn: 15, ioctl: 16, pread64: 17, pwrite64: 18, readv: 19, writev: 20,
    sched_yield: 24, mremap: 25, madvise: 28, dup: 32, nanosleep: 35, getpid: 39, sendfile: 40, socket: 41,
    connect: 42, sendto: 44, recvfrom: 45, sendmsg: 46, recvmsg: 47, shutdown: 48, bind: 49, listen: 50,
    getsockname: 51, socketpair: 53, setsockopt: 54, getsockopt: 55, clone: 56, execve: 59, exit: 60, wait4: 61,
    kill: 62, uname: 63, fcntl: 72, flock: 73, fsync: 74, fdatasync: 75, truncate: 76, ftruncate: 77, getcwd: 79,
    chdir: 80, fchdir: 81, fchmod: 91, fchown: 93, umask: 95, getrlimit: 97, ptrace: 101, getuid: 102, getgid: 104,
    setuid: 105, setgid: 106, geteuid: 107, getegid: 108, setpgid: 109, getppid: 110, setsid: 112, setreuid: 113,
    setregid: 114, getgroups: 115, setgroups: 116, setresuid: 117, getresuid: 118, setresgid: 119, getresgid: 120,
    getpgid: 121, getsid: 124, capget: 125, capset: 126, rt_sigtimedwait: 128, sigaltstack: 131, personality: 135,
    statfs: 137, fstatfs: 138, getpriority: 140, setpriority: 141, sched_setparam: 142, sched_setscheduler: 144,
    sched_getscheduler: 145, pivot_root: 155, prctl: 157, setrlimit: 160, chroot: 161, sync: 162, acct: 163,
    mount: 165, umount2: 166, swapon: 167, swapoff: 168, reboot: 169, sethostname: 170, setdomainname: 171,
    init_module: 175, delete_module: 176, quotactl: 179, gettid: 186, lsetxattr: 189, fsetxattr: 190, lgetxattr: 192,
    fgetxattr: 193, tkill: 200, futex: 202, sched_setaffinity: 203, sched_getaffinity: 204, getdents64: 217,
    set_tid_address: 218, clock_settime: 227, clock_gettime: 228, clock_nanosleep: 230, exit_group: 231,
    epoll_ctl: 233, tgkill: 234, mbind: 237, set_mempolicy: 238, get_mempolicy: 239, kexec_load: 246, waitid: 247,
    add_key: 248, request_key: 249, keyctl: 250, ioprio_set: 251, ioprio_get: 252, inotify_add_watch: 254,
    inotify_rm_watch: 255, openat: 257, mkdirat: 258, mknodat: 259, fchownat: 260, newfstatat: 262, unlinkat: 263,
    linkat: 265, symlinkat: 266, readlinkat: 267, fchmodat: 268, faccessat: 269, ppoll: 271, unshare: 272,
    splice: 275, tee: 276, vmsplice: 278, utimensat: 280, epoll_pwait: 281, timerfd_create: 283, fallocate: 285,
    timerfd_settime: 286, accept4: 288, signalfd4: 289, eventfd2: 290, epoll_create1: 291, dup3: 292, pipe2: 293,
    inotify_init1: 294, perf_event_open: 298, prlimit64: 302, name_to_handle_at: 303, open_by_handle_at: 304,
    syncfs: 306, setns: 308, process_vm_readv: 310, process_vm_writev: 311, kcmp: 312, finit_module: 313,
    sched_setattr: 314, sched_getattr: 315, renameat2: 316, seccomp: 317, getrandom: 318, memfd_create: 319,
    bpf: 321, execveat: 322, userfaultfd: 323, copy_file_range: 326, statx: 332, pidfd_send_signal: 424,
    io_uring_setup: 425, io_uring_enter: 426, io_uring_register: 427, open_tree: 428, move_mount: 429, fsopen: 430,
    fsconfig: 431, fsmount: 432, fspick: 433, pidfd_open: 434, clone3: 435, close_range: 436, openat2: 437,
    pidfd_getfd: 438, faccessat2: 439, mount_setattr: 442, landlock_create_ruleset: 444, landlock_add_rule: 445,
    landlock_restrict_self: 446, fchmodat2: 452, statmount: 457, listmount: 458, open_tree_attr: 467,
  },
  arm64: {
    lsetxattr: 6, fsetxattr: 7, lgetxattr: 9, fgetxattr: 10, getcwd: 17, eventfd2: 19, epoll_create1: 20,
    epoll_ctl: 21, epoll_pwait: 22, dup: 23, dup3: 24, fcntl: 25, inotify_init1: 26, inotify_add_watch: 27,
    inotify_rm_watch: 28, ioctl: 29, ioprio_set: 30, ioprio_get: 31, flock: 32, mknodat: 33, mkdirat: 34,
    unlinkat: 35, symlinkat: 36, linkat: 37, umount2: 39, mount: 40, pivot_root: 41, statfs: 43, fstatfs: 44,
    truncate: 45, ftruncate: 46, fallocate: 47, faccessat: 48, chdir: 49, fchdir: 50, chroot: 51, fchmod: 52,
    fchmodat: 53, fchownat: 54, fchown: 55, openat: 56, close: 57, pipe2: 59, quotactl: 60, getdents64: 61,
    lseek: 62, read: 63, write: 64, readv: 65, writev: 66, pread64: 67, pwrite64: 68, sendfile: 71, ppoll: 73,
    signalfd4: 74, vmsplice: 75, splice: 76, tee: 77, readlinkat: 78, newfstatat: 79, fstat: 80, sync: 81, fsync: 82,
    fdatasync: 83, timerfd_create: 85, timerfd_settime: 86, utimensat: 88, acct: 89, capget: 90, capset: 91,
    personality: 92, exit: 93, exit_group: 94, waitid: 95, set_tid_address: 96, unshare: 97, futex: 98,
    nanosleep: 101, kexec_load: 104, init_module: 105, delete_module: 106, clock_settime: 112, clock_gettime: 113,
    clock_nanosleep: 115, ptrace: 117, sched_setparam: 118, sched_setscheduler: 119, sched_getscheduler: 120,
    sched_setaffinity: 122, sched_getaffinity: 123, sched_yield: 124, kill: 129, tkill: 130, tgkill: 131,
    sigaltstack: 132, rt_sigaction: 134, rt_sigprocmask: 135, rt_sigtimedwait: 137, rt_sigreturn: 139,
    setpriority: 140, getpriority: 141, reboot: 142, setregid: 143, setgid: 144, setreuid: 145, setuid: 146,
    setresuid: 147, getresuid: 148, setresgid: 149, getresgid: 150, setpgid: 154, getpgid: 155, getsid: 156,
    setsid: 157, getgroups: 158, setgroups: 159, uname: 160, sethostname: 161, setdomainname: 162, getrlimit: 163,
    setrlimit: 164, umask: 166, prctl: 167, getpid: 172, getppid: 173, getuid: 174, geteuid: 175, getgid: 176,
    getegid: 177, gettid: 178, socket: 198, socketpair: 199, bind: 200, listen: 201, connect: 203, getsockname: 204,
    sendto: 206, recvfrom: 207, setsockopt: 208, getsockopt: 209, shutdown: 210, sendmsg: 211, recvmsg: 212,
    brk: 214, munmap: 215, mremap: 216, add_key: 217, request_key: 218, keyctl: 219, clone: 220, execve: 221,
    mmap: 222, swapon: 224, swapoff: 225, mprotect: 226, madvise: 233, mbind: 235, get_mempolicy: 236,
    set_mempolicy: 237, perf_event_open: 241, accept4: 242, wait4: 260, prlimit64: 261, name_to_handle_at: 264,
    open_by_handle_at: 265, syncfs: 267, setns: 268, process_vm_readv: 270, process_vm_writev: 271, kcmp: 272,
    finit_module: 273, sched_setattr: 274, sched_getattr: 275, renameat2: 276, seccomp: 277, getrandom: 278,
    memfd_create: 279, bpf: 280, execveat: 281, userfaultfd: 282, copy_file_range: 285, statx: 291,
    pidfd_send_signal: 424, io_uring_setup: 425, io_uring_enter: 426, io_uring_register: 427, open_tree: 428,
    move_mount: 429, fsopen: 430, fsconfig: 431, fsmount: 432, fspick: 433, pidfd_open: 434, clone3: 435,
    close_range: 436, openat2: 437, pidfd_getfd: 438, faccessat2: 439, mount_setattr: 442,
    landlock_create_ruleset: 444, landlock_add_rule: 445, landlock_restrict_self: 446, fchmodat2: 452,
    statmount: 457, listmount: 458, open_tree_attr: 467,
  },
} as const;

/** An architecture with a table of its own. */
export type Architecture = keyof typeof SYSCALL;

/** A call that every table has. */
export type SyscallName = keyof (typeof SYSCALL)["x86_64"] & keyof (typeof SYSCALL)["arm64"];

/** The number of `name` on `architecture`. */
export function syscallNumber(name: SyscallName, architecture: Architecture): number {
  return SYSCALL[architecture][name];
}

/** Node's `process.arch` as ours, or throws RangeError: a number of the wrong table would be another call. */
export function toArchitecture(nodeArch: string): Architecture {
  if (nodeArch === "x64") return "x86_64";
  if (nodeArch === "arm64") return "arm64";
  throw new RangeError(`architecture ${JSON.stringify(nodeArch)}: no system call table`);
}
