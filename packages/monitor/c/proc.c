/* Entries: processes that a SPAWN made, from the clone to FORGET. */
#define _GNU_SOURCE
#include "monitor.h"
#include "kernel.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STREAMS_MAX = 16, MESSAGES_A_TURN = 16, ORPHANS_A_TURN = 256, WATCH_MAX = 4096, RESULTS_MAX = 16, STATUS_LOST = -1 };

/* ---- telling ---- */

void proc_tell(struct monitor *m, struct entry *e)
{
	struct buf *out = &m->link.out;
	size_t mark = message_begin(out, MSG_PROC, 0);

	buf_str(out, e->key, strlen(e->key));
	buf_u16(out, (uint16_t)e->flags);
	buf_u32(out, e->flags & PROC_SPAWNED ? (uint32_t)e->pid : 0);
	buf_u32(out, e->step);
	buf_u32(out, e->error);
	buf_u32(out, (uint32_t)e->wait_status);
	buf_u64(out, e->exited_at_ns);
	buf_u64(out, e->start_time);
	message_end(out, mark);
	e->untold = m->link.bye; /* after BYE the server no longer looks */
}

void proc_changed(struct monitor *m, struct entry *e)
{
	if (link_up(m))
		proc_tell(m, e);
	else
		e->untold = true;
}

void proc_tell_sync(struct monitor *m, struct entry *e)
{
	struct buf *out = &m->link.out;
	size_t mark;

	if (!e->sync.active)
		return;
	if (!link_up(m)) {
		m->unsent = true;
		return;
	}
	mark = message_begin(out, MSG_SYNC, 0);
	buf_str(out, e->key, strlen(e->key));
	buf_u32(out, e->sync.code);
	buf_u64(out, e->sync.value);
	buf_u8(out, e->sync.has_fd);
	buf_blob(out, e->sync.data, e->sync.len);
	message_end(out, mark);
}

void proc_link_lost(struct monitor *m, bool bye)
{
	for (struct entry *e = m->entries; e; e = (struct entry *)e->object.next)
		if (!bye && (e->flags & (PROC_FAILED | PROC_EXITED) || e->gate_waiting || e->sync.active))
			e->untold = true;
}

void proc_link_ready(struct monitor *m)
{
	for (struct entry *e = m->entries; e; e = (struct entry *)e->object.next)
		slots_start(m, e); /* watches were put aside while nobody listened */
}

/* ---- entries ---- */

static struct entry *find_entry(const struct monitor *m, struct view key)
{
	for (struct entry *e = m->entries; e; e = (struct entry *)e->object.next)
		if (strlen(e->key) == key.len && !memcmp(e->key, key.bytes, key.len))
			return e;
	return NULL;
}

static struct entry *find_pid(const struct monitor *m, pid_t pid)
{
	for (struct entry *e = m->entries; e; e = (struct entry *)e->object.next)
		if (e->pid == pid && !(e->flags & PROC_EXITED))
			return e;
	return NULL;
}

static struct entry *entry_new(struct monitor *m, struct view key, unsigned n_streams)
{
	struct entry *e = calloc(1, sizeof *e);

	if (!e)
		return NULL;
	e->key = strndup(key.len ? (const char *)key.bytes : "", key.len);
	e->streams = calloc(n_streams + 1, sizeof *e->streams);
	if (!e->key || !e->streams) {
		free(e->key);
		free(e->streams);
		free(e);
		return NULL;
	}
	e->n_streams = n_streams;
	for (unsigned i = 0; i < SLOTS; i++) {
		e->slot[i].source = (struct source) { slot_ready, -1, 0 };
		e->slot[i].index = (uint8_t)i;
	}
	if (m->entries_last)
		m->entries_last->object.next = &e->object;
	else
		m->entries = e;
	m->entries_last = e;
	return e;
}

static void entry_remove(struct monitor *m, struct entry *e)
{
	struct entry *before = NULL;

	for (struct entry *at = m->entries; at != e; at = (struct entry *)at->object.next)
		before = at;
	if (before)
		before->object.next = e->object.next;
	else
		m->entries = (struct entry *)e->object.next;
	if (m->entries_last == e)
		m->entries_last = before;
	e->flags |= PROC_DRAINED; /* no more reports */
	slots_close(m, e);
	page_free(e->page);
	free(e->sync.data);
	free(e->streams);
	free(e->key);
	e->n_streams = 0;
	bury(m, &e->object);
}

/* ---- the sync socket ---- */

/* A pid from the shared page is believed only if it is our child and nobody else's entry. -1: it is not. */
static int open_successor(const struct monitor *m, pid_t pid)
{
	siginfo_t info = { 0 };
	long pidfd = find_pid(m, pid) ? -1 : kcall(SYS_pidfd_open, pid, 0, 0, 0, 0, 0);

	if (pidfd < 0)
		return -1;
	if (kcall(SYS_waitid, K_P_PIDFD, pidfd, (long)&info, WEXITED | WNOHANG | WNOWAIT, 0, 0) < 0) {
		close((int)pidfd);
		return -1;
	}
	return (int)pidfd;
}

