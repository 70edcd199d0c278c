#include "inbox.h"
#include <string.h>

/* Only an incomplete message is left here: it begins at the front, where a whole one fits. */
uint8_t *inbox_room(struct inbox *b, size_t *n)
{
	size_t kept = b->end - b->start;

	if (b->start)
		memmove(b->bytes, b->bytes + b->start, kept);
	b->start = 0;
	b->end = kept;
	*n = FUSE_MESSAGE_MAX - kept;
	return b->bytes + kept;
}

int inbox_next(struct inbox *b, struct iovec *message, struct verdict *v)
{
	size_t have = b->end - b->start;
	struct fuse_out_header out;

	if (have < sizeof out)
		return 0;
	memcpy(&out, b->bytes + b->start, sizeof out);
	if (out.len < sizeof out)
		return refuse(v, BAD_HOST, "host: an answer is shorter than its header", 0);
	if (out.len > FUSE_MESSAGE_MAX)
		return refuse(v, BAD_HOST, "host: an answer is longer than 1052672 bytes", 0);
	if (have < out.len)
		return 0;
	*message = (struct iovec) { b->bytes + b->start, out.len };
	b->start += out.len;
	return 1;
}
