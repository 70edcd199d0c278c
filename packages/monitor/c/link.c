/* The connection to the task server: told everything when it is made, pinged while something is open, replaced when it hangs. */
#define _GNU_SOURCE
#include "monitor.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	SILENCE_MS = 200, PATIENCE_MAX_MS = 30000, CALM_MS = 60000, WELCOME_MS = 5000, LOOK_MS = 300, EXIT_SILENCE_MS = 500, WATCHED_MS = 3000, DELAY_MS = 50, DELAY_MAX_MS = 2000,
	LOCKED_MS = 10, EXIT_MS = 1000, NOTES_MAX = 4 << 20, OUT_LIMIT = 256 << 20
};

bool link_up(const struct monitor *m)
{
	return m->link.port.is ? m->link.port.greeted : m->link.source.fd >= 0;
}

/* ---- notes ---- */

static struct note **note_at(struct monitor *m, struct view key)
{
	struct note **at = &m->notes;

	while (*at && (strlen((*at)->key) != key.len || memcmp((*at)->key, key.bytes, key.len)))
		at = &(*at)->next;
	return at;
}

static void note_remove(struct monitor *m, struct note **at)
{
	struct note *note = *at;

	*at = note->next;
	m->notes_bytes -= strlen(note->key) + note->len;
	free(note);
}

static int note_add(struct monitor *m, struct view key, struct view value)
{
	struct note *note;

	if (m->notes_bytes + key.len + value.len > NOTES_MAX)
		return -ENOSPC;
	note = calloc(1, sizeof *note + key.len + 1 + value.len);
	if (!note)
		return -ENOMEM;
	if (key.len)
		memcpy(note->key, key.bytes, key.len);
	memcpy(note->key + key.len + 1, value.bytes, value.len);
	note->value = (const uint8_t *)note->key + key.len + 1;
	note->len = (uint32_t)value.len;
	m->notes_bytes += key.len + value.len;
	note->next = m->notes;
	m->notes = note;
	return 0;
}

static int note_set(struct monitor *m, struct reader *body)
{
	struct view key = read_str(body), value = read_blob(body);
	struct note **at;

	if (!reader_done(body))
		return -EPROTO;
	at = note_at(m, key);
	if (*at)
		note_remove(m, at);
	return value.len ? note_add(m, key, value) : 0;
}

static void tell_notes(struct monitor *m)
{
	for (struct note *note = m->notes; note; note = note->next) {
		size_t mark = message_begin(&m->link.out, MSG_NOTE, 0);

		buf_str(&m->link.out, note->key, strlen(note->key));
		buf_blob(&m->link.out, note->value, note->len);
		message_end(&m->link.out, mark);
	}
}

/* ---- messages ---- */

static int welcome(struct monitor *m, struct reader *body)
{
	uint32_t version = read_u32(body), pid = read_u32(body);

	if (!reader_done(body) || version != PROTOCOL_VERSION || pid > INT32_MAX)
		return -EPROTO;
	m->link.welcomed = true;
	m->link.server_pid = (pid_t)pid;
	m->link.server_start = start_time_of((pid_t)pid);
	m->link.delay = 0;
	return 0;
}

static int send_frames(struct monitor *m, struct reader *body)
{
	uint32_t conn = read_u32(body);

	return body->bad ? -EPROTO : conn_send(m, conn, body->at, body->left);
}

static int leave(struct monitor *m)
{
	m->exiting = true;
	m->exit_at = now_ms() + EXIT_MS;
	m->again = true;
	return 0;
}

static int goodbye(struct monitor *m, struct reader *body)
{
	m->link.read_by_server = read_u64(body);
	if (!reader_done(body))
		return -EPROTO;
	m->link.bye = true;
	for (struct entry *e = m->entries; e; e = (struct entry *)e->object.next)
		e->untold = false;
	return 0;
}

