#define _GNU_SOURCE
#include "bridge.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

ssize_t io_read(int fd, void *bytes, size_t n)
{
	ssize_t got;

	do
		got = read(fd, bytes, n);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

ssize_t io_write(int fd, const struct iovec *parts, int n)
{
	ssize_t put;

	do
		put = writev(fd, parts, n);
	while (put < 0 && errno == EINTR);
	return put < 0 ? -errno : put;
}

int io_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}
