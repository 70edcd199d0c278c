/* One program, three lives: the starter that containerd runs, the pod's daemon, and a door to the task server's script. */
#define _GNU_SOURCE
#include "kernel.h"
#include "monitor.h"
#include "start.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { LISTEN_FD = 3 };

static void signals_ready(struct monitor *m, struct source *source, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)events;
	while (read(source->fd, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo != SIGCHLD)
			_exit(0); /* containerd sees the connection close, and runs delete */
		m->orphans = true;
	}
}

static int open_signals(void)
{
	sigset_t set;

	for (int i = 1; i < 32; i++)
		signal(i, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_SETMASK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value ? value : "";
}

/* How long a server may be silent: one that shares a slow machine with us may be told to get more. */
static int64_t patience_ms(void)
{
	int64_t ms = strtol(variable("TRIMARAN_PATIENCE_MS"), NULL, 10);

	return ms >= 1000 && ms <= 3600000 ? ms : 1000;
}

static int daemon_main(const char *identity)
{
	struct monitor m = { .identity = identity };
	int flags = fcntl(LISTEN_FD, F_GETFL);

	if (flags < 0 || fcntl(LISTEN_FD, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(LISTEN_FD, F_SETFD, FD_CLOEXEC) < 0)
		return 1;
	kcall(SYS_close_range, LISTEN_FD + 1, UINT32_MAX, 0, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	m.place = (struct place) { variable("TRIMARAN_DIR"), variable("TRIMARAN_CMD"), variable("TRIMARAN_SHIM"), variable("TRIMARAN_ADDRESS"),
		variable("TRIMARAN_NAMESPACE") };
	prctl(PR_SET_NAME, m.place.shim);
	m.epoll = epoll_create1(EPOLL_CLOEXEC);
	m.scratch = mmap(NULL, SCRATCH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	m.signals = (struct source) { signals_ready, open_signals(), 0 };
	m.listener = (struct source) { conns_accept, LISTEN_FD, 0 };
	m.link = (struct link) { .source = { NULL, -1, 0 }, .calm_patience = patience_ms() };
	m.link.patience = m.link.calm_patience;
	if (m.epoll < 0 || m.scratch == MAP_FAILED || m.signals.fd < 0)
		return 1;
	source_arm(&m, &m.signals, EPOLLIN);
	if (*variable("TRIMARAN_PORT")) {
		port_open(&m, LISTEN_FD);
	} else {
		source_arm(&m, &m.listener, EPOLLIN);
		m.unsent = true; /* say HELLO */
	}
	loop_run(&m);
	return 0;
}

int main(int argc, char **argv)
{
	const char *identity = getenv("TRIMARAN_MONITOR");

	return identity ? daemon_main(identity) : start_main(argc, argv);
}
