/* The end of a process, and what its watched slots say. */
#define _GNU_SOURCE
#include "monitor.h"
#include "kernel.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ORPHANS_A_TURN = 256, WATCH_MAX = 4096, LAST_MAX = 512, STATUS_LOST = -1 };

static uint64_t realtime_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int32_t wait_status(const siginfo_t *info)
{
	if (info->si_code == CLD_EXITED)
		return (info->si_status & 255) << 8;
	return info->si_status | (info->si_code == CLD_DUMPED ? 0x80 : 0);
}

/* Reap through the entry's pidfd. False: it lives. */
static bool reap(struct entry *e, int pidfd)
{
	siginfo_t info = { 0 };
	long r = kcall(SYS_waitid, K_P_PIDFD, pidfd, (long)&info, WEXITED | WNOHANG, 0, 0);

	if (r == -EINTR || (r == 0 && info.si_pid == 0))
		return false;
	e->wait_status = r < 0 ? STATUS_LOST : wait_status(&info);
	e->exited_at_ns = realtime_ns();
	return true;
}

/*
 * What its last slot's file says now; where it can't be read any more, what it said before stays: systemd removes the cgroup of a scope as soon as
 * it is empty.
 */
static bool read_last(struct entry *e)
{
	uint8_t data[LAST_MAX], *kept;
	unsigned slot = (unsigned)__builtin_ctz(e->last_slots | 1u << SLOTS);
	int fd = slot < SLOTS ? e->slot[slot].source.fd : -1;
	ssize_t n = fd < 0 ? -1 : pread(fd, data, sizeof data, 0);

	kept = n > 0 ? realloc(e->last, (size_t)n) : NULL;
	if (!kept)
		return false;
	memcpy(kept, data, (size_t)n);
	e->last = kept;
	e->last_len = (size_t)n;
	return true;
}

static void process_ready(struct monitor *m, struct entry *e)
{
	pid_t stage = e->pid;

	if (e->flags & PROC_EXITED)
		return;
	if (e->swallow)
		sync_follow_clones(m, e); /* from here on slot 15 is the successor; the stage is an orphan */
	if (e->pid != stage || !reap(e, e->slot[SLOT_PIDFD].source.fd))
		return;
	if (!read_last(e))
		e->flags |= PROC_STALE;
	sync_ready(m, e);
	if (e->slot[SLOT_SYNC].source.fd >= 0)
		sync_ended(m, e);
	e->flags |= PROC_EXITED;
	m->exited_at = now_ms();
	source_arm(m, &e->slot[SLOT_PIDFD].source, 0);
	streams_exited(m, e);
	proc_changed(m, e);
}

/* Everything that died and belongs to no entry: adopted as subreaper, or a stage that has handed over. */
void proc_orphans(struct monitor *m)
{
	pid_t stuck = m->stuck;

	m->orphans = false;
	m->stuck = 0;
	for (int i = 0; i < ORPHANS_A_TURN; i++) {
		siginfo_t info = { 0 };
		struct entry *owner;

		if (kcall(SYS_waitid, P_ALL, 0, (long)&info, WEXITED | WNOHANG | WNOWAIT, 0, 0) < 0 || !info.si_pid)
			return;
		for (struct entry *e = m->entries; e; e = (struct entry *)e->object.next)
			if (e->swallow)
				sync_follow_clones(m, e);
		owner = entry_find_pid(m, info.si_pid);
		if (owner && info.si_pid == stuck) {
			process_ready(m, owner);
		} else if (owner) { /* its own event comes in the next turn, in the order of the exits */
			m->orphans = m->again = true;
			m->stuck = info.si_pid;
			return;
		} else {
			kcall(SYS_waitid, P_PID, info.si_pid, (long)&info, WEXITED | WNOHANG, 0, 0);
		}
	}
	m->orphans = m->again = true;
}

/* ---- watches ---- */

static void watch_ready(struct monitor *m, struct entry *e, unsigned slot)
{
	uint8_t data[WATCH_MAX];
	struct buf *out = &m->link.out;
	ssize_t n;
	size_t mark;

	read_last(e);
	if (!link_up(m)) {
		source_arm(m, &e->slot[slot].source, 0);
		m->unsent = true;
		return;
	}
	n = read(e->slot[slot].source.fd, data, sizeof data);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		e->watches &= ~(1u << slot);
		source_arm(m, &e->slot[slot].source, 0);
	}
	mark = message_begin(out, MSG_WATCH, 0);
	buf_str(out, e->key, strlen(e->key));
	buf_u8(out, (uint8_t)slot);
	buf_blob(out, data, n > 0 ? (size_t)n : 0);
	message_end(out, mark);
}

void slot_ready(struct monitor *m, struct source *source, uint32_t events)
{
	struct slot *slot = (struct slot *)source;
	struct entry *e = entry_of(slot);

	if (slot->index == SLOT_PIDFD)
		process_ready(m, e);
	else if (slot->index == SLOT_SYNC)
		sync_ready(m, e);
	else if (e->watches >> slot->index & 1)
		watch_ready(m, e, slot->index);
	else if (told_wants(e, slot->index))
		told_ready(m, e, slot->index);
	else
		streams_ready(m, e, slot->index, events);
}
