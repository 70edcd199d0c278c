/* The guest's bytes to requests. Nothing here trusts a length. */
#include "host.h"
#include <errno.h>
#include <string.h>

enum { PEEK = sizeof(struct fuse_in_header) + 24, DEFAULT_ANSWER = 4096 + 256 };

void host_init(struct host *h, uint8_t *bytes, struct verdict *v)
{
	h->verdict = v;
	h->out_first = h->out_last = NO_SLOT;
	region_init(&h->region, bytes);
	for (size_t i = 0; i < QUEUES; i++)
		vring_init(&h->queues[i], bytes + i * RING_BYTES);
}

static uint32_t number_at(const uint8_t *request, size_t at)
{
	uint32_t n;

	memcpy(&n, request + at, sizeof n);
	return n;
}

/*
 * How much room the answer needs. Where the kernel says how much it takes, exactly that: virtiofsd's READ fills all the room there is. All
 * else is an inode's attributes, a few numbers, or a link's target of at most a page. Too little is no danger: the answer is an error then.
 */
static uint32_t answer_room(const struct fuse_in_header *in, const uint8_t *request)
{
	uint32_t size = DEFAULT_ANSWER;

	switch (in->opcode) {
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
		return 0;
	case FUSE_READ:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS: /* fh, offset, size */
		if (in->len >= PEEK)
			size = number_at(request, sizeof *in + 16);
		break;
	case FUSE_GETXATTR:
	case FUSE_LISTXATTR: /* size; 0 asks how much there is */
		if (in->len >= sizeof *in + 4)
			size = number_at(request, sizeof *in);
		if (size < DEFAULT_ANSWER)
			size = DEFAULT_ANSWER;
	}
	if (size > FUSE_DATA_MAX)
		size = FUSE_DATA_MAX;
	return size + (uint32_t)sizeof(struct fuse_out_header);
}

/* A request has begun in the stage. 1: it has a slot; 0: more bytes, or a free slot, are needed first; -1 with the verdict. */
static int begin(struct host *h)
{
	size_t have = h->stage_end - h->stage_start;
	const uint8_t *request = h->stage + h->stage_start;
	struct fuse_in_header in;
	uint32_t room, answer_at;
	struct slot *s;

	if (have < sizeof in)
		return 0;
	memcpy(&in, request, sizeof in);
	if (in.len < sizeof in)
		return refuse(h->verdict, BAD_GUEST, "guest: a request is shorter than its header", 0);
	if (in.len > FUSE_MESSAGE_MAX)
		return refuse(h->verdict, BAD_GUEST, "guest: a request is longer than 1052672 bytes", 0);
	if (have < in.len && have < PEEK)
		return 0;
	room = answer_room(&in, request);
	answer_at = (in.len + 15) & ~15u;
	if (answer_at + room > LARGE_BYTES)
		return refuse(h->verdict, BAD_GUEST, "guest: a long request wants a long answer", 0);
	s = region_take(&h->region, answer_at + room);
	h->starved = !s;
	if (!s)
		return 0;
	s->unique = in.unique;
	s->opcode = in.opcode;
	s->request_len = in.len;
	s->answer_at = answer_at;
	s->answer_room = room;
	h->filling = s;
	h->filled = 0;
	return 1;
}

static void ask(struct host *h, struct slot *s)
{
	struct vring *q;

	if (s->opcode == FUSE_INTERRUPT) { /* virtiofsd cannot; after ENOSYS the kernel asks no more */
		host_answer(h, s, -ENOSYS);
		return;
	}
	s->queue = s->answer_room ? REQUESTS : HIPRIO;
	s->state = SLOT_ASKED;
	q = &h->queues[s->queue];
	vring_put(q, slot_index(&h->region, s), s->at, s->request_len, s->at + s->answer_at, s->answer_room);
}

static void finish(struct host *h)
{
	struct slot *s = h->filling;

	if (h->filled < s->request_len)
		return;
	h->filling = NULL;
	ask(h, s);
}

int host_parse(struct host *h)
{
	for (;;) {
		size_t have, want;
		int begun = h->filling ? 1 : begin(h);

		if (begun <= 0)
			return begun;
		have = h->stage_end - h->stage_start;
		want = h->filling->request_len - h->filled;
		if (want > have)
			want = have;
		memcpy(h->region.bytes + h->filling->at + h->filled, h->stage + h->stage_start, want);
		h->stage_start += want;
		h->filled += (uint32_t)want;
		finish(h);
		if (h->stage_start == h->stage_end)
			h->stage_start = h->stage_end = 0;
		if (h->filling)
			return 0;
	}
}

/* Into the slot where the rest of a long request is missing, else into the stage. */
static ssize_t read_guest(struct host *h)
{
	size_t kept = h->stage_end - h->stage_start;
	ssize_t n;

	if (h->filling) { /* then the stage is empty */
		n = io_read(h->guest, h->region.bytes + h->filling->at + h->filled, h->filling->request_len - h->filled);
		if (n > 0)
			h->filled += (uint32_t)n;
		return n;
	}
	memmove(h->stage, h->stage + h->stage_start, kept);
	h->stage_start = 0;
	h->stage_end = kept;
	n = io_read(h->guest, h->stage + kept, STAGE_BYTES - kept);
	if (n > 0)
		h->stage_end += (size_t)n;
	return n;
}

int host_receive(struct host *h)
{
	ssize_t n;

	if (h->starved && host_parse(h) < 0)
		return -1;
	if (h->starved)
		return 0;
	n = read_guest(h);
	if (n == -EAGAIN)
		return 0;
	if (n < 0 && n != -ECONNRESET)
		return refuse(h->verdict, FAILED, "guest: read", (int)-n);
	if (n <= 0)
		return refuse(h->verdict, ENDED, "guest: closed", 0);
	if (h->filling) {
		finish(h);
		return 0;
	}
	return host_parse(h);
}
