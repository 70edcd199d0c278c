/* Messages between monitor and task server: PROTOCOL.md, section 3. */
#ifndef WIRE_H
#define WIRE_H
#include "buf.h"

enum message {
	MSG_START = 1, MSG_ANSWER, MSG_HELLO, MSG_NOTE, MSG_PROC, MSG_READY, MSG_WELCOME, MSG_FRAME, MSG_SEND, MSG_CONN_CLOSED, MSG_SPAWN,
	MSG_RUN, MSG_RESULT, MSG_GATE, MSG_SYNC, MSG_SYNC_REPLY, MSG_FORGET, MSG_WATCH, MSG_PING, MSG_PONG, MSG_EXIT, MSG_BYE,
	MSG_OUTPUT, MSG_TAKEN
};
enum { MSG_HEADER = 8, MSG_MAX = 8 << 20, PROTOCOL_VERSION = 1 };
enum { HELLO_LAST = 1 };
enum { FRAME_REPLAYED = 1, FRAME_OVERSIZED = 2 };
enum { PROC_SPAWNED = 1, PROC_GATE = 2, PROC_OPENED = 4, PROC_EXECED = 8, PROC_FAILED = 16, PROC_EXITED = 32, PROC_DRAINED = 64, PROC_STALE = 128 };
enum { WATCH_TOLD = 0x80, WATCH_LAST = 0x40, WATCH_SLOT = 0x3f };
enum { STREAM_KEEP_TARGET = 1, STREAM_UNCOUNTED = 2 };

/* message_begin returns what message_end wants: where the message starts. */
size_t message_begin(struct buf *b, enum message type, uint16_t flags);
void message_end(struct buf *b, size_t mark);

struct message_in {
	uint16_t type, flags;
	struct reader body;
};

/* Reassembles messages from chunks cut anywhere. */
struct inbox {
	uint8_t header[MSG_HEADER];
	uint32_t have_header, len, have;
	uint8_t *body; /* only for a message that spans chunks */
};
/* Feed one chunk; `take` gets each whole message and answers 0, or -errno to stop. -EPROTO: too long. */
int inbox_feed(struct inbox *in, const uint8_t *bytes, size_t n, int (*take)(void *owner, struct message_in *message), void *owner);
void inbox_free(struct inbox *in);

#endif