int link_message(void *monitor, struct message_in *message)
{
	struct monitor *m = monitor;

	if (!m->link.welcomed && message->type != MSG_WELCOME)
		return -EPROTO;
	switch (message->type) {
	case MSG_WELCOME: return m->link.welcomed ? -EPROTO : welcome(m, &message->body);
	case MSG_NOTE: return note_set(m, &message->body);
	case MSG_SEND: return send_frames(m, &message->body);
	case MSG_SPAWN: return proc_spawn(m, message);
	case MSG_RUN: return proc_run(m, message);
	case MSG_GATE: return proc_gate(m, message);
	case MSG_SYNC_REPLY: return proc_sync_reply(m, message);
	case MSG_FORGET: return proc_forget(m, message);
	case MSG_TAKEN: return told_taken(m, message);
	case MSG_PONG: return message->body.left == 8 ? 0 : -EPROTO;
	case MSG_EXIT: return message->body.left ? -EPROTO : leave(m);
	case MSG_BYE: return goodbye(m, &message->body);
	default: return -EPROTO;
	}
}

/* ---- the connection ---- */

static void schedule_retry(struct monitor *m)
{
	m->link.retry_at = now_ms() + m->link.delay;
	m->link.delay = m->link.delay ? m->link.delay * 2 : DELAY_MS;
	if (m->link.delay > DELAY_MAX_MS)
		m->link.delay = DELAY_MAX_MS;
}

void link_lost(struct monitor *m)
{
	struct link *l = &m->link;
	bool bye = l->bye && l->read_by_server == l->sent + buf_len(&l->out); /* what it has not read it does not know */

	source_arm(m, &l->source, 0);
	if (l->source.fd >= 0) {
		shutdown(l->source.fd, SHUT_RDWR); /* a child between clone and its CLOSE step holds a copy */
		close(l->source.fd);
	}
	l->source.fd = -1;
	if (!bye)
		m->unsent = true; /* what we came for may not have been heard, and one that was killed may have had something in mind */
	if (!l->welcomed) {
		l->delay = l->delay ? l->delay : DELAY_MS;
	}
	l->welcomed = l->bye = false;
	buf_free(&l->out);
	inbox_free(&l->in);
	l->pinged_at = l->owed_at = 0;
	l->looked_at = 0;
	conns_link_lost(m, bye);
	proc_link_lost(m, bye);
	schedule_retry(m);
}

void link_reset(struct monitor *m)
{
	struct link *l = &m->link;
	bool bye = l->bye;

	l->port.greeted = l->welcomed = l->bye = false;
	buf_free(&l->out);
	inbox_free(&l->in);
	proc_link_lost(m, bye);
}

static bool read_link(struct monitor *m)
{
	struct link *l = &m->link;

	for (int i = 0; i < 4; i++) {
		ssize_t n = read(l->source.fd, m->scratch, SCRATCH);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		if (n == 0)
			return false;
		m->scratch_used = m->scratch_used || n > 4096;
		l->heard_at = now_ms();
		l->pinged_at = l->owed_at = 0;
		l->looked_at = 0;
		if (inbox_feed(&l->in, m->scratch, (size_t)n, link_message, m) < 0)
			return false;
		if (n < SCRATCH)
			break;
	}
	return true;
}

static bool write_link(struct link *l)
{
	if (buf_len(&l->out) && !l->owed_at)
		l->owed_at = now_ms();
	while (buf_len(&l->out)) {
		ssize_t n = send(l->source.fd, l->out.bytes + l->out.start, buf_len(&l->out), MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		buf_take(&l->out, (size_t)n);
		l->sent += (uint64_t)n;
	}
	return true;
}

static void link_ready(struct monitor *m, struct source *source, uint32_t events)
{
	(void)source;
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !read_link(m))
		link_lost(m);
}

static void tell_hello(struct monitor *m)
{
	struct buf *out = &m->link.out;
	size_t mark = message_begin(out, MSG_HELLO, HELLO_LAST);

	buf_u32(out, PROTOCOL_VERSION);
	buf_u32(out, (uint32_t)getpid());
	buf_str(out, m->identity, strlen(m->identity));
	message_end(out, mark);
}

/* Everything that the server must know: also what an earlier one has been told. */
void link_tell_all(struct monitor *m)
{
	tell_hello(m);
	tell_notes(m);
	for (struct entry *e = m->entries; e; e = (struct entry *)e->object.next)
		proc_tell(m, e);
	message_end(&m->link.out, message_begin(&m->link.out, MSG_READY, 0));
	for (struct entry *e = m->entries; e; e = (struct entry *)e->object.next)
		told_tell(m, e);
	for (struct entry *e = m->entries; e; e = (struct entry *)e->object.next)
		proc_tell_sync(m, e);
	conns_replay(m);
	m->unsent = false;
	proc_link_ready(m);
}

