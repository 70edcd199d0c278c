/* The starter: hands argv, env, cwd and stdin to the task server and does what it answers. */
#define _GNU_SOURCE
#include "start.h"
#include "kernel.h"
#include "program.h"
#include "reach.h"
#include "wire.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { START_MS = 30000, DELETE_MS = 3000, WELCOME_MS = 5000, LOOK_MS = 300, LOCKED_MS = 2, KILL_MS = 1000, TRIES = 3, DEATHS = 10, DELETE_DEATHS = 5, DEATH_PAUSE_MAX_MS = 1000, AGAIN = -1, STDIN_MAX = 4 << 20, PATH_LEN = 4096 };

extern char **environ;

struct flags {
	const char *action, *ns, *address, *id, *bundle;
};

static int64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int fail(const char *what, const char *why)
{
	dprintf(2, "trimaran: %s: %s\n", what, why);
	return 1;
}

/* ---- command line: Go's flags ---- */

static bool is_boolean(const char *name, size_t len)
{
	static const char *const names[] = { "debug", "v", "version", "info", "h", "help" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strlen(names[i]) == len && strncmp(names[i], name, len) == 0)
			return true;
	return false;
}

static void set_flag(struct flags *flags, const char *name, size_t len, const char *value)
{
	static const char *const names[] = { "namespace", "address", "id", "bundle" };
	const char **places[] = { &flags->ns, &flags->address, &flags->id, &flags->bundle };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strlen(names[i]) == len && strncmp(names[i], name, len) == 0)
			*places[i] = value;
}

static struct flags parse_flags(int argc, char **argv)
{
	struct flags flags = { "", "", "", "", "" };

	for (int i = 1; i < argc; i++) {
		const char *name = argv[i], *equals;
		size_t len;

		if (name[0] != '-' || !name[1]) {
			flags.action = name;
			break;
		}
		name += name[1] == '-' ? 2 : 1;
		equals = strchr(name, '=');
		len = equals ? (size_t)(equals - name) : strlen(name);
		if (equals)
			set_flag(&flags, name, len, equals + 1);
		else if (!is_boolean(name, len) && i + 1 < argc)
			set_flag(&flags, name, len, argv[++i]);
	}
	return flags;
}

/* ---- places ---- */

static uint64_t fnv1a(uint64_t hash, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (uint8_t)bytes[i]) * 0x100000001b3u;
	return hash;
}

/* Whoever may write here could put a socket of his own in the task server's place, and would be obeyed. */
static bool make_private(const char *path)
{
	struct stat st;

	if ((mkdir(path, 0700) < 0 && errno != EEXIST) || lstat(path, &st) < 0)
		return false;
	errno = EPERM;
	return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 0022);
}

/* EXE, SHIM, CMD and DIR. False: errno. */
static bool find_place(struct place *place, const struct flags *flags, char cmd[static PATH_LEN], char dir[static PATH_LEN], char exe[static PATH_LEN])
{
	const char *state = getenv("TRIMARAN_STATE");
	ssize_t n = readlink("/proc/self/exe", exe, PATH_LEN - 1);
	char *slash, *shim;
	uint64_t hash = 0xcbf29ce484222325u;
	int len;

	exe[n > 0 ? n : 0] = 0;
	slash = strrchr(exe, '/');
	if (!slash)
		return false;
	*slash = 0;
	shim = slash + 1;
	slash = strrchr(exe, '/');
	len = snprintf(cmd, PATH_LEN, "%.*s/lib/trimaran/%s.cmd", slash ? (int)(slash - exe) : 0, exe, shim);
	hash = fnv1a(hash, shim, strlen(shim) + 1);
	hash = fnv1a(hash, flags->address, strlen(flags->address) + 1);
	hash = fnv1a(hash, flags->ns, strlen(flags->ns));
	errno = ENAMETOOLONG;
	if (len >= PATH_LEN || snprintf(dir, PATH_LEN, "%s/%016llx", state ? state : "/run/trimaran", (unsigned long long)hash) >= PATH_LEN)
		return false;
	*place = (struct place) { dir, cmd, shim, flags->address, flags->ns };
	return true;
}

