/* What `delete` does when no task server answers: PROTOCOL.md, section 6. */
#define _GNU_SOURCE
#include "kernel.h"
#include "reach.h"
#include "start.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FILE_MAX_LEN = 256 << 10, EXIT_CODE = 137, WAIT_STEP_MS = 10, CGROUP_TRIES = 50, RMDIR_TRIES = 100, UMOUNTS = 64, DEPTH_MAX = 32 };

enum verb { VERB_PID, VERB_KILL_CGROUP, VERB_KILL_PID, VERB_UMOUNT, VERB_RMDIR, VERB_UNLINK, VERB_LEAVE, VERB_BUNDLE, VERBS };
static const char *const verbs[VERBS] = { "pid ", "kill-cgroup ", "kill-pid ", "umount ", "rmdir ", "unlink ", "leave ", "bundle " };

struct line {
	enum verb verb;
	const char *path;
	uint64_t pid, start;
};

/* ---- parsing ---- */

/* Decimal without sign or leading zero. */
static const char *parse_number(const char *text, uint64_t max, uint64_t *value)
{
	if (*text < '1' || *text > '9')
		return NULL;
	for (*value = 0; *text >= '0' && *text <= '9'; text++) {
		uint64_t digit = (uint64_t)(*text - '0');

		if (*value > (max - digit) / 10)
			return NULL;
		*value = *value * 10 + digit;
	}
	return text;
}

static bool path_ok(const char *path)
{
	if (*path != '/' || strlen(path) >= PATH_MAX)
		return false;
	while (*path) {
		size_t len;

		path += strspn(path, "/");
		len = strcspn(path, "/");
		if ((len == 1 && path[0] == '.') || (len == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		path += len;
	}
	return true;
}

static bool parse_line(const char *text, struct line *line)
{
	const char *end = NULL;

	*line = (struct line) { .verb = VERB_PID };
	while (line->verb < VERBS && strncmp(text, verbs[line->verb], strlen(verbs[line->verb])))
		line->verb++;
	if (line->verb == VERBS)
		return false;
	text += strlen(verbs[line->verb]);
	if (line->verb == VERB_PID || line->verb == VERB_KILL_PID)
		end = parse_number(text, INT32_MAX, &line->pid);
	if (line->verb == VERB_KILL_PID && end)
		end = *end == ' ' ? parse_number(end + 1, UINT64_MAX, &line->start) : NULL;
	if (line->verb == VERB_PID || line->verb == VERB_KILL_PID)
		return end && !*end;
	line->path = text;
	return path_ok(text);
}

/* ---- carrying out ---- */

static void complain(const struct line *line, int error)
{
	dprintf(2, "trimaran: undo: %s%s: %s\n", verbs[line->verb], line->path ? line->path : "", strerror(error));
}

static void pause_ms(void)
{
	poll(NULL, 0, WAIT_STEP_MS);
}

static int kill_pid(pid_t pid, uint64_t start)
{
	long pidfd = kcall(SYS_pidfd_open, pid, 0, 0, 0, 0, 0), r = 0;

	if (pidfd < 0)
		return pidfd == -ESRCH ? 0 : (int)-pidfd;
	if (!start || start_time_of(pid) == start)
		r = kcall(SYS_pidfd_send_signal, pidfd, SIGKILL, 0, 0, 0, 0);
	close((int)pidfd);
	return r == -ESRCH ? 0 : (int)-r;
}

/* SIGKILL to each pid of a v1 group. The number of pids, or -errno. */
static int kill_members(int dir)
{
	int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC), n = 0;
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	int pid;

	if (!file)
		return -errno;
	while (fscanf(file, "%d", &pid) == 1) {
		if (pid > 0)
			kill_pid(pid, 0);
		n++;
	}
	fclose(file);
	return n;
}

static int kill_cgroup(const char *path)
{
	int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), fd, members = 1;

	if (dir < 0)
		return errno == ENOENT ? 0 : errno;
	fd = openat(dir, "cgroup.kill", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		int error = write(fd, "1", 1) == 1 ? 0 : errno;

		close(fd);
		close(dir);
		return error == ENODEV ? 0 : error;
	}
	for (int i = 0; i < CGROUP_TRIES && members > 0; i++) {
		if (i)
			pause_ms();
		members = kill_members(dir);
	}
	close(dir);
	return members < 0 && members != -ENOENT && members != -ENODEV ? -members : members > 0 ? ETIMEDOUT : 0;
}

static int unmount(const char *path)
{
	for (int i = 0; i < UMOUNTS; i++)
		if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
			return errno == EINVAL || errno == ENOENT ? 0 : errno;
	return EBUSY;
}