static void reach(struct monitor *m)
{
	struct link *l = &m->link;
	int fd = reach_server(&m->place, true);

	if (fd == -EAGAIN) {
		l->retry_at = now_ms() + LOCKED_MS;
		return;
	}
	if (fd < 0) {
		schedule_retry(m);
		return;
	}
	l->source = (struct source) { link_ready, fd, 0 };
	l->connected_at = l->heard_at = now_ms();
	l->pinged_at = l->owed_at = 0;
	l->looked_at = 0;
	l->sent = 0;
	link_tell_all(m);
}

static bool something_to_tell(const struct monitor *m)
{
	if (m->busy || m->unsent)
		return true;
	for (const struct entry *e = m->entries; e; e = (const struct entry *)e->object.next)
		if (e->untold)
			return true;
	return false;
}

/* ---- a server that hangs ---- */

static void replace(struct monitor *m)
{
	struct link *l = &m->link;
	int64_t now = now_ms();
	int r = replace_server(&m->place, l->welcomed ? l->server_pid : 0, l->server_start);

	if (r == -EAGAIN) { /* somebody else is at it */
		l->retry_at = now + LOCKED_MS;
		return;
	}
	l->patience = now - l->replaced_at < CALM_MS && l->replaced_at ? l->patience * 2 : l->calm_patience;
	if (l->patience > PATIENCE_MAX_MS && l->patience > l->calm_patience)
		l->patience = l->calm_patience > PATIENCE_MAX_MS ? l->calm_patience : PATIENCE_MAX_MS;
	l->replaced_at = now;
	link_lost(m);
}

static void ping(struct monitor *m, int64_t now)
{
	struct link *l = &m->link;
	size_t mark = message_begin(&l->out, MSG_PING, 0);

	buf_u64(&l->out, ++l->token);
	message_end(&l->out, mark);
	l->pinged_at = now;
}

/* Since when an answer is waited for: the WELCOME, or a PONG. 0: none is. */
static int64_t waits_since(const struct link *l)
{
	return l->welcomed ? l->pinged_at : l->connected_at;
}

static int64_t patience_ends(const struct link *l)
{
	return waits_since(l) + (l->welcomed ? l->patience : WELCOME_MS);
}

static bool something_kept(const struct monitor *m)
{
	for (const struct conn *c = m->conns; c; c = (const struct conn *)c->object.next)
		if (c->kept)
			return true;
	return false;
}

/* When the link's state wants attention next; 0: never. */
int64_t link_deadline(const struct monitor *m)
{
	const struct link *l = &m->link;
	int64_t at = 0;

	if (m->exiting || l->port.is)
		return 0;
	if (!link_up(m))
		return something_to_tell(m) ? l->retry_at ? l->retry_at : 1 : 0;
	if (waits_since(l)) {
		at = (l->looked_at ? l->looked_at : waits_since(l)) + LOOK_MS;
		at = at < patience_ends(l) ? at : patience_ends(l);
	}
	else if (m->busy || l->owed_at)
		at = (l->owed_at > l->heard_at ? l->owed_at : l->heard_at) + SILENCE_MS;
	else if (m->exited_at && l->heard_at < m->exited_at + WATCHED_MS && something_kept(m)) /* a Wait is quiet, but its answer is due */
		at = l->heard_at + EXIT_SILENCE_MS;
	return at && at < l->retry_at ? l->retry_at : at;
}

static void timers(struct monitor *m)
{
	int64_t at = link_deadline(m), now = now_ms();

	if (!at || now < at)
		return;
	if (!link_up(m))
		reach(m);
	else if (m->link.welcomed && !m->link.pinged_at)
		ping(m, now);
	else if (now < patience_ends(&m->link) && !server_stopped(&m->place))
		m->link.looked_at = now; /* slow is not dead: it gets the whole patience */
	else
		replace(m);
}

void link_turn(struct monitor *m)
{
	struct link *l = &m->link;

	if (l->port.is) {
		port_turn(m);
		return;
	}
	timers(m);
	if (!link_up(m))
		return;
	if (l->out.broken || buf_len(&l->out) > OUT_LIMIT || !write_link(l)) {
		link_lost(m);
		return;
	}
	source_arm(m, &l->source, EPOLLIN | (buf_len(&l->out) ? EPOLLOUT : 0));
}
