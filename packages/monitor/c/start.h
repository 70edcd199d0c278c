/* What containerd runs: start, delete, and everything else. PROTOCOL.md, section 1. */
#ifndef START_H
#define START_H
#include <stdint.h>
#include <sys/types.h>

int start_main(int argc, char **argv);
/* Carry out BUNDLE/trimaran.undo; the pid that it names, 0 if none. Complaints go to stderr. PROTOCOL.md, section 6. */
pid_t undo_bundle(const char *bundle);
/* DeleteResponse{pid, 137, now} to fd 1. */
int print_delete_response(pid_t pid);

#endif
