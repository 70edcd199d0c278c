/* What the kernel's headers define and libc's do not (musl has no linux/ headers), and the one door to the kernel for programs. */
#ifndef KERNEL_H
#define KERNEL_H
#include <stdint.h>
#include <sys/syscall.h>

#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

#define K_CLONE_VM 0x100ull
#define K_CLONE_FS 0x200ull
#define K_CLONE_FILES 0x400ull
#define K_CLONE_SIGHAND 0x800ull
#define K_CLONE_PIDFD 0x1000ull
#define K_CLONE_VFORK 0x4000ull
#define K_CLONE_PARENT 0x8000ull
#define K_CLONE_THREAD 0x10000ull
#define K_CLONE_SETTLS 0x80000ull
#define K_CLONE_PARENT_SETTID 0x100000ull

#define K_RESOLVE_NO_MAGICLINKS 0x02ull
#define K_RESOLVE_NO_SYMLINKS 0x04ull
#define K_RESOLVE_IN_ROOT 0x10ull

#define K_NS_GET_NSTYPE 0xb703u
#define K_P_PIDFD 3

struct kclone_args { /* struct clone_args */
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};
struct kopen_how { /* struct open_how */
	uint64_t flags, mode, resolve;
};
struct kstatx { /* struct statx */
	uint32_t mask, blksize;
	uint64_t attributes;
	uint32_t nlink, uid, gid;
	uint16_t mode, pad;
	uint64_t ino, size, blocks, attributes_mask;
	uint64_t times[8];
	uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
	uint64_t mnt_id, spare[13];
};
#define K_STATX_BASIC 0x7ffu
#define K_STATX_MNT_ID 0x1000u

/* One system call: the result, or -errno. Fuzz targets link a stub instead. */
long kcall(long nr, long a0, long a1, long a2, long a3, long a4, long a5);

#endif
