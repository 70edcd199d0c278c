/* An entry's slots and the streams between them. A slot owns its fd; a stream never blocks, and does a bounded amount of work each turn. */
#define _GNU_SOURCE
#include "monitor.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 1 << 20, TURN_BYTES = 1 << 20, TURN_STEPS = 16, UNCLEAR = 16 };
/* A stream is fast when it moves so much in so short a time; then its pipes become so wide. */
enum { FAST_BYTES = 1 << 20, FAST_MS = 100, WIDE_PIPE_BYTES = 1 << 18 };

struct entry *entry_of(struct slot *slot)
{
	return (struct entry *)((char *)(slot - slot->index) - offsetof(struct entry, slot));
}

static bool filled(const struct entry *e, const struct stream *s)
{
	return e->slot[s->from].source.fd >= 0 && e->slot[s->to].source.fd >= 0;
}

static bool live(const struct entry *e, const struct stream *s)
{
	return s->state == STREAM_LIVE && filled(e, s);
}

/* What the slot's users wait for, as epoll events. */
static uint32_t wanted(const struct entry *e, unsigned index)
{
	bool own = index == SLOT_SYNC || (index == SLOT_PIDFD && !(e->flags & PROC_EXITED));
	uint32_t events = own || e->watches >> index & 1 || told_wants(e, index) ? EPOLLIN : 0;

	for (unsigned i = 0; i < e->n_streams; i++) {
		const struct stream *s = &e->streams[i];

		if (live(e, s) && s->from == index && s->want == WANT_INPUT)
			events |= EPOLLIN;
		if (live(e, s) && s->to == index && s->want == WANT_OUTPUT)
			events |= EPOLLOUT;
	}
	return events;
}

void slot_arm(struct monitor *m, struct entry *e, unsigned index)
{
	struct slot *slot = &e->slot[index];

	if (slot->source.fd < 0 || slot->always)
		return;
	slot->always = !source_try_arm(m, &slot->source, wanted(e, index));
}

static void arm_stream(struct monitor *m, struct entry *e, struct stream *s)
{
	if (s->state != STREAM_LIVE)
		return;
	slot_arm(m, e, s->from);
	slot_arm(m, e, s->to);
	if ((s->want == WANT_INPUT && e->slot[s->from].always) || (s->want == WANT_OUTPUT && e->slot[s->to].always))
		s->want = WANT_TURN;
	if (s->want == WANT_TURN && filled(e, s))
		m->again = true;
}

static void close_slot(struct monitor *m, struct entry *e, unsigned index);

static bool still_used(const struct entry *e, unsigned index)
{
	for (unsigned i = 0; i < e->n_streams; i++) {
		const struct stream *s = &e->streams[i];

		if (s->state == STREAM_LIVE && (s->from == index || s->to == index))
			return true;
	}
	return false;
}

/* `target_gone`: nobody reads any more, so the target goes whatever the flags say. */
static void end_stream(struct monitor *m, struct entry *e, struct stream *s, bool target_gone)
{
	if (s->state == STREAM_ENDED)
		return;
	s->state = STREAM_ENDED;
	free(s->rest);
	s->rest = NULL;
	close_slot(m, e, s->from);
	if (!still_used(e, s->to) && (target_gone || (!(s->flags & STREAM_KEEP_TARGET) && !end_held(m, e, s))))
		close_slot(m, e, s->to);
	else
		slot_arm(m, e, s->to);
	if (streams_drained(e) && !(e->flags & PROC_DRAINED)) {
		e->flags |= PROC_DRAINED;
		proc_changed(m, e);
	}
}

static void close_slot(struct monitor *m, struct entry *e, unsigned index)
{
	struct slot *slot = &e->slot[index];

	if (slot->source.fd < 0)
		return;
	source_arm(m, &slot->source, 0);
	close(slot->source.fd);
	slot->source.fd = -1;
	slot->always = false;
	for (unsigned i = 0; i < e->n_streams; i++) {
		struct stream *s = &e->streams[i];

		if (s->from == index || s->to == index)
			end_stream(m, e, s, s->to == index);
	}
}

static void set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0 && !(flags & O_NONBLOCK))
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

