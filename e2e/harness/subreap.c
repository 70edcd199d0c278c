/*
 * subreap COMMAND [ARG...]: run COMMAND under a child subreaper.
 *
 * Orphans of the tests (shims, task servers, containers) become our children instead of init's, so they are reaped at once and
 * are seen. At COMMAND's end each process that does not end by itself within 13 s is named on stderr and killed. Exit status: COMMAND's (128+n for a
 * signal); if that is 0 and there were processes left, 70.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STATUS_LEFTOVERS = 70, GRACE_ROUNDS = 130, ROUNDS = 50, ROUND_US = 100000 };

static volatile sig_atomic_t main_pid;

static void forward(int sig)
{
	if (main_pid > 0)
		kill((pid_t)main_pid, sig);
}

static void print_process(pid_t pid)
{
	char path[64], text[512];
	size_t len = 0;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
	file = fopen(path, "re");
	if (file) {
		len = fread(text, 1, sizeof text - 1, file);
		fclose(file);
	}
	for (size_t i = 0; i < len; i++)
		if (text[i] == '\0')
			text[i] = ' ';
	text[len] = '\0';
	fprintf(stderr, "subreap: left over: %d %s\n", (int)pid, len ? text : "(no command line)");
}

/* Kill each child of ours that lives; returns their number. Children of theirs come to us when they die. */
static int kill_children(void)
{
	char path[64];
	FILE *file;
	int pid, count = 0;

	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	file = fopen(path, "re");
	if (!file)
		return 0;
	while (fscanf(file, "%d", &pid) == 1) {
		print_process(pid);
		kill(pid, SIGKILL);
		count++;
	}
	fclose(file);
	return count;
}

static int exit_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int reap_until_main_exits(void)
{
	int status;

	for (;;) {
		pid_t pid = waitpid(-1, &status, 0);

		if (pid == (pid_t)main_pid)
			return exit_code(status);
		if (pid < 0 && errno != EINTR)
			return 125;
	}
}

/* A task server without pods ends by itself after 10 s: nobody's leftover. True if all have ended. */
static int all_end_by_themselves(void)
{
	for (int round = 0; round < GRACE_ROUNDS; round++) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)
			return 1;
		usleep(ROUND_US);
	}
	return 0;
}

static int kill_leftovers(void)
{
	int found = 0;

	for (int round = 0; round < ROUNDS; round++) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)
			break;
		found += kill_children();
		usleep(ROUND_US);
	}
	return found;
}

int main(int argc, char **argv)
{
	int code;

	if (argc < 2) {
		fprintf(stderr, "usage: subreap COMMAND [ARG...]\n");
		return 125;
	}
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)) {
		perror("subreap: prctl");
		return 125;
	}
	main_pid = fork();
	if (main_pid == 0) {
		execvp(argv[1], argv + 1);
		fprintf(stderr, "subreap: %s: %s\n", argv[1], strerror(errno));
		_exit(127);
	}
	if (main_pid < 0) {
		perror("subreap: fork");
		return 125;
	}
	signal(SIGTERM, forward);
	signal(SIGINT, forward);
	signal(SIGHUP, forward);
	code = reap_until_main_exits();
	return !all_end_by_themselves() && kill_leftovers() && code == 0 ? STATUS_LEFTOVERS : code;
}
