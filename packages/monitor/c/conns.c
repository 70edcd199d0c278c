/* containerd's connections: splitting them into ttrpc frames, keeping what is unanswered, writing answers. */
#define _GNU_SOURCE
#include "monitor.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TTRPC_HEADER = 10, PAYLOAD_MAX = 4 << 20, KEPT_MAX = 16 << 20, OUT_MAX = 4 << 20, LINK_MAX = 32 << 20, RESULTS = 16, READS = 4 };
enum { TYPE_REQUEST = 1, TYPE_RESPONSE = 2, TYPE_DATA = 3, FLAG_REMOTE_CLOSED = 1 };

static uint32_t big_endian(const uint8_t *b)
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* ---- kept streams ---- */

static void set_quiet(struct monitor *m, struct kept *k, bool quiet)
{
	if (quiet && !k->quiet)
		m->busy--;
	if (!quiet && k->quiet)
		m->busy++;
	k->quiet = quiet;
}

static void kept_free(struct monitor *m, struct conn *c, struct kept *k)
{
	set_quiet(m, k, true);
	while (k->first) {
		struct frame *f = k->first;

		k->first = f->next;
		c->kept_bytes -= f->len;
		free(f);
	}
	free(k->results);
	free(k);
}

static struct kept *find_stream(struct conn *c, uint32_t stream)
{
	for (struct kept *k = c->kept; k; k = k->next)
		if (k->stream == stream)
			return k;
	return NULL;
}

static void drop_stream(struct monitor *m, struct conn *c, uint32_t stream)
{
	struct kept *before = NULL, *k = c->kept;

	for (; k && k->stream != stream; k = k->next)
		before = k;
	if (!k)
		return;
	if (before)
		before->next = k->next;
	else
		c->kept = k->next;
	if (c->kept_last == k)
		c->kept_last = before;
	kept_free(m, c, k);
}

static struct conn *find_conn(const struct monitor *m, uint32_t id)
{
	for (struct conn *c = m->conns; c; c = (struct conn *)c->object.next)
		if (c->id == id)
			return c;
	return NULL;
}

struct kept *kept_find(struct monitor *m, uint32_t conn, uint32_t stream)
{
	struct conn *c = conn ? find_conn(m, conn) : NULL;

	return c ? find_stream(c, stream) : NULL;
}

static bool read_varint(struct reader *r, uint64_t *v)
{
	*v = 0;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t byte = read_u8(r);

		*v |= (uint64_t)(byte & 127) << shift;
		if (r->bad || byte < 128)
			return !r->bad;
	}
	return false;
}

/* The Request's `method` (field 2) is a Wait: it stays open as long as the task runs. */
static bool is_wait(const uint8_t *payload, size_t len)
{
	struct reader r = { payload, len, false };
	uint64_t tag, n;

	while (r.left && read_varint(&r, &tag) && read_varint(&r, &n)) {
		struct view v;

		if ((tag & 7) == 0)
			continue;
		if ((tag & 7) != 2 || n > r.left)
			return false;
		v = read_bytes(&r, (size_t)n);
		if (tag >> 3 == 2)
			return (v.len == 4 && !memcmp(v.bytes, "Wait", 4)) || (v.len == 11 && !memcmp(v.bytes, "WaitSandbox", 11));
	}
	return false;
}

static struct kept *open_stream(struct monitor *m, struct conn *c, const struct frame *f, uint32_t stream)
{
	struct kept *k = calloc(1, sizeof *k);

	if (!k)
		return NULL;
	k->stream = stream;
	k->quiet = true;
	k->streaming = f->bytes[9] != 0;
	set_quiet(m, k, is_wait(f->bytes + TTRPC_HEADER, f->len - TTRPC_HEADER));
	if (c->kept_last)
		c->kept_last->next = k;
	else
		c->kept = k;
	c->kept_last = k;
	return k;
}

static void tell_frame(struct monitor *m, const struct conn *c, struct frame *f)
{
	uint16_t flags = (uint16_t)((f->sent ? FRAME_REPLAYED : 0) | (f->oversized ? FRAME_OVERSIZED : 0));
	size_t mark = message_begin(&m->link.out, MSG_FRAME, flags);

	buf_u32(&m->link.out, c->id);
	buf_add(&m->link.out, f->bytes, f->len);
	message_end(&m->link.out, mark);
	f->sent = true;
}

