/* The daemon: one value of `struct monitor` holds everything. PROTOCOL.md, sections 2 to 4. */
#ifndef MONITOR_H
#define MONITOR_H
#include "buf.h"
#include "program.h"
#include "reach.h"
#include "wire.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct monitor;

/* Something in the epoll set. `fd` is -1 when it is not (or no more): a late event of the same turn is then ignored. */
struct source {
	void (*ready)(struct monitor *m, struct source *source, uint32_t events);
	int fd;
	uint32_t armed;
};

/* First member of what is freed only at the end of the turn, since events of the turn may still point to it. */
struct object {
	struct object *next;
};

struct result {
	uint16_t nth;
	uint32_t step, error;
	uint64_t value;
};
struct frame {
	struct frame *next;
	uint32_t len;
	bool oversized, sent;
	uint8_t bytes[];
};
struct kept { /* a stream whose end has not gone out */
	struct kept *next;
	uint32_t stream;
	bool quiet;     /* a Wait, or a streaming call that was answered once: no reason to ping */
	bool streaming;
	struct frame *first, *last;
	struct result *results;
	unsigned n_results;
};
struct conn {
	struct object object;
	struct source source;
	uint32_t id;
	struct buf out;
	struct kept *kept, *kept_last;
	size_t kept_bytes;
	uint8_t header[10];
	uint32_t have_header, have, skip;
	struct frame *partial;
};

enum stream_state { STREAM_LIVE, STREAM_ENDED };
struct stream {
	uint8_t from, to, flags, state;
	bool copies;      /* read and write: splice does not work here */
	bool decided;     /* `copies` is known */
	uint8_t want;     /* a slot's readiness: WANT_… */
	uint8_t unclear;  /* times in a row that splice did nothing, and neither side was the reason */
	bool wide;        /* it was fast, and has wide pipes since */
	uint8_t *rest;    /* read, but not yet written */
	uint32_t rest_at, rest_len;
	uint64_t moved;   /* bytes taken out of the source */
	uint64_t mark;    /* what it was at mark_ms: speed is measured from there on */
	int64_t mark_ms;
	int64_t held_at;  /* ms, CLOCK_MONOTONIC: it has ended, and its target is still open since; 0: it is not. See ends.c */
};
enum { WANT_NOTHING, WANT_INPUT, WANT_OUTPUT, WANT_TURN };

struct slot {
	struct source source; /* source.fd is what the slot owns; armed 0: not in the epoll set */
	uint8_t index;
	bool always;          /* epoll refuses it (a regular file): always ready */
};
struct told { /* a slot whose bytes go to the server: see told.c */
	uint8_t slot;
	bool ended;
	uint64_t offset; /* all before it was taken */
	struct buf kept; /* told, and not taken yet */
};
struct pending_sync { /* a child waits for its verdict */
	bool active, has_fd;
	uint32_t code, len;
	uint64_t value;
	uint8_t *data;
};
struct entry {
	struct object object;
	char *key;
	uint32_t flags, step, error;
	pid_t pid;
	int32_t wait_status;
	uint64_t exited_at_ns, start_time;
	struct slot slot[SLOTS];
	struct page *page;
	uint32_t clones_seen, n_clones;
	bool untold;          /* a change that no server has dealt with */
	bool gate_waiting;    /* at the gate: the byte has not been sent */
	bool swallow;         /* the process in slot 15 is a stage, whose successor is not known yet */
	uint32_t watches;     /* bit mask of slots */
	uint32_t last_slots;  /* at most one: what is in its file once the process has ended */
	uint8_t *last;        /* of the last time it could be read: with each watch, and at the end */
	size_t last_len;
	struct pending_sync sync;
	struct stream *streams;
	unsigned n_streams;
	struct told *told;
	unsigned n_told;
};
struct note {
	struct note *next;
	const uint8_t *value; /* behind the key */
	uint32_t len;
	char key[];
};

struct named_result { /* of a RUN that its conn and stream name; 0: none */
	uint32_t conn, stream;
	struct result result;
};
enum { NONCE = 16, PORT_TAIL = 32, PORT_RESULTS = 64 };
struct port { /* see port.c */
	struct named_result *results; /* PORT_RESULTS of them, as there are no connections that keep them; NULL: no port */
	unsigned n_results;
	bool is, greeted, more;
	bool heard; /* some of what was said since the greeting was taken: then there was a host */
	uint8_t tail[PORT_TAIL]; /* the last bytes that came: a greeting may begin there */
	size_t tail_len;
};
struct link { /* to the task server */
	struct source source;
	struct buf out;
	struct inbox in;
	bool welcomed, bye, ready;
	pid_t server_pid;
	uint64_t server_start;
	int64_t connected_at, heard_at, pinged_at; /* ms, CLOCK_MONOTONIC; 0 = never */
	int64_t owed_at; /* told something at this time, and heard nothing since */
	int64_t looked_at; /* when it was last seen not to be stopped, since the last sign of life */
	int64_t retry_at, replaced_at;
	int64_t delay, patience, calm_patience;
	uint64_t token;
	struct port port;
	uint64_t sent, read_by_server; /* bytes on this connection; the second is what BYE told */
};

