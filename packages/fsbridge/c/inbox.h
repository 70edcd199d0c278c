/* The host's bytes become whole FUSE messages again. */
#ifndef INBOX_H
#define INBOX_H
#include "bridge.h"
#include "fuse.h"

struct inbox {
	uint8_t *bytes; /* FUSE_MESSAGE_MAX */
	size_t start, end;
};

/* Where to read to, and how much there is room for: never 0. */
uint8_t *inbox_room(struct inbox *b, size_t *n);
/* The next whole message. 1, 0 if bytes are missing, or -1 with the verdict: its length is impossible. */
int inbox_next(struct inbox *b, struct iovec *message, struct verdict *v);

#endif
