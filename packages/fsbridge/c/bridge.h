/* One program, two halves: `guest` in the VM, `host` beside virtiofsd. Each ends with one line about why, and a code. */
#ifndef BRIDGE_H
#define BRIDGE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum ending {
	ENDED = 0,      /* the other side closed, or the file system was unmounted */
	FAILED = 1,     /* arguments, set-up, the machine */
	BAD_GUEST = 2,  /* the guest broke the protocol */
	BAD_DAEMON = 3, /* the file daemon is gone, or broke the protocol */
	BAD_HOST = 4,   /* as the guest sees it: the host is gone, or broke the protocol */
};

/* Why a half ends. `text` is static: nothing from the other side gets into it. `error` is an errno, or 0. */
struct verdict {
	enum ending code;
	const char *text;
	int error;
};

int host_main(const char *guest, const char *daemon, struct verdict *v);
int guest_main(const char *port, const char *directory, struct verdict *v);

/* -1, with the verdict set: `return refuse(v, …)`. */
int refuse(struct verdict *v, enum ending code, const char *text, int error);

/* "fd:3", "connect:/path", "listen:/path" or "accept:3", a socket that listens already (one client is accepted), or a device. An fd, or -1.
 * `daemon`: an fd, or -1, whose end ends the wait for a client. */
int endpoint_open(const char *name, int daemon, struct verdict *v);

/* The host half keeps what it has open, and may do nothing else from now on. 0, or -1 with the verdict. */
int confine(struct verdict *v);

/* Non-blocking I/O: bytes, 0 at the end, or -errno (-EAGAIN: later). The fuzzers have their own. */
ssize_t io_read(int fd, void *bytes, size_t n);
ssize_t io_write(int fd, const struct iovec *parts, int n);
int io_nonblocking(int fd);

#endif