struct monitor {
	int epoll;
	struct source listener, signals;
	struct link link;
	struct conn *conns;
	struct entry *entries, *entries_last;
	struct note *notes;
	size_t notes_bytes;
	struct object *graves;
	unsigned busy;        /* kept streams that are not quiet */
	int64_t exited_at;    /* ms, CLOCK_MONOTONIC: when a process last ended */
	uint32_t last_conn;
	bool unsent;          /* a frame, watch or sync that waits for a server */
	pid_t stuck;          /* an entry's dead process that proc_orphans left to its pidfd's event in the last turn */
	bool orphans;         /* SIGCHLD came: look for them at the end of the turn */
	bool again;           /* there is more to do: no sleep before the next turn */
	bool exiting;
	int64_t exit_at, accept_at;
	int64_t ends_at;      /* when to look at held ends again; 0: there are none */
	uint8_t *scratch;
	bool scratch_used;
	struct place place;
	const char *identity;
};
enum { SCRATCH = 64 << 10 };

/* loop.c */
int64_t now_ms(void);
void source_arm(struct monitor *m, struct source *source, uint32_t events); /* 0: out of the set. -> source->armed */
bool source_try_arm(struct monitor *m, struct source *source, uint32_t events); /* false: epoll refuses this kind of file */
void bury(struct monitor *m, struct object *object);
void loop_run(struct monitor *m);

/* conns.c */
void conns_accept(struct monitor *m, struct source *source, uint32_t events);
void conns_flush(struct monitor *m);
void conns_replay(struct monitor *m);
void conns_link_lost(struct monitor *m, bool bye);
bool conns_pending(const struct monitor *m);
int conn_send(struct monitor *m, uint32_t id, const uint8_t *frames, size_t len); /* -EPROTO: not whole frames */
struct conn *conn_new(struct monitor *m, int fd);
bool conn_feed(struct monitor *m, struct conn *c, const uint8_t *bytes, size_t n); /* false: no memory */
void conn_close(struct monitor *m, struct conn *c);
struct kept *kept_find(struct monitor *m, uint32_t conn, uint32_t stream);

/* link.c */
void link_turn(struct monitor *m);    /* timers, reaching, flushing: at the end of each turn */
int64_t link_deadline(const struct monitor *m);
int link_message(void *monitor, struct message_in *message);
void link_lost(struct monitor *m);
bool link_up(const struct monitor *m);
void link_tell_all(struct monitor *m);
void link_reset(struct monitor *m);   /* of a port: nobody is there until the next greeting */

/* port.c */
void port_open(struct monitor *m, int fd);
void port_turn(struct monitor *m);
bool port_write(struct monitor *m);

/* ends.c */
bool end_held(struct monitor *m, const struct entry *e, struct stream *s); /* its target has to stay open for now */
void ends_turn(struct monitor *m);

/* told.c */
bool told_wants(const struct entry *e, unsigned slot);
void told_start(struct monitor *m, struct entry *e);
void told_ready(struct monitor *m, struct entry *e, unsigned slot);
void told_tell(struct monitor *m, struct entry *e);
int told_taken(struct monitor *m, struct message_in *message);
int64_t told_moved(const struct entry *e, unsigned slot);
void told_free(struct entry *e);

/* entries.c */
struct entry *entry_new(struct monitor *m, struct view key, unsigned n_streams);
struct entry *entry_find(const struct monitor *m, struct view key);
struct entry *entry_find_pid(const struct monitor *m, pid_t pid);
void entry_remove(struct monitor *m, struct entry *e);
void proc_tell(struct monitor *m, struct entry *e);
void proc_changed(struct monitor *m, struct entry *e);
void proc_tell_sync(struct monitor *m, struct entry *e);
void proc_link_lost(struct monitor *m, bool bye);
void proc_link_ready(struct monitor *m);

/* sync.c */
int sync_open_successor(const struct monitor *m, pid_t pid);
void sync_follow_clones(struct monitor *m, struct entry *e);
void sync_ready(struct monitor *m, struct entry *e);
void sync_ended(struct monitor *m, struct entry *e);
void sync_open_gate(struct entry *e);

/* proc.c */
void proc_orphans(struct monitor *m);
struct entry *entry_of(struct slot *slot);
void slot_ready(struct monitor *m, struct source *source, uint32_t events);

/* requests.c */
int proc_spawn(struct monitor *m, struct message_in *message);
int proc_run(struct monitor *m, struct message_in *message);
int proc_gate(struct monitor *m, struct message_in *message);
int proc_sync_reply(struct monitor *m, struct message_in *message);
int proc_forget(struct monitor *m, struct message_in *message);

/* slots.c: slots and streams of an entry */
void slot_put(struct monitor *m, struct entry *e, unsigned index, int fd);
void slot_arm(struct monitor *m, struct entry *e, unsigned index); /* for what its users want now */
void slots_start(struct monitor *m, struct entry *e);   /* arm what streams and watches want */
void slots_close(struct monitor *m, struct entry *e);
void streams_ready(struct monitor *m, struct entry *e, unsigned slot, uint32_t events);
void streams_turn(struct monitor *m);                   /* those that need no event */
void streams_exited(struct monitor *m, struct entry *e);
bool streams_drained(const struct entry *e);
bool is_fifo(int fd);
int64_t streams_moved(const struct entry *e, unsigned slot); /* -EBADF: no stream begins there */

#endif
