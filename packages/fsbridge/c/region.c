#include "region.h"

static bool is_large(const struct region *r, const struct slot *s)
{
	return slot_index(r, s) >= SMALL_SLOTS;
}

void region_give(struct region *r, struct slot *s)
{
	uint16_t *first = is_large(r, s) ? &r->free_large : &r->free_small;

	if (is_large(r, s) && s->state != SLOT_FREE)
		r->large_busy--;
	s->state = SLOT_FREE;
	s->next = *first; /* last in, first out: few pages are touched when few requests are in flight */
	*first = slot_index(r, s);
}

struct slot *region_take(struct region *r, size_t need)
{
	uint16_t *first = need <= SMALL_BYTES ? &r->free_small : &r->free_large;
	struct slot *s;

	if (need > LARGE_BYTES || *first == NO_SLOT)
		return NULL;
	s = &r->slots[*first];
	*first = s->next;
	s->next = NO_SLOT;
	s->state = SLOT_FILLING;
	if (is_large(r, s)) {
		r->large_busy++;
		r->used_large = true;
	}
	return s;
}

void region_init(struct region *r, uint8_t *bytes)
{
	*r = (struct region) { .bytes = bytes, .fd = -1, .free_small = NO_SLOT, .free_large = NO_SLOT };
	for (size_t i = SLOTS; i-- > 0;) {
		size_t large = i < SMALL_SLOTS ? 0 : i - SMALL_SLOTS, small = i - large;

		r->slots[i].at = SLOTS_AT + small * SMALL_BYTES + large * LARGE_BYTES;
		region_give(r, &r->slots[i]);
	}
}
