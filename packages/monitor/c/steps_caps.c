/* CAPS: the loops of linux-runtime-checklist, 1.7. */
#define _GNU_SOURCE
#include "program.h"
#include "kernel.h"
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

enum { CAPS_BOUNDING = 1, CAPS_SET = 2, CAPS_AMBIENT = 4 };
enum { BOUNDING, EFFECTIVE, PERMITTED, INHERITABLE, AMBIENT, SETS };

struct cap_header { uint32_t version; int32_t pid; };
struct cap_data { uint32_t effective, permitted, inheritable; };

static long drop_bounding(uint64_t keep)
{
	for (long cap = 0; cap < 64; cap++) {
		long r = keep >> cap & 1 ? 0 : kcall(SYS_prctl, PR_CAPBSET_DROP, cap, 0, 0, 0, 0);

		if (r == -EINVAL)
			return 0; /* beyond the last capability of this kernel */
		if (r < 0)
			return r;
	}
	return 0;
}

static long set_three(const uint64_t sets[static SETS])
{
	struct cap_header header = { .version = 0x20080522 };
	struct cap_data data[2];

	for (unsigned i = 0; i < 2; i++) {
		data[i].effective = (uint32_t)(sets[EFFECTIVE] >> (32 * i));
		data[i].permitted = (uint32_t)(sets[PERMITTED] >> (32 * i));
		data[i].inheritable = (uint32_t)(sets[INHERITABLE] >> (32 * i));
	}
	return kcall(SYS_capset, (long)&header, (long)data, 0, 0, 0, 0);
}

/* The number of those that the kernel refused. */
static long raise_ambient(uint64_t caps)
{
	long refused = 0, r = kcall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0, 0);

	for (long cap = 0; r >= 0 && cap < 64; cap++)
		if (caps >> cap & 1)
			refused += kcall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0, 0) < 0;
	return r < 0 ? r : refused;
}

long step_caps(struct vm *vm, const struct insn *in)
{
	uint64_t sets[SETS], flags = in->arg[1];
	long r = 0;

	memcpy(sets, data_of(vm, in, 0), sizeof sets);
	if (flags & CAPS_BOUNDING)
		r = drop_bounding(sets[BOUNDING]);
	if (r >= 0 && flags & CAPS_SET)
		r = set_three(sets);
	if (r >= 0 && flags & CAPS_AMBIENT)
		r = raise_ambient(sets[AMBIENT]);
	return r;
}
