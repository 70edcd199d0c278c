/* Finding the task server, starting it, replacing it: PROTOCOL.md, 1.1. */
#ifndef REACH_H
#define REACH_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct place { /* strings that live as long as the process */
	const char *dir, *cmd, *shim, *address, *ns;
};

/* A connection, close-on-exec and non-blocking; -EAGAIN: somebody else holds the lock, or the backlog is full. Starts a server where none listens. */
int reach_server(const struct place *place, bool may_start);
/* Kill the server that server.pid names and start another. `pid` 0: whichever it is; else only that one. -EAGAIN: locked. -ESTALE: another one is there. */
/* Whether the task server's process stands still by a signal: no patience can help it. */
bool server_stopped(const struct place *place);
int replace_server(const struct place *place, pid_t pid, uint64_t start);
/* Field 22 of /proc/PID/stat, 0 = unknown. */
uint64_t start_time_of(pid_t pid);
/* CMD as argv, with `extra` appended; one allocation that is never freed. NULL: errno. */
char **read_command(const char *cmd, char *const *extra);

#endif
