/* Finding, starting and replacing the task server. Used by the starter and by the daemon; nothing here waits longer than a fork. */
#define _GNU_SOURCE
#include "reach.h"
#include "kernel.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BACKLOG = 4096, LOG_MAX = 1 << 20, LISTEN_FD = 3, PATH_LEN = 512 };
static const char DEFAULT_PATH[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

extern char **environ;

static bool path_in(char out[static PATH_LEN], const struct place *place, const char *name)
{
	int n = snprintf(out, PATH_LEN, "%s/%s", place->dir, name);

	return n > 0 && n < PATH_LEN;
}

static int socket_address(const struct place *place, struct sockaddr_un *address)
{
	char path[PATH_LEN];

	*address = (struct sockaddr_un) { .sun_family = AF_UNIX };
	if (!path_in(path, place, "server.sock") || strlen(path) >= sizeof address->sun_path)
		return -ENAMETOOLONG;
	memcpy(address->sun_path, path, strlen(path) + 1);
	return 0;
}

static int try_connect(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error;

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0)
		return fd;
	error = errno;
	close(fd);
	return -error;
}

/* What follows the name in /proc/PID/stat: " S PPID …". NULL if there is no such process. */
static const char *stat_of(pid_t pid, char *text, size_t size)
{
	char path[32], *end;
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	n = read(fd, text, size - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	end = strrchr(text, ')'); /* the name may hold anything, spaces and brackets too */
	return end ? end + 1 : NULL;
}

uint64_t start_time_of(pid_t pid)
{
	char text[1024];
	const char *at = stat_of(pid, text, sizeof text);

	for (int field = 3; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at + 1, NULL, 10) : 0;
}

static char state_of(pid_t pid)
{
	char text[1024];
	const char *at = stat_of(pid, text, sizeof text);

	return at && *at == ' ' ? at[1] : 0;
}

/* ---- starting one ---- */

char **read_command(const char *cmd, char *const *extra)
{
	int fd = open(cmd, O_RDONLY | O_CLOEXEC);
	size_t lines = 1, n_extra = 0, n = 0;
	struct stat st;
	char *text, **argv;
	ssize_t got;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > 65536 || !(text = malloc((size_t)st.st_size + 1))) {
		close(fd);
		errno = EINVAL;
		return NULL;
	}
	got = read(fd, text, (size_t)st.st_size);
	close(fd);
	text[got > 0 ? got : 0] = 0;
	for (const char *c = text; *c; c++)
		lines += *c == '\n';
	while (extra[n_extra])
		n_extra++;
	argv = calloc(lines + n_extra + 1, sizeof *argv);
	if (!argv || text[0] != '/') {
		free(argv);
		free(text);
		errno = EINVAL;
		return NULL;
	}
	for (char *line = text, *end; *line; line = end) {
		end = line + strcspn(line, "\n");
		if (*end)
			*end++ = 0;
		argv[n++] = line;
	}
	for (size_t i = 0; i < n_extra; i++)
		argv[n++] = extra[i];
	return argv;
}

