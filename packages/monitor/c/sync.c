/* The sync socket: what a child says between clone and exec, and which process a program with several clones became. */
#define _GNU_SOURCE
#include "monitor.h"
#include "kernel.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MESSAGES_A_TURN = 16 };

/* A pid from the shared page is believed only if it is our child and nobody else's entry. -1: it is not. */
int sync_open_successor(const struct monitor *m, pid_t pid)
{
	siginfo_t info = { 0 };
	long pidfd = entry_find_pid(m, pid) ? -1 : kcall(SYS_pidfd_open, pid, 0, 0, 0, 0, 0);

	if (pidfd < 0)
		return -1;
	if (kcall(SYS_waitid, K_P_PIDFD, pidfd, (long)&info, WEXITED | WNOHANG | WNOWAIT, 0, 0) < 0) {
		close((int)pidfd);
		return -1;
	}
	return (int)pidfd;
}

/* The last clone of a program with several is the process. The stage before it is left to proc_orphans, or was seen to exit. */
void sync_follow_clones(struct monitor *m, struct entry *e)
{
	for (uint32_t k = CLONES_MAX - 1; e->page && e->swallow && k > e->clones_seen; k--) {
		pid_t pid = __atomic_load_n(&e->page->pids[k], __ATOMIC_ACQUIRE);
		int pidfd = pid > 0 ? sync_open_successor(m, pid) : -1;

		if (pidfd < 0)
			continue;
		m->orphans = true; /* the stage may be dead already, and its SIGCHLD seen */
		e->clones_seen = k;
		e->pid = pid;
		slot_put(m, e, SLOT_PIDFD, pidfd);
		slots_start(m, e);
		e->swallow = k + 1 < e->n_clones;
		if (!e->swallow) {
			e->flags |= PROC_SPAWNED;
			e->start_time = start_time_of(pid);
			proc_changed(m, e);
		}
		return;
	}
}

/* The pid as it is known now: something is to be reported about this process. */
static void settle_pid(struct monitor *m, struct entry *e)
{
	sync_follow_clones(m, e);
	if (e->flags & PROC_SPAWNED || !e->pid)
		return;
	e->flags |= PROC_SPAWNED;
	e->start_time = start_time_of(e->pid);
}

void sync_ended(struct monitor *m, struct entry *e)
{
	settle_pid(m, e);
	e->swallow = false;
	e->gate_waiting = e->sync.active = false;
	free(e->sync.data);
	e->sync.data = NULL;
	if (e->page && e->page->failed) {
		e->flags |= PROC_FAILED;
		e->step = e->page->step;
		e->error = e->page->error;
	} else if (e->page && e->page->execing) {
		e->flags |= PROC_EXECED;
	}
	page_free(e->page);
	e->page = NULL;
	slot_put(m, e, SLOT_SYNC, -1);
	proc_changed(m, e);
}

void sync_open_gate(struct entry *e)
{
	if (!e->gate_waiting)
		return;
	e->gate_waiting = false;
	send(e->slot[SLOT_SYNC].source.fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void gate_reached(struct monitor *m, struct entry *e)
{
	settle_pid(m, e);
	e->flags |= PROC_GATE;
	e->gate_waiting = true;
	if (e->flags & PROC_OPENED)
		sync_open_gate(e);
	proc_changed(m, e);
}

static void sync_asked(struct monitor *m, struct entry *e, const struct say *say, const uint8_t *data, size_t len, int fd)
{
	bool was_known = e->flags & PROC_SPAWNED;

	settle_pid(m, e);
	if (!was_known)
		proc_changed(m, e);
	if (fd >= 0 && user_slot(say->slot)) {
		slot_put(m, e, say->slot, fd);
		slots_start(m, e);
	} else if (fd >= 0) {
		close(fd);
	}
	free(e->sync.data);
	e->sync = (struct pending_sync) { .active = true, .has_fd = fd >= 0, .code = say->code, .value = say->value };
	e->sync.data = malloc(len + 1);
	if (e->sync.data) {
		memcpy(e->sync.data, data, len);
		e->sync.len = (uint32_t)len;
	}
	proc_tell_sync(m, e);
}

static int passed_fd(struct msghdr *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg); /* there is room for one */
	int fd = -1;

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof fd);
	return fd;
}

/* One message of the child. False: nothing there, or the end. */
static bool take_say(struct monitor *m, struct entry *e)
{
	struct say say = { 0 };
	uint8_t data[SYNC_DATA_MAX];
	struct iovec parts[2] = { { &say, sizeof say }, { data, sizeof data } };
	union { struct cmsghdr align; char bytes[CMSG_SPACE(sizeof(int))]; } control = { 0 };
	struct msghdr msg = { .msg_iov = parts, .msg_iovlen = 2, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes };
	ssize_t n = recvmsg(e->slot[SLOT_SYNC].source.fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int fd;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) { /* the end, also by ECONNRESET: a verdict was not read */
		sync_ended(m, e);
		return false;
	}
	fd = passed_fd(&msg);
	if (n == sizeof say && say.what == SAY_GATE && fd < 0)
		gate_reached(m, e);
	else if ((size_t)n == sizeof say + say.data_len && say.what == SAY_SYNC && say.data_len <= sizeof data)
		sync_asked(m, e, &say, data, say.data_len, fd);
	else if (fd >= 0)
		close(fd);
	return true;
}

void sync_ready(struct monitor *m, struct entry *e)
{
	for (int i = 0; i < MESSAGES_A_TURN && e->slot[SLOT_SYNC].source.fd >= 0; i++)
		if (!take_say(m, e))
			return;
}
