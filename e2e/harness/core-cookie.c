/* Print the core-scheduling cookie of each process named, one a line, in hex; 0 is none. Fails with the kernel's word where there is no such thing. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#ifndef PR_SCHED_CORE
#define PR_SCHED_CORE 62
#endif
#define GET 0
#define SCOPE_THREAD 0

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		unsigned long cookie = 0;

		if (prctl(PR_SCHED_CORE, GET, atoi(argv[i]), SCOPE_THREAD, &cookie)) {
			fprintf(stderr, "%s: %s\n", argv[i], strerrorname_np(errno));
			return 1;
		}
		printf("%lx\n", cookie);
	}
	return 0;
}
