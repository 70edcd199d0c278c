/* Steps about paths and files: PATH, CHECK, CWD, FIND, FIELD. Source: linux-runtime-checklist, 4.2. */
#define _GNU_SOURCE
#include "program.h"
#include "kernel.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

enum { RETRIES = 128, NAME_LEN_MAX = 255, LINE_MAX_LEN = 4096, FILE_MAX_LEN = 1 << 20 };
enum path_kind { PATH_EXISTS, PATH_DIRECTORY, PATH_FILE, PATH_PARENT };
enum { PATH_NO_SYMLINKS = 1, PATH_NOFOLLOW = 2 };

static long open_in(long root, const char *path, uint64_t flags, uint64_t resolve)
{
	struct kopen_how how = { .flags = O_PATH | O_CLOEXEC | flags, .resolve = K_RESOLVE_IN_ROOT | K_RESOLVE_NO_MAGICLINKS | resolve };
	long fd = -EAGAIN;

	for (int i = 0; i < RETRIES && fd == -EAGAIN; i++) /* EAGAIN: something was renamed meanwhile */
		fd = kcall(SYS_openat2, root, (long)path, (long)&how, sizeof how, 0, 0);
	return fd;
}

static void close_fd(long fd)
{
	kcall(SYS_close, fd, 0, 0, 0, 0, 0);
}

/* The next component of *path into `name`; false at the end, or where it is too long (*error). */
static bool next_name(const char **path, char name[static NAME_LEN_MAX + 1], long *error)
{
	size_t len;

	do {
		while (**path == '/')
			++*path;
		len = strcspn(*path, "/");
		if (len > NAME_LEN_MAX) {
			*error = -ENAMETOOLONG;
			return false;
		}
		memcpy(name, *path, len);
		name[len] = 0;
		*path += len;
	} while (len == 1 && name[0] == '.');
	return len;
}

/* Make one component in `dir` and open it, refusing symlinks. */
static long make_one(long dir, const char *name, bool directory, uint64_t mode)
{
	uint64_t nofollow = O_NOFOLLOW | (directory ? O_DIRECTORY : 0);
	long fd;

	if (directory) {
		fd = kcall(SYS_mkdirat, dir, (long)name, (long)mode, 0, 0, 0);
	} else {
		fd = kcall(SYS_openat, dir, (long)name, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_WRONLY, (long)mode, 0, 0);
		if (fd >= 0) {
			close_fd(fd);
			fd = 0;
		}
	}
	return fd < 0 && fd != -EEXIST ? fd : open_in(dir, name, nofollow, K_RESOLVE_NO_SYMLINKS);
}

/* Where `path` is missing: its longest prefix that exists, then one component after another. Without `whole` only the parents. */
static long make_path(long root, const char *path, const struct insn *in, bool whole, uint64_t resolve)
{
	bool directory = in->arg[2] != PATH_FILE;
	char name[NAME_LEN_MAX + 1], prefix[4096];
	const char *rest = path;
	bool made = false;
	long dir, error = 0;

	if (strlen(path) >= sizeof prefix)
		return -ENAMETOOLONG;
	dir = open_in(root, ".", O_DIRECTORY, resolve);
	while (dir >= 0 && next_name(&rest, name, &error)) {
		bool last = rest[strspn(rest, "/")] == 0;
		size_t len = (size_t)(rest - path);
		long fd;

		if (last && !whole)
			return dir;
		memcpy(prefix, path, len);
		prefix[len] = 0;
		fd = open_in(root, prefix, 0, resolve);
		if (fd == -ENOENT)
			made = true;
		if (made && strcmp(name, "..") == 0)
			fd = -EXDEV;
		else if (fd == -ENOENT)
			fd = make_one(dir, name, !last || directory, last ? in->arg[3] : 0755);
		close_fd(dir);
		dir = fd;
	}
	if (error && dir >= 0) {
		close_fd(dir);
		dir = error;
	}
	return dir;
}

/* PATH: resolve in a root, make what is missing. */
long step_path(struct vm *vm, const struct insn *in)
{
	long error = 0, root = value_of(vm, in, 0, &error), fd = -ENOENT;
	const char *path = data_of(vm, in, 1);
	uint64_t resolve = in->arg[4] & PATH_NO_SYMLINKS ? K_RESOLVE_NO_SYMLINKS : 0;
	uint64_t flags = in->arg[4] & PATH_NOFOLLOW ? O_NOFOLLOW : 0;

	if (error)
		return error;
	if (!*path)
		path = "/";
	if (in->arg[2] != PATH_PARENT)
		fd = open_in(root, path, flags, resolve);
	if (fd == -ENOENT && in->arg[2] != PATH_EXISTS)
		fd = make_path(root, path, in, in->arg[2] != PATH_PARENT, resolve);
	return fd;
}

static long stat_fd(long fd, struct kstatx *st)
{
	return kcall(SYS_statx, fd, (long)"", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, K_STATX_BASIC | K_STATX_MNT_ID, (long)st, 0);
}

static uint64_t device_number(uint64_t major, uint64_t minor)
{
	return (major & 0xfffff000) << 32 | (major & 0xfff) << 8 | (minor & 0xffffff00) << 12 | (minor & 0xff);
}

