#define _GNU_SOURCE
#include "bridge.h"
#include <errno.h>
#include <fcntl.h>
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

/* A client that comes while nobody has accepted yet waits in the backlog. */
static int accept_one(int listener, struct verdict *v)
{
	int fd = listen(listener, 1) < 0 ? -1 : accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return refuse(v, FAILED, "endpoint: accept", errno);
	close(listener);
	return fd;
}

static int unix_socket(const char *path, bool listens, struct verdict *v)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return refuse(v, FAILED, "endpoint: socket", errno);
	if (strlen(path) >= sizeof address.sun_path)
		return refuse(v, FAILED, "endpoint: the socket's path is longer than 107 bytes", 0);
	strcpy(address.sun_path, path);
	if (!listens)
		return connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? refuse(v, FAILED, "endpoint: connect", errno) : fd;
	if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
		return refuse(v, FAILED, "endpoint: bind", errno);
	return accept_one(fd, v);
}

int endpoint_open(const char *name, struct verdict *v)
{
	const char *rest;
	int fd;

	if ((rest = after(name, "fd:")))
		return inherited(rest, v);
	if ((rest = after(name, "accept:"))) {
		fd = inherited(rest, v);
		return fd < 0 ? -1 : accept_one(fd, v);
	}
	if ((rest = after(name, "connect:")))
		return unix_socket(rest, false, v);
	if ((rest = after(name, "listen:")))
		return unix_socket(rest, true, v);
	fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	return fd < 0 ? refuse(v, FAILED, "endpoint: open", errno) : fd;
}