static bool make_place(const struct place *place)
{
	char state[PATH_LEN];
	const char *slash = strrchr(place->dir, '/');

	snprintf(state, sizeof state, "%.*s", (int)(slash - place->dir), place->dir);
	return make_private(state) && make_private(place->dir);
}

/* ---- START ---- */

static bool stdin_matters(void)
{
	struct stat in, null;

	return fstat(0, &in) == 0 && !isatty(0) && !(stat("/dev/null", &null) == 0 && S_ISCHR(in.st_mode) && in.st_rdev == null.st_rdev);
}

static void read_stdin(struct buf *to, int64_t deadline)
{
	uint8_t chunk[4096];

	while (stdin_matters() && buf_len(to) < STDIN_MAX) {
		struct pollfd p = { .fd = 0, .events = POLLIN };
		int64_t left = deadline - clock_ms();
		ssize_t n;

		if (left <= 0 || poll(&p, 1, (int)left) <= 0)
			return;
		n = read(0, chunk, sizeof chunk);
		if (n == 0 || (n < 0 && errno != EINTR))
			return;
		buf_add(to, chunk, n > 0 ? (size_t)n : 0);
	}
}

static void add_strings(struct buf *b, char *const *strings, size_t n)
{
	buf_u16(b, (uint16_t)n);
	for (size_t i = 0; i < n; i++)
		buf_str(b, strings[i], strlen(strings[i]));
}

static void compose_start(struct buf *b, int argc, char **argv, int64_t deadline)
{
	size_t mark = message_begin(b, MSG_START, 0), n_env = 0;
	struct buf in = { 0 };
	char cwd[PATH_LEN];

	while (environ[n_env] && n_env < UINT16_MAX)
		n_env++;
	add_strings(b, argv, (size_t)argc);
	add_strings(b, environ, n_env);
	if (!getcwd(cwd, sizeof cwd))
		cwd[0] = 0;
	buf_str(b, cwd, strlen(cwd));
	read_stdin(&in, deadline);
	buf_blob(b, in.bytes ? in.bytes + in.start : NULL, buf_len(&in));
	buf_u32(b, (uint32_t)getpid());
	buf_free(&in);
	message_end(b, mark);
}

/* ---- ANSWER ---- */

struct answer {
	bool have, welcomed;
	uint8_t kind;
	int32_t code;
	struct view out, err, program;
	uint8_t *bytes; /* what the views point into */
};

static int take_message(void *owner, struct message_in *message)
{
	struct answer *a = owner;
	struct reader body = message->body;

	if (message->type == MSG_WELCOME) {
		a->welcomed = true;
		return 0;
	}
	if (message->type != MSG_ANSWER || a->have)
		return -EPROTO;
	a->bytes = malloc(body.left + 1);
	if (!a->bytes)
		return -ENOMEM;
	memcpy(a->bytes, body.at, body.left);
	body.at = a->bytes;
	a->kind = read_u8(&body);
	a->code = (int32_t)read_u32(&body);
	a->out = read_blob(&body);
	a->err = read_blob(&body);
	a->program = read_blob(&body);
	a->have = reader_done(&body) && a->kind <= 2;
	return a->have ? 0 : -EPROTO;
}

static int wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t left = deadline - clock_ms();

	if (left <= 0)
		return -ETIMEDOUT;
	return poll(&p, 1, (int)left) == 0 ? -ETIMEDOUT : 0;
}

/* Write all to a socket or pipe, waiting where it is full. */
static int write_all(int fd, const uint8_t *bytes, size_t n, int64_t deadline)
{
	while (n) {
		ssize_t done = write(fd, bytes, n);

		if (done < 0 && errno == EAGAIN) {
			int r = wait_for(fd, POLLOUT, deadline);

			if (r < 0)
				return r;
		} else if (done < 0 && errno != EINTR) {
			return -errno;
		}
		bytes += done > 0 ? done : 0;
		n -= done > 0 ? (size_t)done : 0;
	}
	return 0;
}