bool is_fifo(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

/* Begin the streams whose two slots are there. */
void slots_start(struct monitor *m, struct entry *e)
{
	for (unsigned i = 0; i < e->n_streams; i++) {
		struct stream *s = &e->streams[i];

		if (s->state != STREAM_LIVE || s->decided || !filled(e, s))
			continue;
		s->decided = true;
		s->copies = !is_fifo(e->slot[s->from].source.fd) || !is_fifo(e->slot[s->to].source.fd);
		s->want = s->rest ? WANT_TURN : WANT_INPUT;
		set_nonblocking(e->slot[s->from].source.fd);
		set_nonblocking(e->slot[s->to].source.fd);
	}
	for (unsigned i = 0; i < e->n_streams; i++)
		arm_stream(m, e, &e->streams[i]);
	for (unsigned i = 0; i < SLOTS; i++)
		if (e->watches >> i & 1 || !user_slot(i))
			slot_arm(m, e, i);
	told_start(m, e);
}

void slot_put(struct monitor *m, struct entry *e, unsigned index, int fd)
{
	struct slot *slot = &e->slot[index];

	if (slot->source.fd >= 0 && fd >= 0) { /* another fd takes over: the streams live on with it */
		source_arm(m, &slot->source, 0);
		close(slot->source.fd);
		slot->always = false;
		for (unsigned i = 0; i < e->n_streams; i++)
			e->streams[i].decided = e->streams[i].decided && e->streams[i].from != index && e->streams[i].to != index;
	}
	if (fd < 0) {
		close_slot(m, e, index);
		return;
	}
	slot->source = (struct source) { slot_ready, fd, 0 };
	slot->index = (uint8_t)index;
}

void slots_close(struct monitor *m, struct entry *e)
{
	for (unsigned i = 0; i < e->n_streams; i++)
		end_stream(m, e, &e->streams[i], true);
	for (unsigned i = 0; i < SLOTS; i++)
		close_slot(m, e, i);
}

bool streams_drained(const struct entry *e)
{
	for (unsigned i = 0; i < e->n_streams; i++)
		if (e->streams[i].state != STREAM_ENDED && !(e->streams[i].flags & STREAM_UNCOUNTED))
			return false;
	return true;
}

int64_t streams_moved(const struct entry *e, unsigned slot)
{
	int64_t sum = told_moved(e, slot);

	for (unsigned i = 0; i < e->n_streams; i++)
		if (e->streams[i].from == slot)
			sum = (int64_t)e->streams[i].moved + (sum < 0 ? 0 : sum);
	return sum;
}

/* The process is gone: what has no source will never have one. */
void streams_exited(struct monitor *m, struct entry *e)
{
	for (unsigned i = 0; i < e->n_streams; i++)
		if (e->slot[e->streams[i].from].source.fd < 0)
			end_stream(m, e, &e->streams[i], false);
}

/* ---- moving bytes ---- */

enum moved { MOVED_SOME, MOVED_ALL, MOVED_NOTHING, TARGET_GONE, NOT_NOW };

static bool ready_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, 0) > 0;
}

/* splice said EAGAIN: was the source empty, or the target full? */
static enum moved which_side(struct stream *s, int from, int to)
{
	if (!ready_for(from, POLLIN)) {
		s->want = WANT_INPUT;
	} else if (!ready_for(to, POLLOUT)) {
		s->want = WANT_OUTPUT;
	} else {
		s->want = WANT_TURN; /* it was one of them a moment ago; where that goes on, the slow way knows exactly */
		s->copies = ++s->unclear == UNCLEAR;
	}
	return MOVED_NOTHING;
}

static void widen_pipe(int fd)
{
	int size = fcntl(fd, F_GETPIPE_SZ);

	if (size > 0 && size < WIDE_PIPE_BYTES)
		fcntl(fd, F_SETPIPE_SZ, WIDE_PIPE_BYTES); /* refused: it goes on as it is */
}

/*
 * Writer, monitor and reader wake each other for every pipeful: four times the pipe is a quarter of that. Only for fast streams: what all pipes of root's may hold is counted, and above
 * /proc/sys/fs/pipe-user-pages-soft a container's own pipes would get one page (pipe(7)).
 */
static void widen_when_fast(struct stream *s, int from, int to)
{
	int64_t now;

	if (s->wide || s->moved - s->mark < FAST_BYTES)
		return;
	now = now_ms();
	s->wide = now - s->mark_ms < FAST_MS;
	s->mark = s->moved;
	s->mark_ms = now;
	if (!s->wide)
		return;
	widen_pipe(from);
	widen_pipe(to);
}

