#include "vring.h"

enum { DESC_NEXT = 1, DESC_WRITE = 2, USED_NO_NOTIFY = 1 };
_Static_assert(sizeof(struct vring_desc) * RING_SIZE <= VRING_AVAIL_AT && sizeof(struct vring_avail) <= 4096 &&
	sizeof(struct vring_used) <= 4096, "a page for each part");

void vring_init(struct vring *q, uint8_t *bytes)
{
	*q = (struct vring) { .desc = (struct vring_desc *)(void *)bytes,
		.avail = (struct vring_avail *)(void *)(bytes + VRING_AVAIL_AT),
		.used = (struct vring_used *)(void *)(bytes + VRING_USED_AT),
		.kick = -1 };
}

void vring_put(struct vring *q, uint16_t index, uint64_t at, uint32_t out, uint64_t answer, uint32_t in)
{
	uint16_t first = (uint16_t)(2 * index), second = (uint16_t)(first + 1);

	q->desc[first] = (struct vring_desc) { at, out, in ? DESC_NEXT : 0, in ? second : 0 };
	if (in)
		q->desc[second] = (struct vring_desc) { answer, in, DESC_WRITE, 0 };
	q->avail->ring[q->put % RING_SIZE] = first;
	q->put++;
	__atomic_store_n(&q->avail->idx, q->put, __ATOMIC_RELEASE);
}

bool vring_needs_kick(const struct vring *q)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* what was put is visible before the flag is looked at */
	return !(__atomic_load_n(&q->used->flags, __ATOMIC_RELAXED) & USED_NO_NOTIFY);
}

int vring_take(struct vring *q, uint16_t *index, uint32_t *len)
{
	uint16_t waiting = (uint16_t)(__atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE) - q->taken);
	uint32_t id;

	if (!waiting)
		return 0;
	if (waiting > (uint16_t)(q->put - q->taken))
		return -1; /* more than it was given */
	id = __atomic_load_n(&q->used->ring[q->taken % RING_SIZE].id, __ATOMIC_RELAXED);
	*len = __atomic_load_n(&q->used->ring[q->taken % RING_SIZE].len, __ATOMIC_RELAXED);
	if (id % 2 || id / 2 >= SLOTS)
		return -1;
	*index = (uint16_t)(id / 2);
	q->taken++;
	return 1;
}
