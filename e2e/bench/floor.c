/*
 * What the kernel alone charges for a container: the namespaces, mounts, devices, masks and cgroups that `ctr run` asks for, done by the fewest
 * system calls that we know, without a parser, a server or a protocol. One life per line of stdin; each prints "create start remove" in
 * microseconds: to the gate, from the gate to the exit of `true`, and the removal of the cgroups.
 *
 * floor LOWER UPPER WORK NAME CGROUP…: LOWER is the rootfs; a fresh UPPER and WORK are for the caller to give; each CGROUP is the directory of
 * a hierarchy, in which NAME is made.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_HIERARCHIES = 16, PATH_BYTES = 512, VALUE_BYTES = 256 };

/* The 14 of containerd's default. */
static const uint32_t CAPABILITIES = 0xa80425fb;

struct floor {
	const char *lower, *upper, *work, *name;
	char **hierarchies;
	int count;
	int tasks[MAX_HIERARCHIES]; /* of v1: the child enters by itself; -1 for v2 */
	int unified; /* of v2: the clone is made in it; -1 without */
};

static void die(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static long must(long result, const char *what)
{
	if (result < 0)
		die(what);
	return result;
}

static double now_us(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec * 1e6 + (double)at.tv_nsec / 1e3;
}

static void put(int dir, const char *file, const char *text)
{
	int fd = (int)must(openat(dir, file, O_WRONLY | O_CLOEXEC), file);

	must(write(fd, text, strlen(text)), file);
	close(fd);
}

/* A cpuset of v1 begins empty, and takes nobody then. */
static void inherit(int dir, const char *file)
{
	char path[VALUE_BYTES], value[VALUE_BYTES];
	int fd;
	ssize_t length;

	snprintf(path, sizeof path, "../%s", file);
	fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return; /* no cpuset */
	length = must(read(fd, value, sizeof value - 1), path);
	value[length] = 0;
	close(fd);
	put(dir, file, value);
}

static void allow_devices(int dir)
{
	static const char *const rules[] = { "c 1:3 rwm", "c 1:8 rwm", "c 1:7 rwm", "c 5:0 rwm", "c 1:5 rwm",
					     "c 1:9 rwm", "c 5:1 rwm", "c 5:2 rwm", "c 136:* rwm" };

	if (faccessat(dir, "devices.deny", W_OK, 0) != 0)
		return;
	put(dir, "devices.deny", "a");
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
		put(dir, "devices.allow", rules[i]);
}

static void make_cgroups(struct floor *f)
{
	char path[PATH_BYTES];

	for (int i = 0; i < f->count; i++) {
		int dir;

		snprintf(path, sizeof path, "%s/%s", f->hierarchies[i], f->name);
		must(mkdir(path, 0755), path);
		dir = (int)must(open(path, O_DIRECTORY | O_CLOEXEC), path);
		inherit(dir, "cpuset.cpus");
		inherit(dir, "cpuset.mems");
		allow_devices(dir);
		f->tasks[i] = openat(dir, "tasks", O_WRONLY | O_CLOEXEC);
		if (f->tasks[i] < 0)
			f->unified = dir;
		else
			close(dir);
	}
}

static void remove_cgroups(struct floor *f)
{
	char path[PATH_BYTES];

	for (int i = 0; i < f->count; i++) {
		close(f->tasks[i] < 0 ? f->unified : f->tasks[i]);
		snprintf(path, sizeof path, "%s/%s", f->hierarchies[i], f->name);
		must(rmdir(path), path);
	}
}

static void mount_at(const char *type, const char *target, unsigned long flags, const char *data)
{
	must(mount(type, target, type, flags, data), target);
}

static void make_devices(void)
{
	static const struct { const char *path; unsigned minor, major; } devices[] = {
		{ "dev/null", 3, 1 }, { "dev/zero", 5, 1 }, { "dev/full", 7, 1 },
		{ "dev/random", 8, 1 }, { "dev/urandom", 9, 1 }, { "dev/tty", 0, 5 },
	};

	for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
		must(mknod(devices[i].path, S_IFCHR | 0666, makedev(devices[i].major, devices[i].minor)), devices[i].path);
	must(symlink("/proc/self/fd", "dev/fd"), "dev/fd");
	must(symlink("/proc/self/fd/0", "dev/stdin"), "dev/stdin");
	must(symlink("/proc/self/fd/1", "dev/stdout"), "dev/stdout");
	must(symlink("/proc/self/fd/2", "dev/stderr"), "dev/stderr");
	must(symlink("pts/ptmx", "dev/ptmx"), "dev/ptmx");
}

static void mask(void)
{
	static const char *const readonly[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger" };
	static const char *const masked[] = { "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
					      "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware" };
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	struct stat about;

	for (size_t i = 0; i < sizeof readonly / sizeof *readonly; i++) {
		int tree = (int)syscall(SYS_open_tree, AT_FDCWD, readonly[i], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

		if (tree < 0)
			continue;
		must(syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr), readonly[i]);
		must(syscall(SYS_move_mount, tree, "", AT_FDCWD, readonly[i], MOVE_MOUNT_F_EMPTY_PATH), readonly[i]);
		close(tree);
	}
	for (size_t i = 0; i < sizeof masked / sizeof *masked; i++) {
		if (stat(masked[i], &about) != 0)
			continue;
		if (S_ISDIR(about.st_mode))
			mount_at("tmpfs", masked[i], MS_RDONLY, "nr_blocks=1,nr_inodes=1");
		else
			must(mount("/dev/null", masked[i], NULL, MS_BIND, NULL), masked[i]);
	}
}

static void make_root(const struct floor *f)
{
	const unsigned long secret = MS_NOSUID | MS_NOEXEC | MS_NODEV;
	char options[3 * PATH_BYTES];

	must(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL), "/");
	snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s,workdir=%s,index=off", f->lower, f->upper, f->work);
	must(mount("overlay", f->lower, "overlay", 0, options), "overlay");
	must(chdir(f->lower), f->lower);
	mount_at("proc", "proc", secret, NULL);
	mount_at("tmpfs", "dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k");
	must(mkdir("dev/pts", 0755) | mkdir("dev/shm", 0755) | mkdir("dev/mqueue", 0755), "dev");
	mount_at("devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
	mount_at("tmpfs", "dev/shm", secret, "mode=1777,size=65536k");
	mount_at("mqueue", "dev/mqueue", secret, NULL);
	mount_at("sysfs", "sys", secret | MS_RDONLY, NULL);
	mount_at("tmpfs", "run", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k");
	make_devices();
	must(syscall(SYS_pivot_root, ".", "."), "pivot_root");
	must(umount2(".", MNT_DETACH), "old root");
	must(chdir("/"), "/");
	mask();
}

static void drop(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { CAPABILITIES, CAPABILITIES, 0 }, { 0, 0, 0 } };
	struct rlimit files = { 1024, 1024 };

	must(setsid(), "setsid");
	must(setrlimit(RLIMIT_NOFILE, &files), "RLIMIT_NOFILE");
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
	for (unsigned long cap = 0; cap <= 40; cap++)
		if (cap > 31 || !(CAPABILITIES >> cap & 1))
			prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* the kernel may have fewer */
	must(syscall(SYS_capset, &header, data), "capset");
}

static void contain(struct floor *f, int ready, int gate)
{
	char *const argv[] = { "true", NULL };
	char *const envp[] = { "PATH=/usr/local/bin:/usr/bin:/bin", NULL };
	char byte = 0;

	for (int i = 0; i < f->count; i++)
		if (f->tasks[i] >= 0)
			must(write(f->tasks[i], "0", 1), f->hierarchies[i]);
	make_root(f);
	drop();
	must(write(ready, &byte, 1), "ready");
	if (read(gate, &byte, 1) != 1)
		_exit(1);
	syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC);
	execve("/bin/true", argv, envp);
	die("execve");
}

static void one_life(struct floor *f)
{
	const double begun = now_us();
	double created, ended;
	int ready[2], gate[2], status;
	struct clone_args args = { .flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET, .exit_signal = SIGCHLD };
	pid_t pid;
	char byte;

	make_cgroups(f);
	must(pipe2(ready, O_CLOEXEC) | pipe2(gate, O_CLOEXEC), "pipe2");
	if (f->unified >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (unsigned)f->unified;
	}
	pid = (pid_t)must(syscall(SYS_clone3, &args, sizeof args), "clone3");
	if (pid == 0)
		contain(f, ready[1], gate[0]);
	close(ready[1]);
	close(gate[0]);
	if (read(ready[0], &byte, 1) != 1)
		die("the child has ended before its gate");
	created = now_us();
	must(write(gate[1], "", 1), "gate");
	must(waitpid(pid, &status, 0), "waitpid");
	if (status != 0)
		die("exit status");
	ended = now_us();
	close(ready[0]);
	close(gate[1]);
	remove_cgroups(f);
	printf("%.0f %.0f %.0f\n", created - begun, ended - created, now_us() - ended);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct floor f;
	int c;

	if (argc < 5 || argc - 5 > MAX_HIERARCHIES) {
		fprintf(stderr, "usage: floor LOWER UPPER WORK NAME CGROUP...\n");
		return 2;
	}
	f = (struct floor){ argv[1], argv[2], argv[3], argv[4], argv + 5, argc - 5, { 0 }, -1 };
	while ((c = getchar()) != EOF)
		if (c == '\n')
			one_life(&f);
	return 0;
}
