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
		if (s->state != SLOT_FREE && (s->request_len < sizeof(struct fuse_in_header) || s->request_len > FUSE_MESSAGE_MAX))
			abort();
		if (s->state == SLOT_ANSWERED && s->answer.len < sizeof s->answer)
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

/* As virtiofsd would, but for the length. `odd`: with what the bits of `which` say is not as it should be. */
static void answer(struct host *h, struct vring *q, const struct step *step, int odd)
{
	uint16_t first = q->avail->ring[(uint16_t)(q->used->idx) % RING_SIZE];
	struct slot *s = &h->region.slots[first / 2];
	struct fuse_out_header out = { step->length, 0, s->unique };
	int how = odd ? step->which >> 1 : 0;

	if (q->used->idx == q->avail->idx)
		return;
	if (!(how & 1) && (step->length < sizeof out || step->length > s->answer_room))
		out.len = sizeof out;
	if (how & 2)
		out.error = (int32_t)step->limit - 600;
	if (how & 4)
		out.unique++;
	memcpy(h->region.bytes + s->at + s->answer_at, &out, sizeof out);
	use(q, first, how & 8 ? step->limit : out.len);
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
		use(q, step->which >> 1 | (uint32_t)step->limit << 7, step->length);
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

static void run(struct host *h, const uint8_t *bytes, size_t len)
{
	struct verdict v = { 0 };

	host_init(h, memory, &v);
	for (; len >= sizeof(struct step); bytes += sizeof(struct step), len -= sizeof(struct step)) {
		struct step step;

		memcpy(&step, bytes, sizeof step);
		if (take(h, &step) < 0) {
			if (!v.text)
				abort();
			return;
		}
		check(h);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct host *h;
	uint16_t n;

	if (len < sizeof n)
		return 0;
	memcpy(&n, bytes, sizeof n);
	bytes += sizeof n;
	len -= sizeof n;
	stub = (struct stub) { .in = bytes, .in_len = n < len ? n : len };
	memset(memory, 0, SLOTS_AT);
	h = calloc(1, sizeof *h); /* its own allocation: what is read behind its end is seen */
	if (!h)
		abort();
	run(h, bytes + stub.in_len, len - stub.in_len);
	free(h);
	return 0;
}
