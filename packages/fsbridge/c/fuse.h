/* What of FUSE's wire format a mover of messages has to know. Source: linux/fuse.h (which musl does not have), protocol 7. */
#ifndef FUSE_H
#define FUSE_H
#include <stdint.h>

enum { FUSE_ROOT_ID = 1 };

struct fuse_in_header {
	uint32_t len, opcode; /* len: the whole request's */
	uint64_t unique, nodeid;
	uint32_t uid, gid, pid;
	uint16_t total_extlen, padding;
};
struct fuse_out_header {
	uint32_t len; /* the whole answer's */
	int32_t error;
	uint64_t unique; /* 0: a notification */
};
_Static_assert(sizeof(struct fuse_in_header) == 40 && sizeof(struct fuse_out_header) == 16, "FUSE's headers");

struct fuse_lifetime { /* of a name and of attributes; how fuse_entry_out goes on after nodeid and generation */
	uint64_t entry_valid, attr_valid;
	uint32_t entry_valid_nsec, attr_valid_nsec;
};
enum { FUSE_ENTRY_LIFETIME_AT = 16, FUSE_ENTRY_BYTES = 128 };
enum { FUSE_INIT_FLAGS_AT = 12, FUSE_CACHE_SYMLINKS = 1 << 23 }; /* of both its messages */

enum {
	FUSE_LOOKUP = 1,
	FUSE_FORGET = 2,
	FUSE_READ = 15,
	FUSE_GETXATTR = 22,
	FUSE_LISTXATTR = 23,
	FUSE_INIT = 26,
	FUSE_READDIR = 28,
	FUSE_INTERRUPT = 36,
	FUSE_BATCH_FORGET = 42,
	FUSE_READDIRPLUS = 44,
};

/* virtiofsd takes 256 pages and a page for what comes before them, and aborts on one byte more; it answers the same for max_write. */
enum { FUSE_DATA_MAX = 1 << 20, FUSE_MESSAGE_MAX = FUSE_DATA_MAX + 4096 };

#endif