/* One try on one connection. 0: answered. -EPIPE: the server went away. -ETIMEDOUT. -EHOSTDOWN: it never said WELCOME, or stands still. */
static int ask(const struct place *place, int fd, const struct buf *start, struct answer *answer, int64_t deadline)
{
	int64_t welcome = clock_ms() + WELCOME_MS;
	struct inbox inbox = { 0 };
	uint8_t chunk[4096];
	int r = write_all(fd, start->bytes + start->start, buf_len(start), deadline);

	*answer = (struct answer) { 0 };
	while (r == 0 && !answer->have) {
		int64_t now = clock_ms(), limit = !answer->welcomed && welcome < deadline ? welcome : deadline;
		ssize_t n;

		r = wait_for(fd, POLLIN, now + LOOK_MS < limit ? now + LOOK_MS : limit);
		if (r < 0 && clock_ms() < limit && !server_stopped(place)) {
			r = 0; /* slow is not dead */
			continue;
		}
		if (r < 0) {
			r = clock_ms() < deadline ? -EHOSTDOWN : r;
			break;
		}
		n = read(fd, chunk, sizeof chunk);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		r = n <= 0 ? -EPIPE : inbox_feed(&inbox, chunk, (size_t)n, take_message, answer);
	}
	inbox_free(&inbox);
	return r == -ECONNRESET ? -EPIPE : r; /* also of the write: it died with us in its backlog */
}

static void sleep_ms(int ms)
{
	poll(NULL, 0, ms);
}

/* Reach the server and get its answer: started if there is none, replaced if it is mute, asked again if it goes away. */
static int get_answer(const struct place *place, const struct buf *start, struct answer *answer, int most_deaths, int64_t deadline)
{
	int r = -ETIMEDOUT, pause = LOCKED_MS;

	for (int tries = 0, deaths = 0; tries < TRIES && deaths < most_deaths && clock_ms() < deadline;) {
		int fd = reach_server(place, true);

		if (fd == -EAGAIN) { /* somebody is starting it */
			sleep_ms(LOCKED_MS);
			continue;
		}
		r = fd < 0 ? fd : ask(place, fd, start, answer, deadline);
		if (fd >= 0)
			close(fd);
		if (r == -EPIPE || r == -ECONNREFUSED) { /* it was killed, and may be again; one that ends at each start does so for longer than that */
			deaths++;
			sleep_ms(pause);
			pause = pause * 2 < DEATH_PAUSE_MAX_MS ? pause * 2 : DEATH_PAUSE_MAX_MS;
			continue;
		}
		if (fd >= 0 && r != -EHOSTDOWN)
			return r;
		if (r == -EHOSTDOWN)
			replace_server(place, 0, 0);
		tries++;
	}
	return r;
}

/* ---- serve ---- */

static void close_owned(void *owner, unsigned slot, int fd)
{
	const struct vm *vm = owner;

	(void)fd;
	if (vm->slot[slot] >= 0)
		close(vm->slot[slot]);
}

