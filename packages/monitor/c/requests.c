/* Requests of the task server that concern processes: SPAWN, RUN, GATE, SYNC_REPLY, FORGET. */
#define _GNU_SOURCE
#include "monitor.h"
#include "kernel.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { STREAMS_MAX = 16, RESULTS_MAX = 16 };

struct owner {
	struct monitor *monitor;
	struct entry *entry;
};

static void put_slot(void *owner, unsigned slot, int fd)
{
	struct owner *o = owner;

	slot_put(o->monitor, o->entry, slot, fd);
}

static int64_t moved(void *owner, unsigned slot)
{
	struct owner *o = owner;

	return streams_moved(o->entry, slot);
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
	int pidfd = *end || pid <= 0 || pid > INT32_MAX ? -1 : sync_open_successor(m, (pid_t)pid);

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
	vm.moved = moved;
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

static bool read_watches(struct reader *body, uint32_t *watches, uint32_t *told, uint32_t *last)
{
	for (unsigned n = read_u8(body); n; n--) {
		uint8_t byte = read_u8(body), slot = byte & WATCH_SLOT;

		if (body->bad || !user_slot(slot) || byte > (WATCH_TOLD | WATCH_SLOT))
			return false;
		*(byte & WATCH_TOLD ? told : byte & WATCH_LAST ? last : watches) |= 1u << slot;
	}
	return !body->bad && !(*watches & *told) && !(*last & (*watches | *told)) && !(*last & (*last - 1));
}

static int tell_slots(struct entry *e, uint32_t told)
{
	if (!told)
		return 0;
	e->told = calloc(SLOTS, sizeof *e->told);
	for (unsigned i = 0; e->told && i < SLOTS; i++)
		if (told >> i & 1)
			e->told[e->n_told++] = (struct told) { .slot = (uint8_t)i };
	return e->told ? 0 : -ENOMEM;
}

int proc_spawn(struct monitor *m, struct message_in *message)
{
	struct reader *body = &message->body;
	struct view key = read_str(body), program;
	unsigned n = read_u8(body);
	struct stream streams[STREAMS_MAX];
	uint32_t watches = 0, told = 0, last = 0;
	struct entry *e;

	if (n > STREAMS_MAX || !read_streams(body, streams, n) || !read_watches(body, &watches, &told, &last))
		return -EPROTO;
	program = read_blob(body);
	if (!reader_done(body))
		return -EPROTO;
	e = entry_find(m, key);
	if (e) {
		proc_tell(m, e);
		told_tell(m, e);
		return 0;
	}
	e = entry_new(m, key, n);
	if (!e || tell_slots(e, told) < 0)
		return -ENOMEM;
	if (n)
		memcpy(e->streams, streams, n * sizeof *streams);
	e->watches = watches;
	e->last_slots = last;
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

/* What a port has run under these names. The oldest ones are forgotten: only what a server that died has asked for last is asked again. */
static const struct result *port_result(const struct port *p, uint32_t conn, uint32_t stream, uint16_t nth)
{
	for (unsigned i = 0; p->results && conn && i < PORT_RESULTS; i++)
		if (p->results[i].conn == conn && p->results[i].stream == stream && p->results[i].result.nth == nth)
			return &p->results[i].result;
	return NULL;
}

static void port_remember(struct port *p, uint32_t conn, uint32_t stream, const struct result *result)
{
	if (p->results && conn)
		p->results[p->n_results++ % PORT_RESULTS] = (struct named_result) { conn, stream, *result };
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
	vm.moved = moved;
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
	const struct result *known;
	struct kept *kept;

	if (!reader_done(body))
		return -EPROTO;
	known = port_result(&m->link.port, conn, stream, nth);
	if (known) {
		tell_result(m, seq, known);
		return 0;
	}
	kept = kept_find(m, conn, stream);
	for (unsigned i = 0; kept && i < kept->n_results; i++)
		if (kept->results[i].nth == nth) {
			tell_result(m, seq, &kept->results[i]);
			return 0;
		}
	result = run(m, entry_find(m, key), nth, program);
	if (kept)
		remember(kept, &result);
	port_remember(&m->link.port, conn, stream, &result);
	tell_result(m, seq, &result);
	return 0;
}

int proc_gate(struct monitor *m, struct message_in *message)
{
	struct view key = read_str(&message->body);
	struct entry *e;

	if (!reader_done(&message->body))
		return -EPROTO;
	e = entry_find(m, key);
	if (!e || e->flags & PROC_OPENED)
		return 0;
	e->flags |= PROC_OPENED;
	sync_open_gate(e);
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
	e = entry_find(m, key);
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
	e = entry_find(m, key);
	if (e && e->flags & (PROC_FAILED | PROC_EXITED))
		entry_remove(m, e);
	return 0;
}
