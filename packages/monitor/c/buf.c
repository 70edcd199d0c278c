#include "buf.h"
#include <stdlib.h>
#include <string.h>

void buf_free(struct buf *b)
{
	free(b->bytes);
	*b = (struct buf) { 0 };
}

void buf_take(struct buf *b, size_t n)
{
	bool broken = b->broken;

	b->start += n;
	if (b->start < b->end)
		return;
	if (b->room > 4096)
		buf_free(b);
	b->start = b->end = 0;
	b->broken = broken;
}

static bool grow(struct buf *b, size_t n)
{
	size_t len = buf_len(b), room = b->room ? b->room : 256;
	uint8_t *bytes;

	if (n > SIZE_MAX / 4 - len)
		return false;
	if (b->start >= len && b->room - len >= n) { /* at least half is used up: moving is cheap */
		memmove(b->bytes, b->bytes + b->start, len);
		b->start = 0;
		b->end = len;
		return true;
	}
	while (room < len + n)
		room *= 2;
	bytes = malloc(room);
	if (!bytes)
		return false;
	if (len)
		memcpy(bytes, b->bytes + b->start, len);
	free(b->bytes);
	b->bytes = bytes;
	b->start = 0;
	b->end = len;
	b->room = room;
	return true;
}

void buf_add(struct buf *b, const void *bytes, size_t n)
{
	if (b->broken || !n)
		return;
	if (b->room - b->end < n && !grow(b, n)) {
		b->broken = true;
		return;
	}
	memcpy(b->bytes + b->end, bytes, n);
	b->end += n;
}

static void add_number(struct buf *b, uint64_t v, size_t n)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(v >> (8 * i));
	buf_add(b, bytes, n);
}

void buf_u8(struct buf *b, uint8_t v)
{
	add_number(b, v, 1);
}

void buf_u16(struct buf *b, uint16_t v)
{
	add_number(b, v, 2);
}

void buf_u32(struct buf *b, uint32_t v)
{
	add_number(b, v, 4);
}

void buf_u64(struct buf *b, uint64_t v)
{
	add_number(b, v, 8);
}

void buf_str(struct buf *b, const char *s, size_t len)
{
	if (len > UINT16_MAX)
		b->broken = true;
	buf_u16(b, (uint16_t)len);
	buf_add(b, s, len);
}

void buf_blob(struct buf *b, const void *bytes, size_t len)
{
	if (len > UINT32_MAX)
		b->broken = true;
	buf_u32(b, (uint32_t)len);
	buf_add(b, bytes, len);
}

struct view read_bytes(struct reader *r, size_t n)
{
	struct view v = { r->at, n };

	if (r->bad || n > r->left) {
		r->bad = true;
		return (struct view) { 0 };
	}
	r->at += n;
	r->left -= n;
	return v;
}

static uint64_t read_number(struct reader *r, size_t n)
{
	struct view v = read_bytes(r, n);
	uint64_t value = 0;

	for (size_t i = v.len; i-- > 0;)
		value = value << 8 | v.bytes[i];
	return value;
}

uint8_t read_u8(struct reader *r)
{
	return (uint8_t)read_number(r, 1);
}

uint16_t read_u16(struct reader *r)
{
	return (uint16_t)read_number(r, 2);
}

uint32_t read_u32(struct reader *r)
{
	return (uint32_t)read_number(r, 4);
}

uint64_t read_u64(struct reader *r)
{
	return read_number(r, 8);
}

struct view read_str(struct reader *r)
{
	struct view v = read_bytes(r, read_u16(r));

	if (v.len && memchr(v.bytes, 0, v.len))
		r->bad = true;
	return v;
}

struct view read_blob(struct reader *r)
{
	return read_bytes(r, read_u32(r));
}

bool reader_done(const struct reader *r)
{
	return !r->bad && !r->left;
}
