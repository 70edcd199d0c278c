/*
 * A shell with a terminal for whoever connects to debug.0 on the host: `trimaran kata debug`. It needs no agent, so that it is of use when the
 * agent is what is wrong. One connection at a time; when the host goes, so does everything that was started in the terminal.
 */
#define _GNU_SOURCE
#include "debug.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PORTS "/sys/class/virtio-ports"
#define PORT_NAME "debug.0"
#define SHELL "/bin/sh"

/* A device such as /dev/vport0p3. 0 where no port has that name. */
static int find_port(char *path, size_t size)
{
	DIR *ports = opendir(PORTS);
	struct dirent *entry;
	int found = 0;

	while (ports && !found && (entry = readdir(ports))) {
		char file[sizeof PORTS + sizeof entry->d_name + 8];
		char name[32] = "";
		ssize_t length;
		int fd;

		snprintf(file, sizeof file, PORTS "/%s/name", entry->d_name);
		fd = open(file, O_RDONLY | O_CLOEXEC);
		length = fd < 0 ? -1 : read(fd, name, sizeof name - 1);
		if (fd >= 0)
			close(fd);
		found = length > 0 && !strcmp(strtok(name, "\n"), PORT_NAME);
		snprintf(path, size, "/dev/%s", entry->d_name);
	}
	if (ports)
		closedir(ports);
	return found;
}

/* 0 when all of it is written, -1 when the host has gone. */
static int write_port(int port, const char *bytes, ssize_t size)
{
	struct pollfd room = { .fd = port, .events = POLLOUT };

	while (size > 0) {
		ssize_t written = write(port, bytes, (size_t)size);

		if (written > 0) {
			bytes += written;
			size -= written;
		} else if (errno != EAGAIN || poll(&room, 1, -1) < 0 || room.revents & POLLHUP) {
			return -1;
		}
	}
	return 0;
}

/* Between port and terminal, until the host goes or the shell ends. */
static void pump(int port, int terminal)
{
	struct pollfd fds[2] = { { .fd = port, .events = POLLIN }, { .fd = terminal, .events = POLLIN } };
	char bytes[4096];

	while (poll(fds, 2, -1) > 0 && !(fds[0].revents & POLLHUP)) {
		ssize_t size;

		if (fds[0].revents) {
			size = read(port, bytes, sizeof bytes);
			if (size <= 0 || write(terminal, bytes, (size_t)size) != size)
				return;
		}
		if (fds[1].revents) {
			size = read(terminal, bytes, sizeof bytes);
			if (size <= 0 || write_port(port, bytes, size))
				return;
		}
	}
}

static void exec_shell(const char *terminal)
{
	static char *const environment[] = { "PATH=/usr/bin:/bin", "HOME=/", "TERM=vt100", "PS1=guest# ", NULL };
	static char *const argv[] = { "sh", "-i", NULL };
	int fd;

	setsid();
	fd = open(terminal, O_RDWR); /* the first terminal of a session is its own */
	for (int to = 0; fd >= 0 && to <= 2; to++)
		dup2(fd, to);
	if (fd > 2)
		close(fd);
	execve(SHELL, argv, environment);
	_exit(127);
}

/* One connection. Returns when it is over and nothing of it is left but what has left its session. */
static void serve_once(int port)
{
	const int blocking = fcntl(port, F_GETFL);
	int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	char name[32];
	pid_t shell;

	if (terminal < 0 || unlockpt(terminal) || ptsname_r(terminal, name, sizeof name))
		_exit(1);
	shell = fork();
	if (shell == 0)
		exec_shell(name);
	fcntl(port, F_SETFL, blocking | O_NONBLOCK);
	pump(port, terminal);
	fcntl(port, F_SETFL, blocking);
	close(terminal); /* hangs up: SIGHUP for the session */
	kill(-shell, SIGKILL);
	waitpid(shell, NULL, 0);
}

void start_debug_shell(void)
{
	static const char banner[] = "trimaran: a shell in the guest\r\n";
	char path[300];
	int port;

	if (!find_port(path, sizeof path) || fork() != 0)
		return;
	port = open(path, O_RDWR | O_CLOEXEC);
	/* A blocking write waits until the host is there: nobody polls. */
	while (port >= 0 && write(port, banner, sizeof banner - 1) > 0)
		serve_once(port);
	_exit(1);
}
