/* The front end of vhost-user, as a VMM is one. Source: qemu.org, "Vhost-user Protocol". */
#define _GNU_SOURCE
#include "host.h"
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	SET_VRING_ENABLE = 18,
};
enum { VERSION = 1, REPLY = 4, NEED_REPLY = 8 };
enum { ANSWER_LIMIT_S = 10 };
/* Any address will do, as long as both sides count from the same; ours is nobody's business. */
static const uint64_t USER_BASE = 0x100000000, VERSION_1 = 1ull << 32, PROTOCOL_FEATURES = 1ull << 30, REPLY_ACK = 1ull << 3;

struct message {
	uint32_t request, flags, size;
	union {
		uint64_t number;
		struct {
			uint32_t index, number;
		} state;
		struct {
			uint32_t index, flags;
			uint64_t desc, used, avail, log;
		} address;
		struct {
			uint32_t regions, padding;
			uint64_t guest_address, bytes, user_address, offset;
		} memory;
	} body;
} __attribute__((packed));
enum { HEADER = offsetof(struct message, body) };

struct session {
	int fd;
	bool acknowledged;
	struct verdict *verdict;
};

static int send_message(const struct session *s, struct message *m, int fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec part = { m, HEADER + m->size };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	m->flags |= VERSION;
	if (fd >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof control.bytes;
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
	}
	if (sendmsg(s->fd, &message, MSG_NOSIGNAL) == (ssize_t)part.iov_len)
		return 0;
	return refuse(s->verdict, BAD_DAEMON, "file daemon: it does not take the set-up", errno);
}

static int receive_number(const struct session *s, uint32_t request, uint64_t *number)
{
	struct message m = { 0 };
	size_t want = HEADER + sizeof *number;
	ssize_t n = recv(s->fd, &m, want, MSG_WAITALL);

	if (n < 0 && errno == EAGAIN)
		return refuse(s->verdict, BAD_DAEMON, "file daemon: does not answer within 10 s", 0);
	if (n < 0)
		return refuse(s->verdict, BAD_DAEMON, "file daemon: its answer can't be read", errno);
	if (!n)
		return refuse(s->verdict, BAD_DAEMON, "file daemon: closed during the set-up", 0);
	if ((size_t)n != want || m.request != request || !(m.flags & REPLY) || m.size != sizeof *number)
		return refuse(s->verdict, BAD_DAEMON, "file daemon: does not speak vhost-user", 0);
	*number = m.body.number;
	return 0;
}

static int get(const struct session *s, uint32_t request, uint64_t *number)
{
	struct message m = { .request = request };

	return send_message(s, &m, -1) < 0 ? -1 : receive_number(s, request, number);
}

/* With acknowledgements an error is known where it happens. */
static int set(const struct session *s, struct message m, int fd)
{
	uint64_t failed = 0;

	if (s->acknowledged)
		m.flags |= NEED_REPLY;
	if (send_message(s, &m, fd) < 0 || (s->acknowledged && receive_number(s, m.request, &failed) < 0))
		return -1;
	return failed ? refuse(s->verdict, BAD_DAEMON, "file daemon: refuses the set-up", 0) : 0;
}

static int set_number(const struct session *s, uint32_t request, uint64_t number)
{
	return set(s, (struct message) { .request = request, .size = sizeof number, .body.number = number }, -1);
}

static int set_fd(const struct session *s, uint32_t request, uint64_t queue, int fd)
{
	return set(s, (struct message) { .request = request, .size = sizeof queue, .body.number = queue }, fd);
}

static int set_state(const struct session *s, uint32_t request, uint32_t queue, uint32_t number)
{
	return set(s, (struct message) { .request = request, .size = sizeof(uint64_t), .body.state = { queue, number } }, -1);
}

static int set_memory(const struct session *s, int fd)
{
	struct message m = { .request = SET_MEM_TABLE, .size = sizeof m.body.memory };

	m.body.memory.regions = 1;
	m.body.memory.bytes = REGION_BYTES;
	m.body.memory.user_address = USER_BASE;
	return set(s, m, fd);
}

static int set_queue(const struct session *s, const struct host *h, uint32_t queue)
{
	uint64_t at = USER_BASE + (uint64_t)queue * RING_BYTES;
	struct message m = { .request = SET_VRING_ADDR, .size = sizeof m.body.address };

	m.body.address.index = queue;
	m.body.address.desc = at;
	m.body.address.avail = at + VRING_AVAIL_AT;
	m.body.address.used = at + VRING_USED_AT;
	if (set_state(s, SET_VRING_NUM, queue, RING_SIZE) < 0 || set_state(s, SET_VRING_BASE, queue, 0) < 0 || set(s, m, -1) < 0)
		return -1;
	if (set_fd(s, SET_VRING_CALL, queue, h->call) < 0 || set_fd(s, SET_VRING_KICK, queue, h->queues[queue].kick) < 0)
		return -1;
	return set_state(s, SET_VRING_ENABLE, queue, 1);
}

static int set_features(struct session *s)
{
	uint64_t features, protocol;

	if (get(s, GET_FEATURES, &features) < 0)
		return -1;
	if ((features & (VERSION_1 | PROTOCOL_FEATURES)) != (VERSION_1 | PROTOCOL_FEATURES))
		return refuse(s->verdict, BAD_DAEMON, "file daemon: lacks features that are needed", 0);
	if (get(s, GET_PROTOCOL_FEATURES, &protocol) < 0 || set_number(s, SET_PROTOCOL_FEATURES, protocol & REPLY_ACK) < 0)
		return -1;
	s->acknowledged = protocol & REPLY_ACK;
	return set_number(s, SET_FEATURES, VERSION_1 | PROTOCOL_FEATURES);
}

int vhost_negotiate(int daemon, const struct host *h, struct verdict *v)
{
	struct session s = { daemon, false, v };
	struct timeval limit = { ANSWER_LIMIT_S, 0 };

	if (setsockopt(daemon, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0)
		return refuse(v, FAILED, "file daemon: setsockopt", errno);
	if (set_features(&s) < 0 || set(&s, (struct message) { .request = SET_OWNER }, -1) < 0 || set_memory(&s, h->region.fd) < 0)
		return -1;
	for (uint32_t queue = 0; queue < QUEUES; queue++)
		if (set_queue(&s, h, queue) < 0)
			return -1;
	return 0;
}
