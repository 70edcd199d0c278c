/* Told slots: their bytes go to the task server itself, a piece at a time. What it has not taken is kept, and told again to the next one. */
#define _GNU_SOURCE
#include "monitor.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void tell(struct monitor *m, const struct entry *e, const struct told *t, uint64_t offset, const uint8_t *bytes, size_t len)
{
	struct buf *out = &m->link.out;
	size_t mark = message_begin(out, MSG_OUTPUT, 0);

	buf_str(out, e->key, strlen(e->key));
	buf_u8(out, t->slot);
	buf_u64(out, offset);
	buf_blob(out, bytes, len);
	message_end(out, mark);
}

/* The end needs no answer: it can be told as often as one likes. */
static void tell_end(struct monitor *m, const struct entry *e, const struct told *t)
{
	tell(m, e, t, t->offset + t->len, NULL, 0);
}

static bool keep(struct told *t, const uint8_t *bytes, size_t len)
{
	t->bytes = malloc(len);
	if (!t->bytes)
		return false;
	memcpy(t->bytes, bytes, len);
	t->len = (uint32_t)len;
	return true;
}

static struct told *told_at(struct entry *e, unsigned slot)
{
	for (unsigned i = 0; i < e->n_told; i++)
		if (e->told[i].slot == slot)
			return &e->told[i];
	return NULL;
}

bool told_wants(const struct entry *e, unsigned slot)
{
	const struct told *t = told_at((struct entry *)e, slot);

	return t && !t->ended && !t->bytes;
}

void told_start(struct monitor *m, struct entry *e)
{
	for (unsigned i = 0; i < e->n_told; i++) {
		int fd = e->slot[e->told[i].slot].source.fd;
		int flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);

		if (flags >= 0 && !(flags & O_NONBLOCK))
			fcntl(fd, F_SETFL, flags | O_NONBLOCK);
		slot_arm(m, e, e->told[i].slot);
	}
}

/* A pipe that is empty and has no writer any more. */
static bool at_end(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0 && !(p.revents & POLLIN);
}

static void end(struct monitor *m, struct entry *e, struct told *t)
{
	t->ended = true;
	slot_put(m, e, t->slot, -1);
	if (link_up(m))
		tell_end(m, e, t);
}

/* One read, and a look for the end, so that a short output and its end are told in one go. */
void told_ready(struct monitor *m, struct entry *e, unsigned slot)
{
	struct told *t = told_at(e, slot);
	ssize_t n = read(e->slot[slot].source.fd, m->scratch, SCRATCH);

	if (!t || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	m->scratch_used = m->scratch_used || n > 4096;
	if (n <= 0 || !keep(t, m->scratch, (size_t)n)) { /* EIO of a terminal is its end, too; without memory: better an end than a gap */
		end(m, e, t);
		return;
	}
	if (link_up(m))
		tell(m, e, t, t->offset, t->bytes, t->len);
	if (at_end(e->slot[slot].source.fd))
		end(m, e, t);
	else
		slot_arm(m, e, slot);
}

void told_tell(struct monitor *m, struct entry *e)
{
	for (unsigned i = 0; i < e->n_told; i++) {
		const struct told *t = &e->told[i];

		if (t->bytes)
			tell(m, e, t, t->offset, t->bytes, t->len);
		if (t->ended)
			tell_end(m, e, t);
	}
}

int told_taken(struct monitor *m, struct message_in *message)
{
	struct view key = read_str(&message->body);
	unsigned slot = read_u8(&message->body);
	uint64_t offset = read_u64(&message->body);
	struct entry *e;
	struct told *t;

	if (!reader_done(&message->body))
		return -EPROTO;
	e = entry_find(m, key);
	t = e ? told_at(e, slot) : NULL;
	if (!t || !t->bytes || offset != t->offset + t->len)
		return 0;
	t->offset = offset;
	t->len = 0;
	free(t->bytes);
	t->bytes = NULL;
	slot_arm(m, e, slot);
	return 0;
}

int64_t told_moved(const struct entry *e, unsigned slot)
{
	const struct told *t = told_at((struct entry *)e, slot);

	return t ? (int64_t)(t->offset + t->len) : -EBADF;
}

void told_free(struct entry *e)
{
	for (unsigned i = 0; i < e->n_told; i++)
		free(e->told[i].bytes);
	free(e->told);
	e->told = NULL;
	e->n_told = 0;
}
