/* Execute a program where /sys/fs/cgroup/unified is not mounted: crun refuses hybrid cgroups. PROGRAM is $TRIMARAN_BENCH_EXEC, with our arguments. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	const char *program = getenv("TRIMARAN_BENCH_EXEC");

	(void)argc;
	if (program && unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	    (umount2("/sys/fs/cgroup/unified", MNT_DETACH) == 0 || errno == EINVAL || errno == ENOENT))
		execv(program, argv);
	fprintf(stderr, "without-unified: %s\n", strerror(errno));
	return 1;
}
