/* CLONE, and the two ways in which a child talks to the monitor. */
#define _GNU_SOURCE
#include "program.h"
#include "kernel.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SYNC_FD_MIN = 200, KERNEL_SIGSET = 8 };

static const uint64_t REFUSED = K_CLONE_VM | K_CLONE_FS | K_CLONE_FILES | K_CLONE_SIGHAND | K_CLONE_VFORK | K_CLONE_THREAD | K_CLONE_SETTLS;

static long open_channel(struct vm *vm)
{
	int pair[2];

	vm->page = mmap(NULL, sizeof *vm->page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (vm->page == MAP_FAILED) {
		vm->page = NULL;
		return -ENOMEM;
	}
	if (kcall(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, (long)pair, 0, 0) == 0) {
		vm->sync_monitor = pair[0];
		vm->sync_fd = pair[1];
		return 0;
	}
	page_free(vm->page);
	vm->page = NULL;
	return -EMFILE;
}

static void close_channel(struct vm *vm)
{
	close(vm->sync_fd);
	close(vm->sync_monitor);
	page_free(vm->page);
	vm->sync_fd = vm->sync_monitor = -1;
	vm->page = NULL;
}

/* The first thing that a child does: signals as if newly executed, and the sync socket out of the way of dup3's targets. */
static void become_child(struct vm *vm)
{
	struct { uint64_t handler, flags, restorer, mask; } dfl = { 0 };
	uint64_t none = 0;
	long high;

	vm->child = true;
	kcall(SYS_rt_sigaction, SIGPIPE, (long)&dfl, 0, KERNEL_SIGSET, 0, 0);
	kcall(SYS_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, KERNEL_SIGSET, 0, 0);
	kcall(SYS_close, vm->sync_monitor, 0, 0, 0, 0, 0);
	high = kcall(SYS_fcntl, vm->sync_fd, F_DUPFD_CLOEXEC, SYNC_FD_MIN, 0, 0, 0);
	if (high >= 0) {
		kcall(SYS_close, vm->sync_fd, 0, 0, 0, 0, 0);
		vm->sync_fd = (int)high;
	}
}

static long clone_first(struct vm *vm, struct kclone_args *args, uint64_t close_slots)
{
	int pidfd = -1;
	long pid = open_channel(vm);

	if (pid < 0)
		return pid;
	args->flags |= K_CLONE_PIDFD;
	args->pidfd = (uint64_t)(uintptr_t)&pidfd;
	pid = kcall(SYS_clone3, (long)args, sizeof *args, 0, 0, 0, 0);
	if (pid < 0) {
		close_channel(vm);
		return pid;
	}
	vm->clones = 1;
	if (!pid) {
		become_child(vm);
		return 0;
	}
	close(vm->sync_fd);
	vm->sync_fd = -1;
	vm->pid = (pid_t)pid;
	vm->pidfd = pidfd;
	for (unsigned i = 0; i < SLOTS; i++)
		if (close_slots >> i & 1 && vm->slot[i] >= 0) {
			vm->put_slot(vm->owner, i, -1);
			vm->slot[i] = -1;
		}
	return pid;
}

/* A later clone: a sibling takes over, whose pid the kernel writes into the shared page before it runs, and this process ends. */
static long clone_again(struct vm *vm, struct kclone_args *args)
{
	long pid;

	if (vm->clones >= CLONES_MAX)
		return -EAGAIN;
	args->flags |= K_CLONE_PARENT | K_CLONE_PARENT_SETTID;
	args->exit_signal = 0;
	args->parent_tid = (uint64_t)(uintptr_t)&vm->page->pids[vm->clones];
	pid = kcall(SYS_clone3, (long)args, sizeof *args, 0, 0, 0, 0);
	if (pid < 0)
		return pid;
	if (pid > 0)
		kcall(SYS_exit_group, 0, 0, 0, 0, 0, 0);
	vm->clones++;
	return 0;
}

/* CLONE: go on in a child. */
long step_clone(struct vm *vm, const struct insn *in)
{
	struct kclone_args args;

	memcpy(&args, data_of(vm, in, 0), sizeof args);
	if (args.flags & REFUSED || args.stack || args.stack_size)
		return -EINVAL;
	args.exit_signal = args.flags & K_CLONE_PARENT ? 0 : SIGCHLD;
	return vm->child ? clone_again(vm, &args) : clone_first(vm, &args, in->arg[2]);
}

static long read_exactly(int fd, void *to, size_t len)
{
	long n;

	do
		n = kcall(SYS_read, fd, (long)to, (long)len, 0, 0, 0);
	while (n == -EINTR);
	if (n < 0)
		return n;
	return (size_t)n == len ? 0 : -EPIPE; /* end of file: the monitor is gone */
}

/* SYNC: tell the task server something, perhaps with an fd, and wait for its verdict. */
long step_sync(struct vm *vm, const struct insn *in)
{
	long error = 0, value = value_of(vm, in, 1, &error), fd = value_of(vm, in, 2, &error);
	struct say say = { SAY_SYNC, (uint32_t)in->arg[0], (uint64_t)value, (uint32_t)in->arg[3], (uint32_t)in->arg[5] };
	struct iovec parts[2] = { { &say, sizeof say }, { data_of(vm, in, 4), (size_t)in->arg[5] } };
	union { struct cmsghdr align; char bytes[CMSG_SPACE(sizeof(int))]; } control = { 0 };
	struct msghdr msg = { .msg_iov = parts, .msg_iovlen = 2 };
	struct verdict verdict;

	if (error)
		return error;
	if (fd >= 0 && fd <= INT32_MAX) {
		int number = (int)fd;
		struct cmsghdr *c;

		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof control.bytes;
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof number);
		memcpy(CMSG_DATA(c), &number, sizeof number);
	}
	error = kcall(SYS_sendmsg, vm->sync_fd, (long)&msg, MSG_NOSIGNAL, 0, 0, 0);
	if (error >= 0)
		error = read_exactly(vm->sync_fd, &verdict, sizeof verdict);
	if (error < 0)
		return error;
	return verdict.error ? -(long)(verdict.error & 4095) : (long)verdict.value;
}

/* GATE: report, then wait for one byte. write and read, nothing else: a seccomp filter may be in force. */
long step_gate(struct vm *vm, const struct insn *in)
{
	struct say say = { .what = SAY_GATE };
	uint8_t byte;
	long r = kcall(SYS_write, vm->sync_fd, (long)&say, sizeof say, 0, 0, 0);

	(void)in;
	if (r >= 0)
		r = read_exactly(vm->sync_fd, &byte, sizeof byte);
	if (r == -EPIPE)
		kcall(SYS_exit_group, 255, 0, 0, 0, 0, 0);
	return r;
}
