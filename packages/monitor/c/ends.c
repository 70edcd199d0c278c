/*
 * The end of an output. A client may take the end of one stream for the end of all: containerd's attach stops to copy stdout when it sees that of stderr, and loses
 * what it has not read by then. So where a process has two outputs that go to FIFOs, none ends while something of the other is unread; for a moment at most, since a
 * client may also be gone, stuck, or want the one before it reads the other.
 */
#define _GNU_SOURCE
#include "monitor.h"
#include <sys/ioctl.h>

enum { HELD_MS = 250 };

static bool unread(int fd)
{
	int bytes = 0;

	return ioctl(fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

/* The fd of the FIFO that the stream is the whole output to; -1 where it is none, or has been closed. */
static int output_of(const struct entry *e, const struct stream *s)
{
	int fd = s->flags ? -1 : e->slot[s->to].source.fd;

	return fd >= 0 && is_fifo(fd) ? fd : -1;
}

static bool all_read(const struct entry *e)
{
	for (unsigned i = 0; i < e->n_streams; i++) {
		const struct stream *s = &e->streams[i];
		int fd = output_of(e, s);

		if (fd >= 0 && (unread(fd) || (s->state == STREAM_LIVE && unread(e->slot[s->from].source.fd))))
			return false;
	}
	return true;
}

static bool has_other(const struct entry *e, const struct stream *s)
{
	for (unsigned i = 0; i < e->n_streams; i++)
		if (e->streams[i].to != s->to && output_of(e, &e->streams[i]) >= 0)
			return true;
	return false;
}

/* Look soon at first: a client that reads is done in less than a millisecond. */
static void look_again(struct monitor *m, int64_t now, int64_t held_at)
{
	int64_t at = now + 1 + (now - held_at) / 4;

	if (!m->ends_at || at < m->ends_at)
		m->ends_at = at;
}

bool end_held(struct monitor *m, const struct entry *e, struct stream *s)
{
	if (output_of(e, s) < 0 || !has_other(e, s) || all_read(e))
		return false;
	s->held_at = now_ms();
	look_again(m, s->held_at, s->held_at);
	return true;
}

void ends_turn(struct monitor *m)
{
	int64_t now = m->ends_at ? now_ms() : 0;

	if (now < m->ends_at || !m->ends_at)
		return;
	m->ends_at = 0;
	for (struct entry *e = m->entries; e; e = (struct entry *)e->object.next) {
		for (unsigned i = 0; i < e->n_streams; i++) {
			struct stream *s = &e->streams[i];

			if (!s->held_at)
				continue;
			if (now - s->held_at < HELD_MS && !all_read(e)) {
				look_again(m, now, s->held_at);
				continue;
			}
			s->held_at = 0;
			slot_put(m, e, s->to, -1);
		}
	}
}
