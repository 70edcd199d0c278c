/* A growing byte buffer with a read end, and a bounded reader of hostile bytes. */
#ifndef BUF_H
#define BUF_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *bytes;
	size_t start, end, room; /* content is bytes[start, end) */
	bool broken;             /* no memory: the content is incomplete */
};
static inline size_t buf_len(const struct buf *b)
{
	return b->end - b->start;
}
void buf_free(struct buf *b);
void buf_take(struct buf *b, size_t n); /* n bytes at the front are done with; gives memory back when empty */
void buf_add(struct buf *b, const void *bytes, size_t n);
void buf_u8(struct buf *b, uint8_t v);
void buf_u16(struct buf *b, uint16_t v);
void buf_u32(struct buf *b, uint32_t v);
void buf_u64(struct buf *b, uint64_t v);
void buf_str(struct buf *b, const char *s, size_t len);
void buf_blob(struct buf *b, const void *bytes, size_t len);

struct view {
	const uint8_t *bytes;
	size_t len;
};
struct reader {
	const uint8_t *at;
	size_t left;
	bool bad; /* something did not fit: all that follows reads as zero */
};
uint8_t read_u8(struct reader *r);
uint16_t read_u16(struct reader *r);
uint32_t read_u32(struct reader *r);
uint64_t read_u64(struct reader *r);
struct view read_bytes(struct reader *r, size_t n);
struct view read_str(struct reader *r);  /* a NUL inside is bad */
struct view read_blob(struct reader *r);
bool reader_done(const struct reader *r); /* good, and nothing left */

#endif
