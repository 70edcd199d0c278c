#include "wire.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

size_t message_begin(struct buf *b, enum message type, uint16_t flags)
{
	size_t mark = buf_len(b);

	buf_u32(b, 0);
	buf_u16(b, (uint16_t)type);
	buf_u16(b, flags);
	return mark;
}

void message_end(struct buf *b, size_t mark)
{
	size_t len = buf_len(b) - mark - MSG_HEADER;

	if (b->broken)
		return;
	for (size_t i = 0; i < 4; i++)
		b->bytes[b->start + mark + i] = (uint8_t)(len >> (8 * i));
}

void inbox_free(struct inbox *in)
{
	free(in->body);
	*in = (struct inbox) { 0 };
}

static uint32_t number(const uint8_t *bytes, unsigned n)
{
	uint32_t v = 0;

	while (n--)
		v = v << 8 | bytes[n];
	return v;
}

static int deliver(struct inbox *in, const uint8_t *body, int (*take)(void *, struct message_in *), void *owner)
{
	struct message_in message = { (uint16_t)number(in->header + 4, 2), (uint16_t)number(in->header + 6, 2), { body, in->len, false } };
	uint8_t *owned = in->body;
	int r;

	*in = (struct inbox) { 0 };
	r = take(owner, &message);
	free(owned);
	return r;
}

/* Take header bytes from the chunk; the count taken. */
static size_t feed_header(struct inbox *in, const uint8_t *bytes, size_t n)
{
	size_t want = MSG_HEADER - in->have_header;

	if (want > n)
		want = n;
	memcpy(in->header + in->have_header, bytes, want);
	in->have_header += (uint32_t)want;
	if (in->have_header == MSG_HEADER)
		in->len = number(in->header, 4);
	return want;
}

int inbox_feed(struct inbox *in, const uint8_t *bytes, size_t n, int (*take)(void *, struct message_in *), void *owner)
{
	int r = 0;

	while (!r && (n || (in->have_header == MSG_HEADER && !in->len))) {
		size_t part;

		if (in->have_header < MSG_HEADER) {
			part = feed_header(in, bytes, n);
			bytes += part;
			n -= part;
			if (in->have_header < MSG_HEADER)
				break;
			if (in->len > MSG_MAX)
				return -EPROTO;
		}
		part = in->len - in->have < n ? in->len - in->have : n;
		if (!in->body && part == in->len) { /* all of it is in this chunk: no copy */
			r = deliver(in, bytes, take, owner);
		} else {
			if (!in->body)
				in->body = malloc(in->len);
			if (!in->body)
				return -ENOMEM;
			if (part)
				memcpy(in->body + in->have, bytes, part);
			in->have += (uint32_t)part;
			if (in->have == in->len)
				r = deliver(in, in->body, take, owner);
		}
		bytes += part;
		n -= part;
		if (!n && in->have_header < MSG_HEADER)
			break;
		if (!n && in->have < in->len)
			break;
	}
	return r;
}
