/* trimaran-fsbridge: moves a file system's messages between a guest's /dev/fuse and virtiofsd on the host. */
#define _GNU_SOURCE
#include "bridge.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int refuse(struct verdict *v, enum ending code, const char *text, int error)
{
	*v = (struct verdict) { code, text, error };
	return -1;
}

/* One write: two processes may share the log. */
static void report(const struct verdict *v)
{
	char line[256];
	int n = v->error ? snprintf(line, sizeof line, "trimaran-fsbridge: %s: %s\n", v->text, strerror(v->error))
			 : snprintf(line, sizeof line, "trimaran-fsbridge: %s\n", v->text);

	if (n > 0)
		(void)!write(STDERR_FILENO, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

static const char USAGE[] = "usage: trimaran-fsbridge host GUEST DAEMON\n"
			    "       trimaran-fsbridge guest PORT DIRECTORY\n"
			    "GUEST, DAEMON, PORT: fd:N, accept:N, connect:SOCKET, listen:SOCKET, or the path of a device\n";

int main(int argc, char **argv)
{
	struct verdict v = { FAILED, "usage", 0 };

	signal(SIGPIPE, SIG_IGN);
	if (argc == 4 && !strcmp(argv[1], "host"))
		host_main(argv[2], argv[3], &v);
	else if (argc == 4 && !strcmp(argv[1], "guest"))
		guest_main(argv[2], argv[3], &v);
	else {
		(void)!write(STDERR_FILENO, USAGE, sizeof USAGE - 1);
		return FAILED;
	}
	report(&v);
	return (int)v.code;
}
