/* The host half: opens its three ends, then moves messages until one of them goes. */
#define _GNU_SOURCE
#include "host.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { GUEST, DAEMON, CALL, ENDS };
enum { REST_AFTER_MS = 1000 };

/* Sealed: the daemon cannot make our next access to it a SIGBUS. */
static int open_memory(void)
{
	int fd = memfd_create("fsbridge", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, REGION_BYTES) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -1;
	return fd;
}

static int open_kicks(struct host *h)
{
	h->queues[HIPRIO].kick = eventfd(0, EFD_CLOEXEC);
	h->queues[REQUESTS].kick = eventfd(0, EFD_CLOEXEC);
	h->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->queues[HIPRIO].kick < 0 || h->queues[REQUESTS].kick < 0 || h->call < 0)
		return refuse(h->verdict, FAILED, "eventfd", errno);
	return 0;
}

/* What is open is the process's: the end closes it. */
static int host_open(struct host *h, const char *guest, const char *daemon, struct verdict *v)
{
	int fd = open_memory();
	uint8_t *bytes = fd < 0 ? MAP_FAILED : mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (bytes == MAP_FAILED)
		return refuse(v, FAILED, "memory", errno);
	host_init(h, bytes, v);
	h->region.fd = fd;
	if (open_kicks(h) < 0)
		return -1;
	h->daemon = endpoint_open(daemon, -1, v);
	if (h->daemon < 0 || vhost_negotiate(h->daemon, h, v) < 0)
		return -1;
	h->guest = endpoint_open(guest, h->daemon, v);
	if (h->guest < 0)
		return -1;
	return io_nonblocking(h->guest) < 0 ? refuse(v, FAILED, "guest: fcntl", errno) : 0;
}

static void kick(struct host *h)
{
	static const uint64_t one = 1;

	for (size_t i = 0; i < QUEUES; i++) {
		uint16_t seen = h->kicked[i];

		h->kicked[i] = h->queues[i].put;
		if (seen != h->queues[i].put && vring_needs_kick(&h->queues[i]))
			(void)!write(h->queues[i].kick, &one, sizeof one); /* an eventfd that is full wakes as well */
	}
}

/* Nothing has moved for a second: the pages of large messages go back to the machine. */
static void rest(struct host *h)
{
	size_t at = SLOTS_AT + (size_t)SMALL_SLOTS * SMALL_BYTES;

	if (h->region.large_busy)
		return;
	fallocate(h->region.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)(REGION_BYTES - at));
	h->region.used_large = false;
}

static int daemon_ended(struct host *h)
{
	char byte;
	ssize_t n = recv(h->daemon, &byte, 1, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return 0;
	return refuse(h->verdict, BAD_DAEMON, n > 0 ? "file daemon: speaks unasked" : "file daemon: closed", 0);
}

static int turn(struct host *h, const struct pollfd *ends)
{
	uint64_t calls;

	if (ends[CALL].revents)
		(void)!read(h->call, &calls, sizeof calls);
	if (host_collect(h) < 0 || host_send(h) < 0)
		return -1;
	if (h->starved && ends[GUEST].revents & (POLLHUP | POLLERR)) /* there is nobody to answer any more */
		return refuse(h->verdict, ENDED, "guest: closed", 0);
	if ((h->starved || ends[GUEST].revents & (POLLIN | POLLHUP | POLLERR)) && host_receive(h) < 0)
		return -1;
	kick(h);
	if (host_send(h) < 0) /* what the bridge has answered itself */
		return -1;
	return ends[DAEMON].revents ? daemon_ended(h) : 0;
}

static int host_run(struct host *h)
{
	for (;;) {
		short wanted = (short)((h->starved ? 0 : POLLIN) | (h->out_first == NO_SLOT ? 0 : POLLOUT));
		struct pollfd ends[ENDS] = { { h->guest, wanted, 0 }, { h->daemon, POLLIN, 0 }, { h->call, POLLIN, 0 } };
		int n = poll(ends, ENDS, h->region.used_large && !h->region.large_busy ? REST_AFTER_MS : -1);

		if (n < 0 && errno != EINTR)
			return refuse(h->verdict, FAILED, "poll", errno);
		if (n == 0)
			rest(h);
		else if (turn(h, ends) < 0)
			return -1;
	}
}

int host_main(const char *guest, const char *daemon, struct verdict *v)
{
	struct host h = { 0 };

	return host_open(&h, guest, daemon, v) < 0 || confine(v) < 0 ? -1 : host_run(&h);
}
