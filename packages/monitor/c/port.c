/*
 * A port instead of a socket to the task server: a virtio-serial port in a guest, open for as long as we live. Nobody is started or replaced; who is at the other
 * end begins with a greeting, wherever the one before it has left off. PROTOCOL.md, section 7.
 */
#define _GNU_SOURCE
#include "monitor.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static const uint8_t HOST_MARK[] = { 0, 't', 'r', 'i', 'm', 'a', 'r', 'a', 'n', '-', 'h', 'o', 's', 't', 1, 0, 0xff };
static const uint8_t OUR_MARK[] = { 0, 't', 'r', 'i', 'm', 'a', 'r', 'a', 'n', '-', 'a', 'g', 'n', 't', 1, 0, 0xff };
enum { MARK = sizeof HOST_MARK, GREETING = MARK + NONCE, READS_A_TURN = 16 };
_Static_assert(GREETING == PORT_TAIL + 1, "the tail is a greeting less a byte");

/* Where a greeting that begins in the tail ends in `bytes`; 0: none does. */
static size_t greeting_across(const struct port *p, const uint8_t *bytes, size_t n)
{
	uint8_t joined[2 * GREETING];
	size_t more = n < GREETING ? n : GREETING, len = p->tail_len + more;

	memcpy(joined, p->tail, p->tail_len);
	memcpy(joined + p->tail_len, bytes, more);
	for (size_t at = 0; at < p->tail_len && at + GREETING <= len; at++)
		if (!memcmp(joined + at, HOST_MARK, MARK))
			return at + GREETING - p->tail_len;
	return 0;
}

/* The end of the last greeting in `bytes`, and its nonce; 0: there is none. */
static size_t last_greeting(const struct port *p, const uint8_t *bytes, size_t n, uint8_t nonce[static NONCE])
{
	size_t end = greeting_across(p, bytes, n);
	const uint8_t *found = bytes;

	for (size_t i = 0; end && i < NONCE; i++)
		nonce[i] = end >= NONCE - i ? bytes[end - (NONCE - i)] : p->tail[p->tail_len - (NONCE - i - end)];
	while ((found = memmem(found, (size_t)(bytes + n - found), HOST_MARK, MARK)) && (size_t)(bytes + n - found) >= GREETING) {
		memcpy(nonce, found + MARK, NONCE);
		found += GREETING;
		end = (size_t)(found - bytes);
	}
	return end;
}

static void remember_tail(struct port *p, const uint8_t *bytes, size_t n)
{
	size_t keep;

	if (n >= PORT_TAIL) {
		memcpy(p->tail, bytes + n - PORT_TAIL, PORT_TAIL);
		p->tail_len = PORT_TAIL;
		return;
	}
	keep = p->tail_len + n > PORT_TAIL ? PORT_TAIL - n : p->tail_len;
	memmove(p->tail, p->tail + p->tail_len - keep, keep);
	memcpy(p->tail + keep, bytes, n);
	p->tail_len = keep + n;
}

static void begin(struct monitor *m, const uint8_t nonce[static NONCE])
{
	link_reset(m);
	buf_add(&m->link.out, OUR_MARK, MARK);
	buf_add(&m->link.out, nonce, NONCE);
	m->link.port.greeted = true;
	m->link.port.heard = false;
	m->link.port.tail_len = 0;
	link_tell_all(m);
}

static void take(struct monitor *m, const uint8_t *bytes, size_t n)
{
	struct link *l = &m->link;
	uint8_t nonce[NONCE] = { 0 };
	size_t at = last_greeting(&l->port, bytes, n, nonce);

	if (at)
		begin(m, nonce);
	remember_tail(&l->port, bytes + at, n - at);
	if (l->port.greeted && inbox_feed(&l->in, bytes + at, n - at, link_message, m) < 0)
		link_reset(m); /* who speaks like this must greet again */
}

static void port_ready(struct monitor *m, struct source *source, uint32_t events)
{
	(void)events;
	for (int i = 0; i < READS_A_TURN; i++) {
		ssize_t n = read(source->fd, m->scratch, SCRATCH);

		if (n < 0 && errno == EINTR)
			continue;
		/* Nobody is at the other end: the host has gone, or its greeting was faster than the news that it has come (Linux, virtio_console.c: a work queue's). */
		if (n == 0 && m->link.port.heard)
			link_reset(m);
		if (n <= 0)
			return;
		m->scratch_used = m->scratch_used || n > 4096;
		take(m, m->scratch, (size_t)n);
	}
	m->link.port.more = m->again = true; /* the edge has been seen: come back without one */
}

bool port_write(struct monitor *m)
{
	struct link *l = &m->link;

	while (l->port.greeted && buf_len(&l->out)) {
		ssize_t n = write(l->source.fd, l->out.bytes + l->out.start, buf_len(&l->out));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) /* full: an edge tells when not */
			return n == 0 || errno == EAGAIN;
		l->port.heard = true;
		buf_take(&l->out, (size_t)n);
	}
	return true;
}

void port_turn(struct monitor *m)
{
	struct port *p = &m->link.port;

	if (p->more) {
		p->more = false;
		port_ready(m, &m->link.source, 0);
	}
	if (m->link.out.broken || !port_write(m))
		link_reset(m);
}

/* Edges only: a port without a host is "hung up" all the time. */
void port_open(struct monitor *m, int fd)
{
	m->link.port.is = true;
	m->link.port.results = calloc(PORT_RESULTS, sizeof *m->link.port.results);
	m->link.source = (struct source) { port_ready, fd, 0 };
	source_arm(m, &m->link.source, EPOLLIN | EPOLLOUT | EPOLLET);
}
