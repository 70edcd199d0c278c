/* Any bytes from the host, in pieces of any size: what comes out are whole messages, and all of them. The input: u8 seed, then the bytes. */
#include "inbox.h"
#include "stubs.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static size_t piece(uint32_t *random, size_t room)
{
	*random = *random * 1664525 + 1013904223;
	return *random >> 8 & 1 ? 1 + (*random >> 16) % 40 : room;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static uint8_t memory[FUSE_MESSAGE_MAX];
	struct inbox box = { .bytes = memory };
	struct verdict v = { 0 };
	struct fuse_out_header out;
	uint32_t random = len ? bytes[0] : 0;
	const uint8_t *expected = bytes + 1;

	stub = (struct stub) { .in = bytes + 1, .in_len = len ? len - 1 : 0 };
	while (stub.in_len) {
		struct iovec message;
		size_t room;
		uint8_t *into = inbox_room(&box, &room);
		int got;

		if (!room || into + room > memory + FUSE_MESSAGE_MAX)
			abort();
		stub.in_limit = piece(&random, room);
		box.end += (size_t)io_read(0, into, room);
		while ((got = inbox_next(&box, &message, &v)) > 0) {
			if (message.iov_len < 16 || memcmp(message.iov_base, expected, message.iov_len))
				abort();
			expected += message.iov_len;
		}
		if (got < 0)
			return 0;
		if (box.end - box.start >= sizeof out && (memcpy(&out, box.bytes + box.start, sizeof out), out.len > FUSE_MESSAGE_MAX))
			abort(); /* would never be whole */
	}
	if (expected + (box.end - box.start) != bytes + len && len)
		abort();
	return 0;
}
