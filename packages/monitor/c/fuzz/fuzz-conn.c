/* Any bytes from a ttrpc peer, in two chunks, with the server there or away; then the server's answers to what is open. */
#define _GNU_SOURCE
#include "fuzz.h"
#include "monitor.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct monitor m = { .identity = "fuzz" };
	size_t cut = len > 1 ? bytes[0] : 0;
	struct conn *c;

	m.link.source.fd = len > 1 && bytes[1] & 1 ? 0 : -1;
	c = conn_new(&m, -1);
	if (!c)
		return 0;
	if (cut > len)
		cut = len;
	if (!conn_feed(&m, c, bytes, cut) || !conn_feed(&m, c, bytes + cut, len - cut))
		abort();
	conns_link_lost(&m, false);
	conns_replay(&m);
	if (c->kept)
		conn_send(&m, c->id, (const uint8_t[]) { 0, 0, 0, 0, 0, 0, 0, 1, 2, 0 }, 10);
	conn_send(&m, c->id, bytes, len); /* and as if the server had sent it */
	conn_close(&m, c);
	if (m.busy || m.conns)
		abort();
	while (m.graves) {
		struct object *object = m.graves;

		m.graves = object->next;
		free(object);
	}
	buf_free(&m.link.out);
	return 0;
}
