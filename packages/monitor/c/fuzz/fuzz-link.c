/* Any bytes from the task server. */
#define _GNU_SOURCE
#include "fuzz.h"
#include "monitor.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

static void end_turn(struct monitor *m)
{
	while (m->graves) {
		struct object *object = m->graves;

		m->graves = object->next;
		free(object);
	}
	buf_take(&m->link.out, buf_len(&m->link.out));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct monitor m = { .epoll = epoll_create1(EPOLL_CLOEXEC), .identity = "fuzz" };
	size_t cut = len ? bytes[0] : 0;

	m.link.source.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	stub_reset((uint32_t)len * 2654435761u);
	for (uint32_t i = 0; i < 2; i++) {
		static const uint8_t request[] = { 0, 0, 0, 6, 0, 0, 0, 1, 1, 0, 0x12, 4, 'W', 'a', 'i', 't', 0, 0, 0, 0, 0, 0, 0, 3, 1, 1 };
		struct conn *c = conn_new(&m, -1);

		if (c && !conn_feed(&m, c, request, sizeof request))
			abort();
	}
	if (cut > len)
		cut = len;
	if (inbox_feed(&m.link.in, bytes, cut, link_message, &m) == 0)
		inbox_feed(&m.link.in, bytes + cut, len - cut, link_message, &m);
	end_turn(&m);
	while (m.entries) { /* as FORGET does it, whatever the state */
		m.entries->flags |= PROC_EXITED;
		struct buf forget = { 0 };
		size_t key = 0;

		while (m.entries->key[key])
			key++;
		buf_str(&forget, m.entries->key, key);
		proc_forget(&m, &(struct message_in) { MSG_FORGET, 0, { forget.bytes, buf_len(&forget), false } });
		buf_free(&forget);
	}
	while (m.notes) {
		struct note *note = m.notes;

		m.notes = note->next;
		free(note);
	}
	while (m.conns)
		conn_close(&m, m.conns);
	end_turn(&m);
	if (m.busy)
		abort();
	inbox_free(&m.link.in);
	buf_free(&m.link.out);
	close(m.link.source.fd);
	close(m.epoll);
	return 0;
}