/* The last clone of a program with several is the process. The stage before it is left to proc_orphans, or was seen to exit. */
static void follow_clones(struct monitor *m, struct entry *e)
{
	for (uint32_t k = CLONES_MAX - 1; e->page && e->swallow && k > e->clones_seen; k--) {
		pid_t pid = __atomic_load_n(&e->page->pids[k], __ATOMIC_ACQUIRE);
		int pidfd = pid > 0 ? open_successor(m, pid) : -1;

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
	follow_clones(m, e);
	if (e->flags & PROC_SPAWNED || !e->pid)
		return;
	e->flags |= PROC_SPAWNED;
	e->start_time = start_time_of(e->pid);
}

static void sync_ended(struct monitor *m, struct entry *e)
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

static void open_gate(struct entry *e)
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
		open_gate(e);
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

static void sync_ready(struct monitor *m, struct entry *e)
{
	for (int i = 0; i < MESSAGES_A_TURN && e->slot[SLOT_SYNC].source.fd >= 0; i++)
		if (!take_say(m, e))
			return;
}

/* ---- the end of a process ---- */

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

static void process_ready(struct monitor *m, struct entry *e)
{
	pid_t stage = e->pid;

	if (e->flags & PROC_EXITED)
		return;
	if (e->swallow)
		follow_clones(m, e); /* from here on slot 15 is the successor; the stage is an orphan */
	if (e->pid != stage || !reap(e, e->slot[SLOT_PIDFD].source.fd))
		return;
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
				follow_clones(m, e);
		owner = find_pid(m, info.si_pid);
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
	else
		streams_ready(m, e, slot->index, events);
}

/* ---- requests of the task server ---- */

struct owner {
	struct monitor *monitor;
	struct entry *entry;
};

static void put_slot(void *owner, unsigned slot, int fd)
{
	struct owner *o = owner;

	slot_put(o->monitor, o->entry, slot, fd);
}

static void entry_failed(struct monitor *m, struct entry *e, uint32_t step, uint32_t error)
{
	e->flags |= PROC_FAILED | PROC_DRAINED;
	e->step = step;
	e->error = error;
	slots_close(m, e);
}

/* Where does process `pid` come from? Only a child of ours can be adopted: another's exit is not told to us. */
static void adopt(struct monitor *m, struct entry *e)
{
	char *end;
	long pid = strtol(e->key + strlen("adopt/"), &end, 10);
	int pidfd = *end || pid <= 0 || pid > INT32_MAX ? -1 : open_successor(m, (pid_t)pid);

	if (pidfd < 0) {
		entry_failed(m, e, NO_STEP, ESRCH);
		return;
	}
	e->pid = (pid_t)pid;
	e->start_time = start_time_of(e->pid);
	e->flags = PROC_SPAWNED | PROC_EXECED | PROC_DRAINED;
	slot_put(m, e, SLOT_PIDFD, pidfd);
}

static void spawned(struct monitor *m, struct entry *e, const struct vm *vm)
{
	e->page = vm->page;
	e->pid = vm->pid;
	e->n_clones = vm->program->n_clones;
	e->swallow = e->n_clones > 1;
	slot_put(m, e, SLOT_PIDFD, vm->pidfd);
	slot_put(m, e, SLOT_SYNC, vm->sync_monitor);
	if (e->swallow)
		return;
	e->flags |= PROC_SPAWNED;
	e->start_time = start_time_of(e->pid);
}

static void launch(struct monitor *m, struct entry *e, struct view bytes)
{
	struct owner owner = { m, e };
	struct program program;
	struct outcome outcome;
	struct vm vm;
	int r = program_open(&program, bytes.bytes, bytes.len, true);

	if (r == 0 && !program.n_clones) {
		program_free(&program);
		r = -EINVAL;
	}
	if (r < 0) {
		entry_failed(m, e, NO_STEP, (uint32_t)-r);
		return;
	}
	vm_init(&vm, &program);
	vm.put_slot = put_slot;
	vm.owner = &owner;
	outcome = vm_run(&vm);
	if (outcome.run == RUN_CLONED)
		spawned(m, e, &vm);
	else
		entry_failed(m, e, outcome.run == RUN_DONE ? NO_STEP : outcome.step, outcome.run == RUN_DONE ? EINVAL : outcome.error);
	program_free(&program);
}

static bool read_streams(struct reader *body, struct stream *streams, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint8_t from = read_u8(body), to = read_u8(body);
		uint16_t flags = read_u16(body);

		if (body->bad || !user_slot(from) || !user_slot(to) || from == to || flags > 3)
			return false;
		streams[i] = (struct stream) { .from = from, .to = to, .flags = (uint8_t)flags, .state = STREAM_LIVE };
	}
	return true;
}

