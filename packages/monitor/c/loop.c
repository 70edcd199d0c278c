/* The one epoll loop. Events first, then timers; what is freed in a turn goes at its end. */
#define _GNU_SOURCE
#include "monitor.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 32 };

int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool source_try_arm(struct monitor *m, struct source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };
	int op = !events ? EPOLL_CTL_DEL : source->armed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (source->armed == events || source->fd < 0)
		return true;
	if (epoll_ctl(m->epoll, op, source->fd, &event) < 0 && op == EPOLL_CTL_ADD)
		return false;
	source->armed = events;
	return true;
}

void source_arm(struct monitor *m, struct source *source, uint32_t events)
{
	source_try_arm(m, source, events);
}

void bury(struct monitor *m, struct object *object)
{
	object->next = m->graves;
	m->graves = object;
}

static void empty_graves(struct monitor *m)
{
	while (m->graves) {
		struct object *object = m->graves;

		m->graves = object->next;
		free(object);
	}
}

static int sleep_ms(const struct monitor *m)
{
	int64_t at = link_deadline(m), now, left;

	if (m->again)
		return 0;
	if (m->accept_at && (!at || m->accept_at < at))
		at = m->accept_at;
	if (m->ends_at && (!at || m->ends_at < at))
		at = m->ends_at;
	if (m->exiting && (!at || m->exit_at < at))
		at = m->exit_at;
	if (!at)
		return -1;
	now = now_ms();
	left = at - now;
	return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

static void turn_timers(struct monitor *m)
{
	int64_t now = now_ms();

	if (m->accept_at && now >= m->accept_at) {
		m->accept_at = 0;
		source_arm(m, &m->listener, EPOLLIN);
	}
}

/* Give the touched pages of the read buffer back before a sleep. */
static void rest(struct monitor *m)
{
	if (m->scratch_used)
		madvise(m->scratch, SCRATCH, MADV_DONTNEED);
	m->scratch_used = false;
}

void loop_run(struct monitor *m)
{
	struct epoll_event events[EVENTS];

	for (;;) {
		int timeout = sleep_ms(m), n;

		if (timeout)
			rest(m);
		m->again = false;
		n = epoll_wait(m->epoll, events, EVENTS, timeout);
		for (int i = 0; i < n; i++) {
			struct source *source = events[i].data.ptr;

			if (source->fd >= 0 && source->armed)
				source->ready(m, source, events[i].events);
		}
		if (m->orphans)
			proc_orphans(m);
		streams_turn(m);
		ends_turn(m);
		turn_timers(m);
		link_turn(m);
		conns_flush(m);
		if (m->exiting && (!conns_pending(m) || now_ms() >= m->exit_at))
			_exit(0);
		empty_graves(m);
	}
}
