/* The two ends of the bridge, for fuzzing. */
#include "stubs.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct stub stub;

ssize_t io_read(int fd, void *bytes, size_t n)
{
	(void)fd;
	if (!n)
		abort(); /* would look like the end */
	if (n > stub.in_limit)
		n = stub.in_limit;
	if (n > stub.in_len)
		n = stub.in_len;
	if (!n)
		return -EAGAIN;
	memcpy(bytes, stub.in, n);
	stub.in += n;
	stub.in_len -= n;
	stub.in_limit -= n;
	return (ssize_t)n;
}

/* What the host half writes must be whole answers, one after another. */
static void check_answers(const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (stub.answer_have < sizeof stub.answer)
			memcpy((uint8_t *)&stub.answer + stub.answer_have, bytes + i, 1);
		stub.answer_have++;
		if (stub.answer_have == sizeof stub.answer && (stub.answer.len < sizeof stub.answer || stub.answer.len > FUSE_MESSAGE_MAX))
			abort();
		if (stub.answer_have >= sizeof stub.answer && stub.answer_have == stub.answer.len) {
			stub.answer_have = 0;
			stub.answers++;
		}
	}
}

ssize_t io_write(int fd, const struct iovec *parts, int n)
{
	size_t done = 0;

	(void)fd;
	if (n <= 0)
		abort();
	for (int i = 0; i < n; i++) {
		size_t part = parts[i].iov_len < stub.out_limit ? parts[i].iov_len : stub.out_limit;

		if (!parts[i].iov_len)
			abort();
		check_answers(parts[i].iov_base, part);
		stub.out_limit -= part;
		done += part;
	}
	return done ? (ssize_t)done : -EAGAIN;
}

int refuse(struct verdict *v, enum ending code, const char *text, int error)
{
	*v = (struct verdict) { code, text, error };
	return -1;
}
