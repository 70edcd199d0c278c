/* The memory that is shared with the file daemon: two rings, and slots that hold a request and the room for its answer. */
#ifndef REGION_H
#define REGION_H
#include "fuse.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	RING_SIZE = 256, /* descriptors; slot n has 2n and 2n + 1 */
	RING_BYTES = 3 * 4096,
	QUEUES = 2,
	SLOTS_AT = QUEUES * RING_BYTES,
	SMALL_SLOTS = 96,
	SMALL_BYTES = 16 << 10,
	LARGE_SLOTS = 12, /* what the kernel has in flight in the background */
	LARGE_BYTES = FUSE_MESSAGE_MAX + (8 << 10),
	SLOTS = SMALL_SLOTS + LARGE_SLOTS,
	REGION_BYTES = SLOTS_AT + SMALL_SLOTS * SMALL_BYTES + LARGE_SLOTS * LARGE_BYTES,
	NO_SLOT = 0xffff,
};
_Static_assert(2 * SLOTS <= RING_SIZE, "two descriptors a slot");

enum slot_state { SLOT_FREE, SLOT_FILLING, SLOT_ASKED, SLOT_ANSWERED };

/* What we know of a slot ourselves: the daemon can write to the shared memory at any time. */
struct slot {
	uint64_t unique;
	size_t at; /* in the region */
	uint32_t request_len, answer_at, answer_room;
	uint32_t opcode;
	uint16_t next; /* free or answered: the next one */
	uint8_t state, queue;
	struct fuse_out_header answer; /* the copy that is sent */
};

struct region {
	uint8_t *bytes;
	int fd;
	uint16_t free_small, free_large;
	uint16_t large_busy;
	bool used_large; /* pages of large slots may be resident */
	struct slot slots[SLOTS];
};

/* Slots in `bytes`, all free. */
void region_init(struct region *r, uint8_t *bytes);
/* A slot that takes `need` bytes; NULL if none is free. The smallest kind that fits. */
struct slot *region_take(struct region *r, size_t need);
void region_give(struct region *r, struct slot *s);
static inline uint16_t slot_index(const struct region *r, const struct slot *s)
{
	return (uint16_t)(s - r->slots);
}

#endif
