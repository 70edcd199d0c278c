#ifndef STUBS_H
#define STUBS_H
#include "bridge.h"
#include "fuse.h"

struct stub {
	const uint8_t *in; /* what is still to be read */
	size_t in_len, in_limit, out_limit;
	struct fuse_out_header answer; /* the one that is being written */
	size_t answer_have, answers;
};
extern struct stub stub;

#endif
