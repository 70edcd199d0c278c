/* The daemon's answers to the guest. They are sent from where the daemon has put them; only the header is our own copy. */
#include "host.h"
#include <errno.h>
#include <string.h>

enum { BATCH = 32 };

static void line_up(struct host *h, struct slot *s)
{
	uint16_t index = slot_index(&h->region, s);

	s->state = SLOT_ANSWERED;
	s->next = NO_SLOT;
	if (h->out_first == NO_SLOT)
		h->out_first = index;
	else
		h->region.slots[h->out_last].next = index;
	h->out_last = index;
}

void host_answer(struct host *h, struct slot *s, int32_t error)
{
	s->answer = (struct fuse_out_header) { sizeof s->answer, error, s->unique };
	line_up(h, s);
}

/* `len` is what the daemon says it wrote. */
static int take_answer(struct host *h, struct slot *s, uint32_t len)
{
	struct fuse_out_header out;

	if (!len) { /* it had no room for its answer, or did not want to say anything: whoever asked must not wait for ever */
		host_answer(h, s, -EIO);
		return 0;
	}
	memcpy(&out, h->region.bytes + s->at + s->answer_at, sizeof out);
	if (len < sizeof out || len > s->answer_room || out.len < sizeof out || out.len > len)
		return refuse(h->verdict, BAD_DAEMON, "file daemon: an answer's length does not fit", 0);
	if (out.unique != s->unique || out.error > 0 || out.error < -511)
		return refuse(h->verdict, BAD_DAEMON, "file daemon: an answer is not one to its request", 0);
	s->answer = out;
	host_cache(h, s);
	line_up(h, s);
	return 0;
}

static int collect(struct host *h, uint8_t queue)
{
	uint16_t index;
	uint32_t len;
	int got;

	while ((got = vring_take(&h->queues[queue], &index, &len)) > 0) {
		struct slot *s = &h->region.slots[index];

		if (s->state != SLOT_ASKED || s->queue != queue)
			return refuse(h->verdict, BAD_DAEMON, "file daemon: answers what it was not asked", 0);
		if (!s->answer_room)
			region_give(&h->region, s);
		else if (take_answer(h, s, len) < 0)
			return -1;
	}
	return got < 0 ? refuse(h->verdict, BAD_DAEMON, "file daemon: its queue is nonsense", 0) : 0;
}

int host_collect(struct host *h)
{
	return collect(h, HIPRIO) < 0 ? -1 : collect(h, REQUESTS);
}

static int gather(struct host *h, struct iovec *parts)
{
	size_t skip = h->out_sent;
	int n = 0;

	for (uint16_t i = h->out_first; i != NO_SLOT && n < 2 * BATCH; i = h->region.slots[i].next) {
		struct slot *s = &h->region.slots[i];
		size_t head = sizeof s->answer, cut = skip < head ? skip : head;

		if (cut < head)
			parts[n++] = (struct iovec) { (uint8_t *)&s->answer + cut, head - cut };
		cut = skip > head ? skip : head;
		if (cut < s->answer.len)
			parts[n++] = (struct iovec) { h->region.bytes + s->at + s->answer_at + cut, s->answer.len - cut };
		skip = 0;
	}
	return n;
}

static void sent(struct host *h, size_t n)
{
	h->out_sent += n;
	while (h->out_first != NO_SLOT && h->out_sent >= h->region.slots[h->out_first].answer.len) {
		struct slot *s = &h->region.slots[h->out_first];

		h->out_sent -= s->answer.len;
		h->out_first = s->next;
		region_give(&h->region, s);
	}
}

int host_send(struct host *h)
{
	while (h->out_first != NO_SLOT) {
		struct iovec parts[2 * BATCH];
		ssize_t n = io_write(h->guest, parts, gather(h, parts));

		if (n == -EAGAIN)
			return 0;
		if (n == -EPIPE || n == -ECONNRESET)
			return refuse(h->verdict, ENDED, "guest: closed", 0);
		if (n < 0)
			return refuse(h->verdict, FAILED, "guest: write", (int)-n);
		sent(h, (size_t)n);
	}
	return 0;
}
