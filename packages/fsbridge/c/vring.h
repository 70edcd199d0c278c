/* A split virtqueue, seen from the driver's side. Source: virtio 1.2, section 2.7; little endian machines only, as vhost-user is here. */
#ifndef VRING_H
#define VRING_H
#include "region.h"

struct vring_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};
struct vring_avail {
	uint16_t flags, idx, ring[RING_SIZE];
};
struct vring_used {
	uint16_t flags, idx;
	struct {
		uint32_t id, len;
	} ring[RING_SIZE];
};
enum { VRING_AVAIL_AT = 4096, VRING_USED_AT = 2 * 4096 };

struct vring {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t put, taken; /* how many of each, ever */
	int kick;            /* eventfd */
};

/* A ring in RING_BYTES of zeros. */
void vring_init(struct vring *q, uint8_t *bytes);
/* Offer slot `index`: `out` bytes at address `at`, and, unless 0, room for `in` bytes at `answer`. */
void vring_put(struct vring *q, uint16_t index, uint64_t at, uint32_t out, uint64_t answer, uint32_t in);
/* The daemon must be woken to see what was put. */
bool vring_needs_kick(const struct vring *q);
/* One slot that the daemon has done with, and how many bytes it says it wrote. 1, 0 if there is none, or -1: the ring is nonsense. */
int vring_take(struct vring *q, uint16_t *index, uint32_t *len);

#endif
