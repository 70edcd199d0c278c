/* The kernel, for fuzzing: no program of a fuzzer may reach the real one. Results are made up from a seed. */
#define _GNU_SOURCE
#include "fuzz.h"
#include "kernel.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uint32_t state;

void stub_reset(uint32_t seed)
{
	state = seed | 1;
}

static uint32_t draw(void)
{
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

/* A SYS step may name any address. The real kernel says EFAULT; so do we. */
static int bad_address(long address)
{
	static int zero = -1;

	if (zero < 0)
		zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	return syscall(SYS_read, zero, address, 1) != 1;
}

/* What the steps read back must look like what the kernel gives: bounded lengths, NULs where they must be. */
long kcall(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
	static const long errors[] = { -EAGAIN, -EINTR, -EINVAL, -ENOENT, -EACCES, -EPERM, -EEXIST };
	uint32_t r = draw();

	(void)a0, (void)a3, (void)a4, (void)a5;
	if (nr == SYS_socketpair) { /* the monitor uses these for real */
		int pair[2];

		if (a0 != AF_UNIX || bad_address(a3))
			return -EFAULT;

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
			return -errno;
		memcpy((void *)a3, pair, sizeof pair);
		return 0;
	}
	if (nr == SYS_clone3)
		return r % 3 == 0 ? 0 : r % 3 == 1 ? -EAGAIN : 0x40000000;
	if ((nr == SYS_read && bad_address(a1)) || (nr == SYS_getcwd && bad_address(a0)) || (nr == SYS_statx && bad_address(a4)) ||
	    (nr == SYS_fstatfs && bad_address(a1)))
		return -EFAULT;
	if (r % 5 == 0)
		return errors[r / 5 % (sizeof errors / sizeof *errors)];
	if (nr == SYS_read) {
		size_t n = r / 8 % 3 == 0 ? 0 : (size_t)a2 < 64 ? (size_t)a2 : r % 64;

		memset((void *)a1, "a:\n0/"[r % 5], n);
		return (long)n;
	}
	if (nr == SYS_getcwd) {
		memcpy((void *)a0, r & 64 ? "/" : "(", 2);
		return 2;
	}
	if (nr == SYS_statx) {
		memset((void *)a4, (int)(r & 255), sizeof(struct kstatx));
		return 0;
	}
	if (nr == SYS_fstatfs) {
		memset((void *)a1, 0, 64);
		return 0;
	}
	if (nr == SYS_write)
		return a2;
	if (nr == SYS_waitid || nr == SYS_fcntl)
		return 0;
	return (long)(r % 7 == 0 ? r : 0x40000000 + r % 64); /* numbers of fds that do not exist */
}
