/*
 * What virtiofsd leaves out, and what would cost a round trip through an emulated machine each time: that a name is absent is remembered for as long as that one is there
 * (a search of $PATH asks for half a dozen), and a link's text for as long as its times stay the same.
 */
#include "host.h"
#include <errno.h>
#include <string.h>

static uint8_t *body_of(const struct host *h, const struct slot *s)
{
	return h->region.bytes + s->at + s->answer_at + sizeof s->answer;
}

static void looked_up(struct host *h, struct slot *s)
{
	const struct fuse_in_header *request = (const void *)(h->region.bytes + s->at);
	struct fuse_lifetime names = h->names;
	uint8_t *body = body_of(h, s);

	if (!s->answer.error && s->answer.len == sizeof s->answer + FUSE_ENTRY_BYTES)
		memcpy(&h->names, body + FUSE_ENTRY_LIFETIME_AT, sizeof h->names);
	if (request->nodeid == FUSE_ROOT_ID) /* the host puts containers there, and the guest must find one at once */
		return;
	if (s->answer.error != -ENOENT || (!names.entry_valid && !names.entry_valid_nsec) || s->answer_room < sizeof s->answer + FUSE_ENTRY_BYTES)
		return;
	names.attr_valid = names.attr_valid_nsec = 0;
	memset(body, 0, FUSE_ENTRY_BYTES); /* node 0: absent */
	memcpy(body + FUSE_ENTRY_LIFETIME_AT, &names, sizeof names);
	s->answer.error = 0;
	s->answer.len = sizeof s->answer + FUSE_ENTRY_BYTES;
}

static void agreed(struct host *h, struct slot *s)
{
	const uint8_t *request = h->region.bytes + s->at + sizeof(struct fuse_in_header);
	uint32_t offered, flags;

	if (s->answer.error || s->answer.len < sizeof s->answer + FUSE_INIT_FLAGS_AT + sizeof flags ||
	    s->request_len < sizeof(struct fuse_in_header) + FUSE_INIT_FLAGS_AT + sizeof offered)
		return;
	memcpy(&offered, request + FUSE_INIT_FLAGS_AT, sizeof offered);
	memcpy(&flags, body_of(h, s) + FUSE_INIT_FLAGS_AT, sizeof flags);
	flags |= offered & FUSE_CACHE_SYMLINKS;
	memcpy(body_of(h, s) + FUSE_INIT_FLAGS_AT, &flags, sizeof flags);
}

void host_cache(struct host *h, struct slot *s)
{
	if (s->opcode == FUSE_LOOKUP)
		looked_up(h, s);
	else if (s->opcode == FUSE_INIT)
		agreed(h, s);
}