/* A whole frame: keep it if its stream is open (or this opens it), forward it. */
static void take_frame(struct monitor *m, struct conn *c, struct frame *f)
{
	uint32_t stream = big_endian(f->bytes + 4);
	uint8_t type = f->bytes[8];
	struct kept *k = type == TYPE_REQUEST || type == TYPE_DATA ? find_stream(c, stream) : NULL;

	if (!k && type == TYPE_REQUEST)
		k = open_stream(m, c, f, stream);
	if (link_up(m))
		tell_frame(m, c, f);
	else if (k)
		m->unsent = true;
	if (!k) {
		free(f);
		return;
	}
	c->kept_bytes += f->len;
	if (k->last)
		k->last->next = f;
	else
		k->first = f;
	k->last = f;
}

/* ---- reading ---- */

static bool header_complete(struct conn *c)
{
	uint32_t len = big_endian(c->header);
	bool oversized = len > PAYLOAD_MAX;

	c->partial = malloc(sizeof *c->partial + TTRPC_HEADER + (oversized ? 0 : len));
	if (!c->partial)
		return false;
	*c->partial = (struct frame) { .len = TTRPC_HEADER + (oversized ? 0 : len), .oversized = oversized };
	memcpy(c->partial->bytes, c->header, TTRPC_HEADER);
	c->have = TTRPC_HEADER;
	c->skip = oversized ? len : 0;
	return true;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

bool conn_feed(struct monitor *m, struct conn *c, const uint8_t *bytes, size_t n)
{
	for (;;) {
		size_t part;

		if (!c->partial) {
			part = least(TTRPC_HEADER - c->have_header, n);
			memcpy(c->header + c->have_header, bytes, part);
			c->have_header += (uint32_t)part;
			if (c->have_header < TTRPC_HEADER)
				return true;
			if (!header_complete(c))
				return false;
		} else if (c->skip) {
			part = least(c->skip, n);
			c->skip -= (uint32_t)part;
		} else {
			part = least(c->partial->len - c->have, n);
			memcpy(c->partial->bytes + c->have, bytes, part);
			c->have += (uint32_t)part;
		}
		bytes += part;
		n -= part;
		if (!c->skip && c->have == c->partial->len) {
			struct frame *whole = c->partial;

			c->partial = NULL;
			c->have_header = c->have = 0;
			take_frame(m, c, whole);
		}
		if (!n)
			return true;
	}
}

static void tell_closed(struct monitor *m, uint32_t id)
{
	size_t mark;

	if (!link_up(m))
		return;
	mark = message_begin(&m->link.out, MSG_CONN_CLOSED, 0);
	buf_u32(&m->link.out, id);
	message_end(&m->link.out, mark);
}

void conn_close(struct monitor *m, struct conn *c)
{
	struct conn **at = &m->conns;

	while (*at != c)
		at = (struct conn **)&(*at)->object.next;
	*at = (struct conn *)c->object.next;
	source_arm(m, &c->source, 0);
	if (c->source.fd >= 0) {
		shutdown(c->source.fd, SHUT_RDWR); /* a child between clone and its CLOSE step holds a copy */
		close(c->source.fd);
	}
	c->source.fd = -1;
	while (c->kept) {
		struct kept *k = c->kept;

		c->kept = k->next;
		kept_free(m, c, k);
	}
	free(c->partial);
	buf_free(&c->out);
	tell_closed(m, c->id);
	bury(m, &c->object);
}

static bool may_read(const struct monitor *m, const struct conn *c)
{
	return c->kept_bytes <= KEPT_MAX && buf_len(&c->out) <= OUT_MAX && buf_len(&m->link.out) <= LINK_MAX && !m->exiting;
}

static void rearm(struct monitor *m, struct conn *c)
{
	source_arm(m, &c->source, (may_read(m, c) ? EPOLLIN : 0) | (buf_len(&c->out) ? EPOLLOUT : 0));
}

/* Bounded: a few chunks each turn. */
static bool read_some(struct monitor *m, struct conn *c)
{
	for (int i = 0; i < READS && may_read(m, c); i++) {
		ssize_t n = read(c->source.fd, m->scratch, SCRATCH);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		if (n == 0)
			return false;
		m->scratch_used = m->scratch_used || n > 4096;
		if (!conn_feed(m, c, m->scratch, (size_t)n))
			return false;
		if (n < SCRATCH)
			break;
	}
	return true;
}

static bool write_some(struct conn *c)
{
	while (buf_len(&c->out)) {
		ssize_t n = send(c->source.fd, c->out.bytes + c->out.start, buf_len(&c->out), MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		buf_take(&c->out, (size_t)n);
	}
	return true;
}

static void conn_ready(struct monitor *m, struct source *source, uint32_t events)
{
	struct conn *c = (struct conn *)((char *)source - offsetof(struct conn, source));
	bool alive = true;

	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && may_read(m, c))
		alive = read_some(m, c);
	else if (events & (EPOLLHUP | EPOLLERR)) /* both directions are gone */
		alive = false;
	if (!alive)
		conn_close(m, c);
	else
		rearm(m, c);
}

struct conn *conn_new(struct monitor *m, int fd)
{
	struct conn *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->id = ++m->last_conn;
	c->source = (struct source) { conn_ready, fd, 0 };
	c->object.next = (struct object *)m->conns;
	m->conns = c;
	return c;
}

static bool trusted(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof peer;

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.uid == geteuid() && peer.gid == getegid();
}

void conns_accept(struct monitor *m, struct source *source, uint32_t events)
{
	(void)events;
	for (int i = 0; i < 16; i++) {
		int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct conn *c;

		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
			source_arm(m, source, 0); /* would be ready at once again */
			m->accept_at = now_ms() + 100;
		}
		if (fd < 0)
			return;
		c = trusted(fd) ? conn_new(m, fd) : NULL;
		if (c)
			rearm(m, c);
		else
			close(fd);
	}
}

