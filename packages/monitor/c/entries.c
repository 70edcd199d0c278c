/* Entries: processes that a SPAWN made, from the clone to FORGET; and what the task server is told of them. */
#define _GNU_SOURCE
#include "monitor.h"
#include <stdlib.h>
#include <string.h>

struct entry *entry_find(const struct monitor *m, struct view key)
{
	for (struct entry *e = m->entries; e; e = (struct entry *)e->object.next)
		if (strlen(e->key) == key.len && !memcmp(e->key, key.bytes, key.len))
			return e;
	return NULL;
}

struct entry *entry_find_pid(const struct monitor *m, pid_t pid)
{
	for (struct entry *e = m->entries; e; e = (struct entry *)e->object.next)
		if (e->pid == pid && !(e->flags & PROC_EXITED))
			return e;
	return NULL;
}

struct entry *entry_new(struct monitor *m, struct view key, unsigned n_streams)
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

void entry_remove(struct monitor *m, struct entry *e)
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
	free(e->last);
	told_free(e);
	free(e->streams);
	free(e->key);
	e->n_streams = 0;
	bury(m, &e->object);
}

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
	buf_add(out, e->last, e->flags & PROC_EXITED ? e->last_len : 0);
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
