/* The host half reads a hostile guest's bytes: from here on it has no privileges, and no system calls but those of its loop. */
#define _GNU_SOURCE
#include "bridge.h"
#include <errno.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/seccomp.h, linux/filter.h, linux/audit.h, linux/capability.h: musl has none of them. */
struct filter_step {
	uint16_t code;
	uint8_t if_true, if_false;
	uint32_t k;
};
struct filter_program {
	uint16_t len;
	const struct filter_step *steps;
};
struct cap_header {
	uint32_t version;
	int pid;
};
struct cap_data {
	uint32_t effective, permitted, inheritable;
};
enum { NR_AT = 0, ARCH_AT = 4, LOAD_WORD = 0x20, JUMP_EQUAL = 0x15, RETURN = 0x06, MODE_FILTER = 2 };
static const uint32_t CAPABILITY_VERSION = 0x20080522;
#define KILL { RETURN, 0, 0, 0x80000000 }
#define PASS { RETURN, 0, 0, 0x7fff0000 }
#define ALLOW(nr) { JUMP_EQUAL, 0, 1, (nr) }, PASS

#if defined(__x86_64__)
enum { POLL = SYS_poll };
#define ARCH 0xc000003e
#elif defined(__aarch64__)
enum { POLL = SYS_ppoll };
#define ARCH 0xc00000b7
#endif

static int filter(void)
{
	static const struct filter_step steps[] = {
		{ LOAD_WORD, 0, 0, ARCH_AT }, { JUMP_EQUAL, 1, 0, ARCH }, KILL,
		{ LOAD_WORD, 0, 0, NR_AT }, ALLOW(SYS_read), ALLOW(SYS_write), ALLOW(SYS_writev), ALLOW(POLL), ALLOW(SYS_recvfrom),
		ALLOW(SYS_fallocate), ALLOW(SYS_restart_syscall), ALLOW(SYS_exit_group), KILL,
	};
	struct filter_program program = { sizeof steps / sizeof *steps, steps };

	return prctl(PR_SET_SECCOMP, MODE_FILTER, &program);
}

int confine(struct verdict *v)
{
	struct cap_header header = { CAPABILITY_VERSION, 0 };
	struct cap_data none[2] = { 0 };

	if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_capset, &header, none) < 0)
		return refuse(v, FAILED, "privileges can't be dropped", errno);
#ifdef UNCONFINED /* a sanitizer has system calls of its own */
	(void)filter;
	return 0;
#endif
	return filter() < 0 ? refuse(v, FAILED, "seccomp", errno) : 0;
}
