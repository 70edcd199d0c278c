#define _GNU_SOURCE
#include "bridge.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char *after(const char *name, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(name, prefix, n) ? NULL : name + n;
}

static int inherited(const char *number, struct verdict *v)
{
	char *end;
	long fd = strtol(number, &end, 10);

	if (end == number || *end || fd < 0 || fd > 1 << 20 || fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
		return refuse(v, FAILED, "endpoint: not the number of an open fd", 0);
	return (int)fd;
}

/* A client that comes while nobody has accepted yet waits in the backlog. One that never comes is not waited for without the daemon. */
static int accept_one(int listener, int daemon, struct verdict *v)
{
	struct pollfd ends[] = { { listener, POLLIN, 0 }, { daemon, POLLRDHUP, 0 } };
	int fd;

	if (listen(listener, 1) < 0 || poll(ends, 2, -1) < 0)
		return refuse(v, FAILED, "endpoint: listen", errno);
	if (!ends[0].revents)
		return refuse(v, BAD_DAEMON, "file daemon: closed", 0);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return refuse(v, FAILED, "endpoint: accept", errno);
	close(listener);
	return fd;
}

static int at_path(int (*how)(int, const struct sockaddr *, socklen_t), const char *path, const char *what, struct verdict *v)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return refuse(v, FAILED, "endpoint: socket", errno);
	if (strlen(path) >= sizeof address.sun_path)
		return refuse(v, FAILED, "endpoint: the socket's path is longer than 107 bytes", 0);
	strcpy(address.sun_path, path);
	return how(fd, (struct sockaddr *)&address, sizeof address) < 0 ? refuse(v, FAILED, what, errno) : fd;
}

int endpoint_open(const char *name, int daemon, struct verdict *v)
{
	const char *rest;
	int fd;

	if ((rest = after(name, "fd:")))
		return inherited(rest, v);
	if ((rest = after(name, "connect:")))
		return at_path(connect, rest, "endpoint: connect", v);
	if ((rest = after(name, "accept:")) || (rest = after(name, "listen:"))) {
		fd = name[0] == 'a' ? inherited(rest, v) : at_path(bind, rest, "endpoint: bind", v);
		return fd < 0 ? -1 : accept_one(fd, daemon, v);
	}
	fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	return fd < 0 ? refuse(v, FAILED, "endpoint: open", errno) : fd;
}
