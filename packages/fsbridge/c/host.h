/* The host half: bytes of a hostile guest become requests in slots; a semi-trusted daemon's answers go back from the slots they are in. */
#ifndef HOST_H
#define HOST_H
#include "bridge.h"
#include "region.h"
#include "vring.h"

enum { HIPRIO, REQUESTS }; /* the queues of virtio-fs */
enum { STAGE_BYTES = 64 << 10 };

struct host {
	struct region region;
	struct vring queues[QUEUES];
	uint16_t kicked[QUEUES]; /* what the daemon was told of */
	int guest, daemon, call;
	/* in: bytes of the guest that are in no slot yet, and the slot that is being filled */
	uint8_t stage[STAGE_BYTES];
	size_t stage_start, stage_end;
	struct slot *filling;
	uint32_t filled;
	bool starved; /* the next request waits for a slot */
	/* out: answered slots in order, and how much of the first one is sent */
	uint16_t out_first, out_last;
	size_t out_sent;
	struct fuse_lifetime names; /* how long the daemon last said that a name is good; see host_cache.c */
	struct verdict *verdict;
};

/* With the shared memory at `bytes`, REGION_BYTES of zeros. The ends are the caller's to open. */
void host_init(struct host *h, uint8_t *bytes, struct verdict *v);
/* Read from the guest what there is room for, and put whole requests into the queues. 0, or -1 with the verdict. */
int host_receive(struct host *h);
/* Put what is in the stage into slots, as far as there are any. 0, or -1. */
int host_parse(struct host *h);
/* Take what the daemon has answered, check it, and line it up. 0, or -1. */
int host_collect(struct host *h);
/* Write lined up answers until the guest takes no more; their slots are free then. 0, or -1. */
int host_send(struct host *h);
/* The bridge's own answer: an error without a body. */
void host_answer(struct host *h, struct slot *s, int32_t error);
/* Let the guest's kernel keep what the daemon does not think of. The answer is a checked one. */
void host_cache(struct host *h, struct slot *s);
/* Speak vhost-user until the daemon has both queues. 0, or -1. */
int vhost_negotiate(int daemon, const struct host *h, struct verdict *v);

#endif