/* Remove `name` in `at`, its subdirectories first; never a file. */
static int remove_tree(int at, const char *name, int depth)
{
	int fd, error = 0;
	DIR *dir;

	if (unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (depth == DEPTH_MAX)
		return ELOOP;
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return errno;
	for (struct dirent *e; (e = readdir(dir));)
		if (e->d_type == DT_DIR && strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) {
			int r = remove_tree(fd, e->d_name, depth + 1);

			error = error ? error : r;
		}
	closedir(dir);
	if (error)
		return error;
	return unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : errno;
}

static int remove_directory(const char *path)
{
	int error = EBUSY;

	for (int i = 0; i < RMDIR_TRIES && (error == EBUSY || error == ENOTEMPTY); i++) {
		if (i)
			pause_ms();
		error = remove_tree(AT_FDCWD, path, 0);
	}
	return error;
}

static int carry_out(const struct line *line)
{
	switch (line->verb) {
	case VERB_KILL_CGROUP: return kill_cgroup(line->path);
	case VERB_KILL_PID: return kill_pid((pid_t)line->pid, line->start);
	case VERB_UMOUNT: return unmount(line->path);
	case VERB_RMDIR: return remove_directory(line->path);
	case VERB_UNLINK: return unlink(line->path) == 0 || errno == ENOENT ? 0 : errno;
	case VERB_LEAVE: return rmdir(line->path) == 0 || errno == ENOENT || errno == ENOTEMPTY ? 0 : errno;
	case VERB_BUNDLE: /* has a file of its own, whose errors are told with it */
	case VERB_PID:
	case VERBS: break;
	}
	return 0;
}

/* ---- the file ---- */

/* The whole file, NUL-terminated, or NULL: errno (ENOENT: nothing to undo). */
static char *read_undo(const char *bundle, size_t *len)
{
	int dir = open(bundle, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = dir < 0 ? -1 : openat(dir, "trimaran.undo", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int error = errno;
	char *text = NULL;
	struct stat st;
	ssize_t n = -1;

	if (dir >= 0)
		close(dir);
	if (fd < 0) {
		errno = error;
		return NULL;
	}
	error = EPERM;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 022) && st.st_size <= FILE_MAX_LEN)
		text = malloc((size_t)st.st_size + 1);
	if (text)
		n = read(fd, text, (size_t)st.st_size);
	close(fd);
	if (n < 0) {
		free(text);
		errno = error;
		return NULL;
	}
	text[n] = 0;
	*len = (size_t)n;
	return text;
}

/* Split into lines in place; false: a line without end, a NUL, or one that does not parse. */
static bool check_lines(char *text, size_t len)
{
	struct line line;

	if (memchr(text, 0, len) || (len && text[len - 1] != '\n'))
		return false;
	for (size_t i = 0; i < len; i++)
		if (text[i] == '\n')
			text[i] = 0;
	for (size_t at = 0; at < len; at += strlen(text + at) + 1)
		if (!parse_line(text + at, &line))
			return false;
	return true;
}

/* The pid that the file names. What is `inner` stands in another bundle's file, and names no further bundles. */
static pid_t undo_file(const char *bundle, bool inner)
{
	size_t len = 0;
	char *text = read_undo(bundle, &len);
	struct line line;
	pid_t pid = 0;

	if (!text) {
		if (errno != ENOENT)
			dprintf(2, "trimaran: undo: %s/trimaran.undo: %s\n", bundle, strerror(errno));
		return 0;
	}
	if (!check_lines(text, len)) {
		dprintf(2, "trimaran: undo: %s/trimaran.undo: malformed, nothing of it is carried out\n", bundle);
		free(text);
		return 0;
	}
	for (size_t at = 0; at < len; at += strlen(text + at) + 1) {
		int error;

		if (!parse_line(text + at, &line))
			continue;
		if (line.verb == VERB_PID)
			pid = (pid_t)line.pid;
		if (line.verb == VERB_BUNDLE && !inner)
			undo_file(line.path, true);
		error = carry_out(&line);
		if (error)
			complain(&line, error);
	}
	free(text);
	return pid;
}

pid_t undo_bundle(const char *bundle)
{
	return undo_file(bundle, false);
}

static size_t varint(uint8_t *to, uint64_t v)
{
	size_t n = 0;

	for (; v > 127; v >>= 7)
		to[n++] = (uint8_t)(v | 128);
	to[n++] = (uint8_t)v;
	return n;
}

int print_delete_response(pid_t pid)
{
	uint8_t bytes[48], stamp[24];
	struct timespec now;
	size_t n = 0, len = 0;

	clock_gettime(CLOCK_REALTIME, &now);
	stamp[len++] = 1 << 3;
	len += varint(stamp + len, (uint64_t)now.tv_sec);
	stamp[len++] = 2 << 3;
	len += varint(stamp + len, (uint64_t)now.tv_nsec);
	if (pid) {
		bytes[n++] = 1 << 3;
		n += varint(bytes + n, (uint64_t)pid);
	}
	bytes[n++] = 2 << 3;
	n += varint(bytes + n, EXIT_CODE);
	bytes[n++] = 3 << 3 | 2;
	bytes[n++] = (uint8_t)len;
	memcpy(bytes + n, stamp, len);
	return write(1, bytes, n + len) == (ssize_t)(n + len) ? 0 : 1;
}