static bool read_watches(struct reader *body, uint32_t *watches)
{
	for (unsigned n = read_u8(body); n; n--) {
		uint8_t slot = read_u8(body);

		if (body->bad || !user_slot(slot))
			return false;
		*watches |= 1u << slot;
	}
	return !body->bad;
}

int proc_spawn(struct monitor *m, struct message_in *message)
{
	struct reader *body = &message->body;
	struct view key = read_str(body), program;
	unsigned n = read_u8(body);
	struct stream streams[STREAMS_MAX];
	uint32_t watches = 0;
	struct entry *e;

	if (n > STREAMS_MAX || !read_streams(body, streams, n) || !read_watches(body, &watches))
		return -EPROTO;
	program = read_blob(body);
	if (!reader_done(body))
		return -EPROTO;
	e = find_entry(m, key);
	if (e) {
		proc_tell(m, e);
		return 0;
	}
	e = entry_new(m, key, n);
	if (!e)
		return -ENOMEM;
	if (n)
		memcpy(e->streams, streams, n * sizeof *streams);
	e->watches = watches;
	e->flags = streams_drained(e) ? PROC_DRAINED : 0;
	if (!program.len && strncmp(e->key, "adopt/", 6) == 0)
		adopt(m, e);
	else
		launch(m, e, program);
	slots_start(m, e);
	if (!e->swallow)
		proc_changed(m, e);
	return 0;
}

static void tell_result(struct monitor *m, uint32_t seq, const struct result *result)
{
	size_t mark = message_begin(&m->link.out, MSG_RESULT, 0);

	buf_u32(&m->link.out, seq);
	buf_u32(&m->link.out, result->step);
	buf_u32(&m->link.out, result->error);
	buf_u64(&m->link.out, result->value);
	message_end(&m->link.out, mark);
}

static void remember(struct kept *kept, const struct result *result)
{
	if (!kept->results)
		kept->results = calloc(RESULTS_MAX, sizeof *kept->results);
	if (kept->results && kept->n_results < RESULTS_MAX)
		kept->results[kept->n_results++] = *result;
}

static struct result run(struct monitor *m, struct entry *e, uint16_t nth, struct view bytes)
{
	struct result result = { .nth = nth, .step = NO_STEP, .error = e ? EINVAL : ENOENT };
	struct owner owner = { m, e };
	struct program program;
	struct outcome outcome;
	struct vm vm;

	if (!e || program_open(&program, bytes.bytes, bytes.len, false) < 0)
		return result;
	vm_init(&vm, &program);
	vm.put_slot = put_slot;
	vm.owner = &owner;
	for (unsigned i = 0; i < SLOTS; i++)
		vm.slot[i] = e->slot[i].source.fd;
	outcome = vm_run(&vm);
	result.step = outcome.step;
	result.error = outcome.error;
	result.value = (uint64_t)vm.reg[0];
	program_free(&program);
	slots_start(m, e);
	return result;
}

int proc_run(struct monitor *m, struct message_in *message)
{
	struct reader *body = &message->body;
	uint32_t seq = read_u32(body), conn = read_u32(body), stream = read_u32(body);
	uint16_t nth = read_u16(body);
	struct view key = read_str(body), program = read_blob(body);
	struct result result;
	struct kept *kept;

	if (!reader_done(body))
		return -EPROTO;
	kept = kept_find(m, conn, stream);
	for (unsigned i = 0; kept && i < kept->n_results; i++)
		if (kept->results[i].nth == nth) {
			tell_result(m, seq, &kept->results[i]);
			return 0;
		}
	result = run(m, find_entry(m, key), nth, program);
	if (kept)
		remember(kept, &result);
	tell_result(m, seq, &result);
	return 0;
}

int proc_gate(struct monitor *m, struct message_in *message)
{
	struct view key = read_str(&message->body);
	struct entry *e;

	if (!reader_done(&message->body))
		return -EPROTO;
	e = find_entry(m, key);
	if (!e || e->flags & PROC_OPENED)
		return 0;
	e->flags |= PROC_OPENED;
	open_gate(e);
	proc_changed(m, e);
	return 0;
}

int proc_sync_reply(struct monitor *m, struct message_in *message)
{
	struct reader *body = &message->body;
	struct view key = read_str(body);
	struct verdict verdict = { .error = read_u32(body) };
	struct entry *e;

	verdict.value = read_u64(body);
	if (!reader_done(body))
		return -EPROTO;
	e = find_entry(m, key);
	if (!e || !e->sync.active)
		return 0;
	e->sync.active = false;
	free(e->sync.data);
	e->sync.data = NULL;
	send(e->slot[SLOT_SYNC].source.fd, &verdict, sizeof verdict, MSG_DONTWAIT | MSG_NOSIGNAL);
	return 0;
}

int proc_forget(struct monitor *m, struct message_in *message)
{
	struct view key = read_str(&message->body);
	struct entry *e;

	if (!reader_done(&message->body))
		return -EPROTO;
	e = find_entry(m, key);
	if (e && e->flags & (PROC_FAILED | PROC_EXITED))
		entry_remove(m, e);
	return 0;
}