static void answer_child(int fd, const struct say *say)
{
	struct verdict no = { .error = ENOSYS };

	if (say->what == SAY_GATE)
		send(fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	else
		send(fd, &no, sizeof no, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Up to the end of file on the sync socket: the daemon has been executed, or not. */
static int await_exec(const struct vm *vm, int64_t deadline)
{
	struct say say = { 0 };

	for (;;) {
		int r = wait_for(vm->sync_monitor, POLLIN, deadline);
		ssize_t n = r < 0 ? 0 : recv(vm->sync_monitor, &say, sizeof say, MSG_DONTWAIT);

		if (r < 0)
			return r;
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			break;
		answer_child(vm->sync_monitor, &say);
	}
	return vm->page->failed ? -EIO : vm->page->execing ? 0 : -ECHILD;
}

static int report_step(uint32_t step, uint32_t error)
{
	dprintf(2, "trimaran: start: program step %d: %s\n", (int)step, strerror((int)error));
	return 1;
}

/* Kill what was cloned last, and see it dead: nobody shall connect to it any more. */
static void kill_child(const struct vm *vm)
{
	long pidfd = vm->pidfd;

	for (unsigned k = 1; k < CLONES_MAX; k++)
		if (vm->page->pids[k] > 0) /* our own child, not reaped */
			pidfd = kcall(SYS_pidfd_open, vm->page->pids[k], 0, 0, 0, 0, 0);
	kcall(SYS_pidfd_send_signal, pidfd, SIGKILL, 0, 0, 0, 0);
	wait_for((int)pidfd, POLLIN, clock_ms() + KILL_MS);
}

/* Before the next answer nobody may listen at the pod's socket any more: a task server would take that for a monitor, and print its address. */
static int ask_again(const struct vm *vm)
{
	if (vm->clones)
		kill_child(vm);
	kcall(SYS_close_range, 3, UINT32_MAX, 0, 0, 0, 0);
	return AGAIN;
}

/* AGAIN: what the program names is gone, as the task server's image is when the server died just now; another answer may do. */
static int serve(const struct answer *answer, int64_t deadline, bool last)
{
	struct program program;
	struct outcome outcome;
	struct vm vm;
	int r = program_open(&program, answer->program.bytes, answer->program.len, true);

	if (r < 0 || !program.n_clones)
		return fail("start", "the task server sent a bad program");
	vm_init(&vm, &program);
	vm.put_slot = close_owned;
	vm.owner = &vm;
	outcome = vm_run(&vm);
	if (outcome.run != RUN_CLONED)
		return outcome.error == ENOENT && !last ? ask_again(&vm) : report_step(outcome.step, outcome.error);
	r = await_exec(&vm, deadline);
	if (r == -EIO)
		return vm.page->error == ENOENT && !last ? ask_again(&vm) : report_step(vm.page->step, vm.page->error);
	if (r == 0)
		r = write_all(1, answer->out.bytes, answer->out.len, deadline);
	if (r == 0)
		return 0;
	kill_child(&vm);
	return fail("start", r == -ECHILD ? "the monitor ended before it was executed" : strerror(-r));
}

/* ---- main ---- */

static int bootstrap(const struct place *place, const struct flags *flags, int argc, char **argv)
{
	bool is_delete = strcmp(flags->action, "delete") == 0;
	int64_t deadline = clock_ms() + (is_delete ? DELETE_MS : START_MS);
	int most_deaths = is_delete ? DELETE_DEATHS : DEATHS; /* delete can do the essential by itself */
	struct buf start = { 0 };
	struct answer answer = { 0 };
	int r;

	compose_start(&start, argc, argv, deadline);
	r = !make_place(place) ? -errno : buf_len(&start) > MSG_MAX || start.broken ? -E2BIG : get_answer(place, &start, &answer, most_deaths, deadline);
	for (int tries = 1; r == 0 && answer.kind == 1; tries++) {
		int code = serve(&answer, deadline, tries == TRIES);

		if (code != AGAIN)
			return code;
		r = get_answer(place, &start, &answer, most_deaths, deadline);
	}
	if (r < 0 && is_delete) {
		dprintf(2, "trimaran: delete: no task server (%s), undoing without it\n", strerror(-r));
		return print_delete_response(undo_bundle(*flags->bundle ? flags->bundle : "."));
	}
	if (r < 0) {
		dprintf(2, "trimaran: start: the task server does not answer (%s); see %s/server.log\n", strerror(-r), place->dir);
		return 1;
	}
	if (answer.kind == 2 && is_delete)
		return print_delete_response(undo_bundle(*flags->bundle ? flags->bundle : "."));
	write_all(2, answer.err.bytes, answer.err.len, deadline);
	r = write_all(1, answer.out.bytes, answer.out.len, deadline);
	return r < 0 && answer.code == 0 ? 1 : answer.code;
}

int start_main(int argc, char **argv)
{
	char cmd[PATH_LEN], dir[PATH_LEN], exe[PATH_LEN];
	struct flags flags = parse_flags(argc, argv);
	struct place place;

	if (!find_place(&place, &flags, cmd, dir, exe))
		return fail("own path", strerror(errno));
	if (strcmp(flags.action, "start") && strcmp(flags.action, "delete")) {
		char **command = read_command(cmd, argv + 1);

		if (command)
			execv(command[0], command);
		return fail(cmd, strerror(errno));
	}
	signal(SIGPIPE, SIG_IGN);
	return bootstrap(&place, &flags, argc, argv);
}
