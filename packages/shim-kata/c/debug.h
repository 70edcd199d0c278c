/* The shell behind the port debug.0. */
#ifndef DEBUG_H
#define DEBUG_H

/* Serve it in a process of its own, if the machine has that port. It waits without waking up until the host connects. */
void start_debug_shell(void);

#endif
