/* Told slots: their bytes go to the task server itself, a piece at a time. What it has not taken is kept, and told again to the next one. */
#define _GNU_SOURCE
#include "monitor.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t reached(const struct told *t)
{
	return t->offset + buf_len(&t->kept);
}

/* What is kept; or nothing, which is the end. That needs no answer: it can be told as often as one likes. */
static void tell(struct monitor *m, const struct entry *e, const struct told *t, bool end)
{
	struct buf *out = &m->link.out;
	size_t mark;

	if (!link_up(m))
		return;
	mark = message_begin(out, MSG_OUTPUT, 0);
	buf_str(out, e->key, strlen(e->key));
	buf_u8(out, t->slot);
	buf_u64(out, end ? reached(t) : t->offset);
	buf_blob(out, end ? NULL : t->kept.bytes + t->kept.start, end ? 0 : buf_len(&t->kept));
	message_end(out, mark);
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

	return t && !t->ended && !buf_len(&t->kept);
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
	tell(m, e, t, true);
}

/* One read, and a look for the end, so that a short output and its end are told in one go. */
void told_ready(struct monitor *m, struct entry *e, unsigned slot)
{
	struct told *t = told_at(e, slot);
	ssize_t n = read(e->slot[slot].source.fd, m->scratch, SCRATCH);

	if (!t || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	m->scratch_used = m->scratch_used || n > 4096;
	if (n > 0)
		buf_add(&t->kept, m->scratch, (size_t)n);
	if (t->kept.broken) /* no memory: better an end than a gap */
		buf_free(&t->kept);
	if (!buf_len(&t->kept)) { /* EIO of a terminal is its end, too */
		end(m, e, t);
		return;
	}
	tell(m, e, t, false);
	if (at_end(e->slot[slot].source.fd))
		end(m, e, t);
	else
		slot_arm(m, e, slot);
}

void told_tell(struct monitor *m, struct entry *e)
{
	for (unsigned i = 0; i < e->n_told; i++) {
		if (buf_len(&e->told[i].kept))
			tell(m, e, &e->told[i], false);
		if (e->told[i].ended)
			tell(m, e, &e->told[i], true);
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
	if (!t || !buf_len(&t->kept) || offset != reached(t))
		return 0;
	t->offset = offset;
	buf_free(&t->kept);
	slot_arm(m, e, slot);
	return 0;
}

int64_t told_moved(const struct entry *e, unsigned slot)
{
	const struct told *t = told_at((struct entry *)e, slot);

	return t ? (int64_t)reached(t) : -EBADF;
}

void told_free(struct entry *e)
{
	for (unsigned i = 0; i < e->n_told; i++)
		buf_free(&e->told[i].kept);
	free(e->told);
	e->told = NULL;
	e->n_told = 0;
}