static long compare_mounts(long fd, long other, bool want_same)
{
	struct kstatx a, b;
	long r = stat_fd(fd, &a);

	if (r >= 0)
		r = stat_fd(other, &b);
	if (r < 0)
		return r;
	if (!(a.mask & b.mask & K_STATX_MNT_ID))
		return -EOPNOTSUPP;
	return (a.mnt_id == b.mnt_id) == want_same ? 0 : -EXDEV;
}

/* CHECK: is this fd what it should be? */
long step_check(struct vm *vm, const struct insn *in)
{
	long error = 0, fd = value_of(vm, in, 0, &error), value = value_of(vm, in, 2, &error), r;
	struct kstatx st;
	struct statfs fs;
	uint64_t found;

	if (error)
		return error;
	switch (in->arg[1]) {
	case 4:
		r = kcall(SYS_fstatfs, fd, (long)&fs, 0, 0, 0, 0);
		return r < 0 ? r : (uint64_t)fs.f_type == (uint64_t)value ? 0 : -EXDEV;
	case 5:
		r = kcall(SYS_ioctl, fd, K_NS_GET_NSTYPE, 0, 0, 0, 0);
		return r < 0 ? r : r == value ? 0 : -EXDEV;
	case 6:
	case 7: return compare_mounts(fd, value, in->arg[1] == 7);
	default: break;
	}
	r = stat_fd(fd, &st);
	if (r < 0)
		return r;
	found = in->arg[1] == 1 ? st.mode & (uint64_t)S_IFMT : in->arg[1] == 2 ? device_number(st.rdev_major, st.rdev_minor) : st.ino;
	return found == (uint64_t)value ? 0 : -EXDEV;
}

/* CWD: chdir, and be sure that the place is inside. */
long step_cwd(struct vm *vm, const struct insn *in)
{
	char path[4096];
	long r = kcall(SYS_chdir, (long)data_of(vm, in, 0), 0, 0, 0, 0, 0);

	if (r >= 0)
		r = kcall(SYS_getcwd, (long)path, sizeof path, 0, 0, 0, 0);
	if (r < 0)
		return r;
	return path[0] == '/' ? 0 : -ENOENT; /* "(unreachable)…" */
}

static long runnable(const char *path)
{
	struct kstatx st;
	long r = kcall(SYS_faccessat2, AT_FDCWD, (long)path, X_OK, AT_EACCESS, 0, 0);

	if (r >= 0)
		r = kcall(SYS_statx, AT_FDCWD, (long)path, 0, K_STATX_BASIC, (long)&st, 0);
	if (r < 0)
		return r;
	return (st.mode & S_IFMT) == S_IFREG ? 0 : -EACCES;
}

/* FIND: the first candidate that can be executed. */
long step_find(struct vm *vm, const struct insn *in)
{
	const char *list = data_of(vm, in, 0);
	long result = -ENOENT;

	for (long i = 0; *list; i++) {
		size_t size = strlen(list) + 1;
		long r = size > 4096 ? -ENAMETOOLONG : runnable(list);

		if (r >= 0) {
			memmove(data_of(vm, in, 1), list, size);
			return i;
		}
		if (r == -EACCES)
			result = r;
		else if (r != -ENOENT && r != -ENOTDIR)
			return r;
		list += size;
	}
	return result;
}

/* Column `n` of a ':'-separated line. */
static size_t column(const char *line, size_t len, uint64_t n, const char **start)
{
	size_t at = 0, end;

	for (; n && at < len; at++)
		n -= line[at] == ':';
	*start = line + at;
	if (n)
		return 0;
	for (end = at; end < len && line[end] != ':';)
		end++;
	return end - at;
}

static long take_field(struct vm *vm, const struct insn *in, const char *line, size_t len)
{
	const char *key = data_of(vm, in, 1), *found, *value;
	size_t found_len = column(line, len, in->arg[2], &found), value_len;
	char *to = (char *)vm->program->data + in->arg[4];

	if (found_len != strlen(key) || memcmp(found, key, found_len))
		return -ENOENT;
	value_len = column(line, len, in->arg[3], &value);
	if (value_len >= in->arg[5])
		return -ENAMETOOLONG;
	memcpy(to, value, value_len);
	to[value_len] = 0;
	return (long)value_len;
}

/* FIELD: one field of a file like /etc/passwd. Bounded: 1 MiB, lines of 4 KiB. */
long step_field(struct vm *vm, const struct insn *in)
{
	long error = 0, fd = value_of(vm, in, 0, &error), n = 0;
	char line[LINE_MAX_LEN], chunk[1024];
	size_t len = 0;
	bool skip = false;

	for (size_t total = 0; !error && total < FILE_MAX_LEN; total += (size_t)n) {
		n = kcall(SYS_read, fd, (long)chunk, sizeof chunk, 0, 0, 0);
		if (n <= 0)
			break;
		for (long i = 0; i < n; i++) {
			long r = -ENOENT;

			if (chunk[i] != '\n') {
				skip = skip || len == sizeof line;
				if (!skip)
					line[len++] = chunk[i];
				continue;
			}
			if (!skip)
				r = take_field(vm, in, line, len);
			if (r != -ENOENT)
				return r;
			len = 0;
			skip = false;
		}
	}
	if (error || n < 0)
		return error ? error : n;
	return skip || n ? -ENOENT : take_field(vm, in, line, len);
}