static bool passes(const char *variable)
{
	static const char *const names[] = { "PATH=", "HOME=", "LANG=", "TZ=", "TRIMARAN_" };
	static const char *const ours[] = { "TRIMARAN_MONITOR=", "TRIMARAN_SHIM=", "TRIMARAN_ADDRESS=", "TRIMARAN_NAMESPACE=", "TRIMARAN_DIR=", "TRIMARAN_CMD=" };

	for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
		if (strncmp(variable, ours[i], strlen(ours[i])) == 0)
			return false;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strncmp(variable, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

static char *variable(const char *name, const char *value)
{
	size_t len = strlen(name) + strlen(value) + 2;
	char *text = malloc(len);

	if (text)
		snprintf(text, len, "%s=%s", name, value);
	return text;
}

/* Where Node keeps compiled code, beside all task servers' folders: a start reads it instead of the source. Made here, or Node would make it for all to read. */
static char *code_cache(const struct place *place)
{
	char path[PATH_LEN];
	const char *slash = strrchr(place->dir, '/');
	int state = slash ? (int)(slash - place->dir) : 0;

	snprintf(path, sizeof path, "%.*s/cache", state, place->dir);
	mkdir(path, 0700);
	snprintf(path, sizeof path, "%.*s/cache/code", state, place->dir);
	mkdir(path, 0700);
	return variable("NODE_COMPILE_CACHE", path);
}

/* Runs in the forked child: memory need not be given back. */
static char **server_environment(const struct place *place)
{
	size_t n = 0, have_path = 0;
	char **env;

	for (char **e = environ; *e; e++)
		n++;
	env = calloc(n + 9, sizeof *env);
	if (!env)
		return NULL;
	n = 0;
	for (char **e = environ; *e; e++) {
		if (passes(*e))
			env[n++] = *e;
		have_path |= (size_t)(strncmp(*e, "PATH=", 5) == 0);
	}
	if (!have_path)
		env[n++] = (char *)DEFAULT_PATH;
	env[n++] = variable("TRIMARAN_SHIM", place->shim);
	env[n++] = variable("TRIMARAN_ADDRESS", place->address);
	env[n++] = variable("TRIMARAN_NAMESPACE", place->ns);
	env[n++] = variable("TRIMARAN_DIR", place->dir);
	env[n++] = variable("TRIMARAN_CMD", place->cmd);
	env[n++] = code_cache(place);
	return env;
}

static int open_log(const struct place *place)
{
	char path[PATH_LEN], old[PATH_LEN];
	struct stat st;

	if (!path_in(path, place, "server.log") || !path_in(old, place, "server.log.1"))
		return -1;
	if (stat(path, &st) == 0 && st.st_size > LOG_MAX)
		rename(path, old);
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static void plain_signals(void)
{
	sigset_t none;

	for (int i = 1; i < 65; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The grandchild: becomes the task server, or reports why not through `status`. */
static void become_server(const struct place *place, int listener, int status)
{
	char *extra[] = { "--serve", NULL }, **argv = read_command(place->cmd, extra), **env = server_environment(place);
	int log = open_log(place), null = open("/dev/null", O_RDWR | O_CLOEXEC), error;
	int high = fcntl(status, F_DUPFD_CLOEXEC, 10);

	listener = fcntl(listener, F_DUPFD_CLOEXEC, 10);
	log = fcntl(log >= 0 ? log : null, F_DUPFD_CLOEXEC, 10);
	null = fcntl(null, F_DUPFD_CLOEXEC, 10);
	plain_signals();
	setsid();
	if (argv && env && chdir("/") == 0 && dup2(null, 0) == 0 && dup2(log, 1) == 1 && dup2(log, 2) == 2 && dup2(listener, LISTEN_FD) == LISTEN_FD &&
	    kcall(SYS_close_range, LISTEN_FD + 1, high - 1, 0, 0, 0, 0) == 0 && kcall(SYS_close_range, high + 1, UINT32_MAX, 0, 0, 0, 0) == 0)
		execve(argv[0], argv, env);
	error = errno;
	dprintf(2, "task server %s: %s\n", argv ? argv[0] : place->cmd, strerror(error));
	error = -error;
	_exit(write(high, &error, sizeof error) == sizeof error ? 127 : 126);
}

/* What comes through the status pipe up to its end: the pid, and a negative errno if exec failed, in either order. */
static pid_t read_status(int fd)
{
	int32_t number, pid = -EAGAIN;
	bool failed = false;

	while (read(fd, &number, sizeof number) == sizeof number) {
		if (!failed)
			pid = number;
		failed = failed || number < 0;
	}
	return pid;
}

/* fork twice, so that nobody has to wait for it. The pid, or -errno of what failed. */
static pid_t spawn_server(const struct place *place, int listener)
{
	int status[2], ignored;
	pid_t child, pid;

	if (pipe2(status, O_CLOEXEC) < 0)
		return -errno;
	child = fork();
	if (child == 0) {
		pid = fork();
		if (pid == 0)
			become_server(place, listener, status[1]);
		if (pid < 0)
			pid = -EAGAIN;
		_exit(write(status[1], &pid, sizeof pid) == sizeof pid ? 0 : 1);
	}
	close(status[1]);
	pid = child < 0 ? -EAGAIN : read_status(status[0]);
	close(status[0]);
	while (child > 0 && waitpid(child, &ignored, 0) < 0 && errno == EINTR)
		;
	return pid;
}

static int write_pid(const struct place *place, pid_t pid)
{
	char path[PATH_LEN], temp[PATH_LEN], text[64];
	int fd, n = snprintf(text, sizeof text, "%d %llu\n", (int)pid, (unsigned long long)start_time_of(pid)), error = 0;

	if (!path_in(path, place, "server.pid") || !path_in(temp, place, "server.pid.new"))
		return -ENAMETOOLONG;
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, text, (size_t)n) != n || rename(temp, path) < 0)
		error = -errno;
	close(fd);
	return error;
}

/* Under the lock: a new socket, a new server behind it. */
static int start_server(const struct place *place)
{
	struct sockaddr_un address;
	int fd, error = socket_address(place, &address);
	mode_t mask;
	pid_t pid;

	if (error)
		return error;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	unlink(address.sun_path);
	mask = umask(0177);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, BACKLOG) < 0)
		error = -errno;
	umask(mask);
	if (!error) {
		pid = spawn_server(place, fd);
		error = pid < 0 ? pid : write_pid(place, pid);
	}
	if (error)
		unlink(address.sun_path);
	close(fd);
	return error;
}

static int take_lock(const struct place *place)
{
	char path[PATH_LEN];
	int fd, error;

	if (!path_in(path, place, "server.lock"))
		return -ENAMETOOLONG;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	error = errno;
	close(fd);
	return -error;
}

int reach_server(const struct place *place, bool may_start)
{
	struct sockaddr_un address;
	int lock, fd = socket_address(place, &address), error;

	if (fd < 0)
		return fd;
	fd = try_connect(&address);
	if ((fd != -ENOENT && fd != -ECONNREFUSED) || !may_start)
		return fd;
	lock = take_lock(place);
	if (lock < 0)
		return lock;
	fd = try_connect(&address);
	if (fd == -ENOENT || fd == -ECONNREFUSED) {
		error = start_server(place);
		fd = error ? error : try_connect(&address);
	}
	close(lock); /* also unlocks: nobody else holds this open file */
	return fd;
}

/* ---- replacing one ---- */

static bool read_pid(const struct place *place, pid_t *pid, uint64_t *start)
{
	char path[PATH_LEN], text[64], *end;
	ssize_t n = -1;
	int fd = path_in(path, place, "server.pid") ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
	long number;

	if (fd >= 0) {
		n = read(fd, text, sizeof text - 1);
		close(fd);
	}
	if (n <= 0)
		return false;
	text[n] = 0;
	number = strtol(text, &end, 10);
	*pid = (pid_t)number;
	*start = strtoull(end, NULL, 10);
	return number > 1 && number <= INT32_MAX && *start;
}

static void kill_exactly(pid_t pid, uint64_t start)
{
	long pidfd = kcall(SYS_pidfd_open, pid, 0, 0, 0, 0, 0);

	if (pidfd < 0)
		return;
	if (start_time_of(pid) == start) /* read while the pidfd holds the pid's identity */
		kcall(SYS_pidfd_send_signal, pidfd, SIGKILL, 0, 0, 0, 0);
	close((int)pidfd);
}

bool server_stopped(const struct place *place)
{
	uint64_t start;
	pid_t pid;
	char state;

	return read_pid(place, &pid, &start) && start_time_of(pid) == start && (state = state_of(pid), state == 'T' || state == 't');
}

int replace_server(const struct place *place, pid_t pid, uint64_t start)
{
	int lock = take_lock(place), error = -ESTALE;
	uint64_t found_start;
	pid_t found;

	if (lock < 0)
		return lock == -EWOULDBLOCK ? -EAGAIN : lock;
	if (read_pid(place, &found, &found_start) && (!pid || (pid == found && start == found_start))) {
		kill_exactly(found, found_start);
		error = start_server(place);
	}
	close(lock);
	return error;
}