static enum moved splice_some(struct stream *s, int from, int to, size_t *budget)
{
	ssize_t n = splice(from, NULL, to, NULL, CHUNK, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);

	if (n == 0)
		return MOVED_ALL;
	if (n > 0) {
		s->moved += (uint64_t)n;
		s->unclear = 0;
		*budget -= (size_t)n < *budget ? (size_t)n : *budget;
		widen_when_fast(s, from, to);
		return MOVED_SOME;
	}
	switch (errno) {
	case EAGAIN: return which_side(s, from, to);
	case EINTR: return MOVED_SOME;
	case EINVAL: s->copies = true; return MOVED_SOME;
	case EPIPE: return TARGET_GONE;
	default: return MOVED_ALL;
	}
}

static enum moved write_rest(struct stream *s, int to)
{
	while (s->rest_len) {
		ssize_t n = write(to, s->rest + s->rest_at, s->rest_len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			s->want = WANT_OUTPUT;
			return MOVED_NOTHING;
		}
		if (n < 0)
			return TARGET_GONE;
		s->rest_at += (uint32_t)n;
		s->rest_len -= (uint32_t)n;
	}
	free(s->rest);
	s->rest = NULL;
	return MOVED_SOME;
}

static enum moved keep_rest(struct stream *s, const uint8_t *bytes, size_t n)
{
	s->rest = malloc(n);
	if (!s->rest)
		return TARGET_GONE; /* no memory for 64 KiB: better an end than a gap */
	memcpy(s->rest, bytes, n);
	s->rest_at = 0;
	s->rest_len = (uint32_t)n;
	return MOVED_SOME;
}

static enum moved copy_some(struct monitor *m, struct stream *s, int from, int to, size_t *budget)
{
	ssize_t n, done;

	if (s->rest)
		return write_rest(s, to);
	n = read(from, m->scratch, SCRATCH);
	if (n == 0)
		return MOVED_ALL;
	if (n < 0 && errno == EAGAIN)
		s->want = WANT_INPUT;
	if (n < 0)
		return errno == EAGAIN ? MOVED_NOTHING : errno == EINTR ? MOVED_SOME : MOVED_ALL;
	m->scratch_used = m->scratch_used || n > 4096;
	s->moved += (uint64_t)n;
	*budget -= (size_t)n < *budget ? (size_t)n : *budget;
	done = write(to, m->scratch, (size_t)n);
	if (done < 0 && errno != EAGAIN && errno != EINTR)
		return TARGET_GONE;
	done = done < 0 ? 0 : done;
	return done == n ? MOVED_SOME : keep_rest(s, m->scratch + done, (size_t)(n - done));
}

static void pump(struct monitor *m, struct entry *e, struct stream *s)
{
	size_t budget = TURN_BYTES;
	enum moved moved = MOVED_SOME;

	s->want = WANT_TURN;
	for (int i = 0; i < TURN_STEPS && budget && moved == MOVED_SOME; i++) {
		int from = e->slot[s->from].source.fd, to = e->slot[s->to].source.fd;

		moved = s->copies ? copy_some(m, s, from, to, &budget) : splice_some(s, from, to, &budget);
	}
	if (moved == MOVED_ALL || moved == TARGET_GONE)
		end_stream(m, e, s, moved == TARGET_GONE);
	else
		arm_stream(m, e, s);
}

void streams_ready(struct monitor *m, struct entry *e, unsigned slot, uint32_t events)
{
	bool bad = events & (EPOLLHUP | EPOLLERR);

	for (unsigned i = 0; i < e->n_streams; i++) {
		struct stream *s = &e->streams[i];

		if (!live(e, s))
			continue;
		if ((s->from == slot && s->want == WANT_INPUT && (bad || events & EPOLLIN)) ||
		    (s->to == slot && s->want == WANT_OUTPUT && (bad || events & EPOLLOUT)))
			pump(m, e, s);
	}
}

void streams_turn(struct monitor *m)
{
	for (struct entry *e = m->entries; e; e = (struct entry *)e->object.next)
		for (unsigned i = 0; i < e->n_streams; i++)
			if (live(e, &e->streams[i]) && e->streams[i].want == WANT_TURN)
				pump(m, e, &e->streams[i]);
}
