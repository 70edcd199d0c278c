/*
 * Process 1 of the guest. It brings up what every guest needs and a script would need fifty processes for, starts the agent, and stays:
 * it reaps what nobody else does, and when the agent ends it ends the machine, so that the host sees qemu exit.
 *
 * The initramfs has: /init (this), /modules/NAME.ko, /modules/order (a name and its parameters a line). The image, /dev/vda, has
 * /etc/trimaran/agent.cmd (an argument a line). An error is one line on the console, "init: WHAT: WHY", then a reboot: qemu runs with
 * -no-reboot.
 */
#define _GNU_SOURCE
#include "debug.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define AGENT_COMMAND "/etc/trimaran/agent.cmd"
#define MAX_ARGUMENTS 64
#define LINE_LIMIT 256
#define ROOT_DEVICE "/dev/vda"
#define ROOT_WAIT_MS 5000

static void say(const char *what, const char *why)
{
	dprintf(2, "init: %s: %s\n", what, why);
}

/* The end of the machine. The console is drained first: it is a file on the host, and this may be the line that explains it all. */
static void die(const char *what, const char *why)
{
	say(what, why);
	tcdrain(2);
	reboot(RB_AUTOBOOT);
	_exit(1); /* process 1 ends: the kernel panics */
}

static void must(int result, const char *what)
{
	if (result < 0)
		die(what, strerror(errno));
}

static void mount_api(const char *type, const char *where, unsigned long flags, const char *options)
{
	must(mount(type, where, type, flags, options), where);
}

static void sleep_ms(long ms)
{
	struct timespec wait = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&wait, NULL);
}

static void open_console(void)
{
	int fd = open("/dev/console", O_RDWR | O_NOCTTY);

	for (int to = 0; fd >= 0 && to <= 2; to++)
		dup2(fd, to);
	if (fd > 2)
		close(fd);
}

/* A module that is already there, or built in, is no failure: kernels differ in what they have as modules. */
static void load_module(char *line)
{
	char path[LINE_LIMIT + sizeof "/modules/"];
	char *parameters = strchr(line, ' ');
	int fd;

	if (parameters)
		*parameters++ = '\0';
	snprintf(path, sizeof path, "/modules/%s", line);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	must(fd, path);
	if (syscall(SYS_finit_module, fd, parameters ? parameters : "", 0) && errno != EEXIST)
		die(path, strerror(errno));
	close(fd);
	unlink(path); /* its page cache would be in every clone */
}

static void load_modules(void)
{
	char line[LINE_LIMIT];
	FILE *order = fopen("/modules/order", "re");

	if (!order)
		die("/modules/order", strerror(errno));
	while (fgets(line, sizeof line, order)) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0])
			load_module(line);
	}
	fclose(order);
}

/* The disk is found while its driver is loaded; on a slow machine its node may come a moment later. */
static void mount_root(void)
{
	struct stat st;

	for (int waited = 0; stat(ROOT_DEVICE, &st) && waited < ROOT_WAIT_MS; waited++)
		sleep_ms(1);
	must(mount(ROOT_DEVICE, "/root", "erofs", MS_RDONLY | MS_NODEV, NULL), "the image on " ROOT_DEVICE);
	must(mount("/dev", "/root/dev", NULL, MS_MOVE, NULL), "move /dev");
	unlink("/modules/order");
	unlink("/init");
	must(chdir("/root"), "/root");
	must(mount(".", "/", NULL, MS_MOVE, NULL), "the image to /");
	must(chroot("."), "chroot");
	must(chdir("/"), "/");
}

static void mount_filesystems(void)
{
	const unsigned long locked = MS_NOSUID | MS_NODEV | MS_NOEXEC;

	mount_api("proc", "/proc", locked, NULL);
	mount_api("sysfs", "/sys", locked, NULL);
	mount_api("cgroup2", "/sys/fs/cgroup", locked, NULL);
	mount_api("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755");
	mount_api("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777");
	must(mkdir("/dev/pts", 0755) && errno != EEXIST ? -1 : 0, "/dev/pts");
	mount_api("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620,gid=5");
	must(mkdir("/dev/shm", 01777) && errno != EEXIST ? -1 : 0, "/dev/shm");
	mount_api("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
	/* Containers' mounts must not come back into this namespace, and what the agent mounts must reach nobody unasked. */
	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "private mounts");
}

static char **read_command(void)
{
	static char text[4096];
	static char *argv[MAX_ARGUMENTS + 1];
	char *rest = text;
	int fd = open(AGENT_COMMAND, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	must((int)size, AGENT_COMMAND);
	close(fd);
	for (int i = 0; i < MAX_ARGUMENTS && *rest; i++) {
		argv[i] = strsep(&rest, "\n");
		if (!rest)
			break;
	}
	if (!argv[0])
		die(AGENT_COMMAND, "no command in it");
	return argv;
}

static pid_t start_agent(void)
{
	static char *const environment[] = { "PATH=/usr/bin:/bin", "HOME=/", "TERM=linux", NULL };
	char **argv = read_command();
	pid_t pid = fork();

	must(pid, "fork");
	if (pid == 0) {
		setsid();
		execve(argv[0], argv, environment);
		say(argv[0], strerror(errno));
		_exit(127);
	}
	return pid;
}

static int wait_for(pid_t agent)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, 0);

		if (pid == agent)
			return status;
		must(pid < 0 && errno != EINTR ? -1 : 0, "wait");
	}
}

int main(int argc, char **argv)
{
	char why[64];
	int status;

	mkdir("/dev", 0755);
	mkdir("/root", 0755);
	if (mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID | MS_NOEXEC, "mode=755") && errno != EBUSY)
		_exit(1);
	open_console();
	if (argc > 1 && !strcmp(argv[1], "probe"))
		die("probe", "ok"); /* the host only wanted to know whether this machine boots */
	load_modules();
	mount_root();
	mount_filesystems();
	start_debug_shell();
	status = wait_for(start_agent());
	if (WIFSIGNALED(status))
		snprintf(why, sizeof why, "killed by signal %d", WTERMSIG(status));
	else
		snprintf(why, sizeof why, "exit status %d", WEXITSTATUS(status));
	die("the agent ended", why);
}
