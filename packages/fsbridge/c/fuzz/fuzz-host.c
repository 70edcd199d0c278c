/*
 * Any bytes from a guest, and a daemon that answers well or badly, in any order. The input: u16 n, n bytes of the guest, then steps of 8
 * bytes: what, slot, u16 limit, u32 length.
 */
#include "host.h"
#include "stubs.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static uint8_t memory[REGION_BYTES];
static struct host host;

struct step {
	uint8_t what, which;
	uint16_t limit;
	uint32_t length;
};

/* Every slot is in one place, and its request and answer lie inside it. */
static void check(const struct host *h)
{
	size_t free_slots = 0, answered = 0, states[4] = { 0 };

	for (size_t i = 0; i < SLOTS; i++) {
		const struct slot *s = &h->region.slots[i];
		size_t room = i < SMALL_SLOTS ? SMALL_BYTES : LARGE_BYTES;

		states[s->state]++;
		if (s->state != SLOT_FREE && (s->request_len > s->answer_at || s->answer_at + s->answer_room > room))
			abort();
		if (s->state == SLOT_ANSWERED && s->answer.len > sizeof s->answer && s->answer.len > s->answer_room)
			abort();
	}
	for (uint16_t i = h->region.free_small; i != NO_SLOT; i = h->region.slots[i].next)
		free_slots++;
	for (uint16_t i = h->region.free_large; i != NO_SLOT; i = h->region.slots[i].next)
		free_slots++;
	for (uint16_t i = h->out_first; i != NO_SLOT; i = h->region.slots[i].next)
		answered++;
	if (states[SLOT_FREE] != free_slots || states[SLOT_ANSWERED] != answered || states[SLOT_FILLING] != (h->filling ? 1 : 0))
		abort();
	if (h->filling && h->filled >= h->filling->request_len)
		abort();
	if (h->stage_start > h->stage_end || h->stage_end > STAGE_BYTES)
		abort();
}

static void use(struct vring *q, uint32_t id, uint32_t len)
{
	q->used->ring[q->used->idx % RING_SIZE].id = id;
	q->used->ring[q->used->idx % RING_SIZE].len = len;
	q->used->idx++;
}

/* As virtiofsd would, but for the lengths. `odd`: something in the header is not as it should be. */
static void answer(struct host *h, struct vring *q, const struct step *step, int odd)
{
	uint16_t first = q->avail->ring[(uint16_t)(q->used->idx) % RING_SIZE];
	struct slot *s = &h->region.slots[first / 2];
	struct fuse_out_header out = { step->length, 0, s->unique };

	if (q->used->idx == q->avail->idx)
		return;
	if (!odd && (step->length < sizeof out || step->length > s->answer_room))
		out.len = sizeof out;
	if (odd)
		out.error = (int32_t)step->limit - 600;
	memcpy(h->region.bytes + s->at + s->answer_at, &out, sizeof out);
	use(q, first, out.len);
}

static int take(struct host *h, const struct step *step)
{
	struct vring *q = &h->queues[step->which & 1];

	switch (step->what % 8) {
	case 0:
		stub.in_limit = step->limit;
		return host_receive(h);
	case 1:
	case 2:
		answer(h, q, step, 0);
		return 0;
	case 3:
		answer(h, q, step, 1);
		return 0;
	case 4:
		use(q, step->which, step->length);
		return 0;
	case 5:
		return host_collect(h);
	case 6:
		stub.out_limit = step->limit;
		return host_send(h);
	default:
		return host_parse(h);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct verdict v = { 0 };
	uint16_t n;

	if (len < sizeof n)
		return 0;
	memcpy(&n, bytes, sizeof n);
	bytes += sizeof n;
	len -= sizeof n;
	stub = (struct stub) { .in = bytes, .in_len = n < len ? n : len };
	bytes += stub.in_len;
	len -= stub.in_len;
	memset(memory, 0, SLOTS_AT);
	memset(&host, 0, sizeof host);
	host_init(&host, memory, &v);
	for (; len >= sizeof(struct step); bytes += sizeof(struct step), len -= sizeof(struct step)) {
		struct step step;
		int result;

		memcpy(&step, bytes, sizeof step);
		result = take(&host, &step);
		if (result < 0) {
			if (!v.text)
				abort();
			return 0;
		}
		check(&host);
	}
	return 0;
}
