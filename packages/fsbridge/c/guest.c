/* The guest half: requests of the kernel to the port, answers to the kernel. With its end the file system is aborted: nobody hangs. */
#define _GNU_SOURCE
#include "bridge.h"
#include "fuse.h"
#include "inbox.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { KERNEL, PORT, ENDS };
enum { REST_AFTER_MS = 1000, TURNS = 16, PAGES = 64, IO_FLUSHER = 57 };

struct guest {
	int fuse, port;
	uint8_t *request; /* the one that is on its way to the host */
	size_t request_len, sent;
	struct inbox inbox;
	bool greeted; /* FUSE_INIT is answered */
	struct verdict *verdict;
};

static int mount_at(const char *directory, int fuse, struct verdict *v)
{
	char options[128];

	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", fuse);
	return mount("trimaran", directory, "fuse", 0, options) < 0 ? refuse(v, FAILED, "mount", errno) : 0;
}

static uint8_t *buffer(void)
{
	return mmap(NULL, FUSE_MESSAGE_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static int guest_open(struct guest *g, const char *port, const char *directory)
{
	g->request = buffer();
	g->inbox.bytes = buffer();
	if (g->request == MAP_FAILED || g->inbox.bytes == MAP_FAILED)
		return refuse(g->verdict, FAILED, "memory", errno);
	g->port = endpoint_open(port, -1, g->verdict);
	if (g->port < 0)
		return -1;
	g->fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (g->fuse < 0)
		return refuse(g->verdict, FAILED, "/dev/fuse", errno);
	prctl(IO_FLUSHER, 1, 0, 0, 0); /* memory that we need is not to be had by writing through ourselves; older kernels know no such thing */
	return mount_at(directory, g->fuse, g->verdict);
}

static int lost(const struct guest *g, ssize_t n, const char *what)
{
	bool closed = n == 0 || n == -EPIPE || n == -ECONNRESET;

	return refuse(g->verdict, BAD_HOST, closed ? "host: closed" : what, closed ? 0 : (int)-n);
}

/* Send what there is of the request. */
static int send_request(struct guest *g)
{
	while (g->sent < g->request_len) {
		struct iovec rest = { g->request + g->sent, g->request_len - g->sent };
		ssize_t n = io_write(g->port, &rest, 1);

		if (n == -EAGAIN)
			return 0;
		if (n < 0)
			return lost(g, n, "host: write");
		g->sent += (size_t)n;
	}
	g->request_len = g->sent = 0;
	return 0;
}

/* The kernel hands out a whole request a read. 1: there may be more. */
static int take_request(struct guest *g)
{
	ssize_t n = io_read(g->fuse, g->request, FUSE_MESSAGE_MAX);

	if (n == -EAGAIN)
		return 0;
	if (n == -ENOENT) /* was given up before we came */
		return 1;
	if (n == -ENODEV || n == -ECONNABORTED)
		return refuse(g->verdict, ENDED, "unmounted", 0);
	if (n <= 0)
		return refuse(g->verdict, FAILED, "/dev/fuse: read", (int)-n);
	g->request_len = (size_t)n;
	return send_request(g) < 0 ? -1 : 1;
}

static int take_requests(struct guest *g)
{
	int more = 1;

	for (int i = 0; i < TURNS && more > 0 && !g->request_len; i++)
		more = take_request(g);
	return more < 0 ? -1 : 0;
}

/* The first answer is FUSE_INIT's: whoever waits for the mount is told. */
static int greet(struct guest *g, const struct iovec *message)
{
	struct fuse_out_header out;

	memcpy(&out, message->iov_base, sizeof out);
	if (out.error)
		return refuse(g->verdict, BAD_HOST, "host: refuses the mount", -out.error);
	(void)!write(STDOUT_FILENO, "ready\n", 6);
	g->greeted = true;
	return 0;
}

static int deliver(struct guest *g, const struct iovec *message)
{
	ssize_t n = io_write(g->fuse, message, 1);

	if (n == -ENODEV || n == -ECONNABORTED)
		return refuse(g->verdict, ENDED, "unmounted", 0);
	if (n < 0 && n != -ENOENT) /* whoever asked is gone */
		return refuse(g->verdict, BAD_HOST, "host: the kernel refuses an answer", (int)-n);
	return g->greeted ? 0 : greet(g, message);
}

/* A read of a port gives a page at most. 1: there may be more. */
static int take_answer(struct guest *g)
{
	struct iovec message;
	size_t room;
	uint8_t *into = inbox_room(&g->inbox, &room);
	ssize_t n = io_read(g->port, into, room);
	int got;

	if (n == -EAGAIN)
		return 0;
	if (n <= 0)
		return lost(g, n, "host: read");
	g->inbox.end += (size_t)n;
	while ((got = inbox_next(&g->inbox, &message, g->verdict)) > 0)
		if (deliver(g, &message) < 0)
			return -1;
	return got < 0 ? -1 : 1;
}

static int take_answers(struct guest *g)
{
	int more = 1;

	for (int i = 0; i < PAGES && more > 0; i++)
		more = take_answer(g);
	return more < 0 ? -1 : 0;
}

/* The kernel gives no more memory back to a file system's daemon than it gives itself. */
static void rest(struct guest *g)
{
	if (!g->request_len)
		madvise(g->request, FUSE_MESSAGE_MAX, MADV_DONTNEED);
	if (g->inbox.start == g->inbox.end)
		madvise(g->inbox.bytes, FUSE_MESSAGE_MAX, MADV_DONTNEED);
}

static int turn(struct guest *g, const struct pollfd *ends)
{
	if (ends[PORT].revents & POLLOUT && send_request(g) < 0)
		return -1;
	if (ends[PORT].revents & (POLLIN | POLLHUP | POLLERR) && take_answers(g) < 0)
		return -1;
	return g->request_len || !ends[KERNEL].revents ? 0 : take_requests(g);
}

static int guest_run(struct guest *g)
{
	bool rested = true;

	for (;;) {
		struct pollfd ends[ENDS] = { { g->request_len ? -1 : g->fuse, POLLIN, 0 },
			{ g->port, (short)(g->request_len ? POLLIN | POLLOUT : POLLIN), 0 } };
		int n = poll(ends, ENDS, rested ? -1 : REST_AFTER_MS);

		if (n < 0 && errno != EINTR)
			return refuse(g->verdict, FAILED, "poll", errno);
		if (n == 0)
			rest(g);
		rested = n == 0;
		if (n > 0 && turn(g, ends) < 0)
			return -1;
	}
}

int guest_main(const char *port, const char *directory, struct verdict *v)
{
	struct guest g = { .verdict = v };

	if (guest_open(&g, port, directory) < 0)
		return -1;
	/* FUSE_INIT is there since the mount. A port that nobody holds on the host yet blocks this write, where a poll would say "closed". */
	if (take_request(&g) < 0)
		return -1;
	if (io_nonblocking(g.port) < 0)
		return refuse(v, FAILED, "port: fcntl", errno);
	return guest_run(&g);
}