/* ---- writing ---- */

/* A frame for containerd: does it end its stream? */
static void frame_out(struct monitor *m, struct conn *c, const uint8_t *frame)
{
	uint32_t stream = big_endian(frame + 4);
	struct kept *k;

	if (frame[8] == TYPE_RESPONSE || (frame[8] == TYPE_DATA && frame[9] & FLAG_REMOTE_CLOSED)) {
		drop_stream(m, c, stream);
		return;
	}
	k = find_stream(c, stream);
	if (k && k->streaming)
		set_quiet(m, k, true);
}

int conn_send(struct monitor *m, uint32_t id, const uint8_t *frames, size_t len)
{
	struct conn *c;

	for (size_t at = 0; at < len;) {
		if (len - at < TTRPC_HEADER || big_endian(frames + at) > len - at - TTRPC_HEADER)
			return -EPROTO;
		at += TTRPC_HEADER + big_endian(frames + at);
	}
	c = find_conn(m, id);
	if (!c)
		return 0;
	buf_add(&c->out, frames, len);
	for (size_t at = 0; at < len; at += TTRPC_HEADER + big_endian(frames + at))
		frame_out(m, c, frames + at);
	return 0;
}

void conns_flush(struct monitor *m)
{
	for (struct conn *c = m->conns, *next; c; c = next) {
		next = (struct conn *)c->object.next;
		if (c->out.broken || (buf_len(&c->out) && !write_some(c)))
			conn_close(m, c);
		else
			rearm(m, c);
	}
}

bool conns_pending(const struct monitor *m)
{
	for (struct conn *c = m->conns; c; c = (struct conn *)c->object.next)
		if (buf_len(&c->out))
			return true;
	return false;
}

/* ---- the task server comes and goes ---- */

static void replay_conn(struct monitor *m, const struct conn *c)
{
	for (struct kept *k = c->kept; k; k = k->next)
		for (struct frame *f = k->first; f; f = f->next)
			tell_frame(m, c, f);
}

/* Oldest connection first. */
void conns_replay(struct monitor *m)
{
	uint32_t done = 0;

	for (;;) {
		struct conn *oldest = NULL;

		for (struct conn *c = m->conns; c; c = (struct conn *)c->object.next)
			if (c->kept && c->id > done && (!oldest || c->id < oldest->id))
				oldest = c;
		if (!oldest)
			return;
		replay_conn(m, oldest);
		done = oldest->id;
	}
}

void conns_link_lost(struct monitor *m, bool bye)
{
	(void)bye;
	for (struct conn *c = m->conns; c; c = (struct conn *)c->object.next)
		for (struct kept *k = c->kept; k; k = k->next)
			for (struct frame *f = k->first; f; f = f->next)
				m->unsent = m->unsent || !f->sent;
}
