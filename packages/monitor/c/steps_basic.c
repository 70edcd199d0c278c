/* Steps that need no more than a system call or two. */
#define _GNU_SOURCE
#include "program.h"
#include "kernel.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* SYS: any system call. */
long step_sys(struct vm *vm, const struct insn *in)
{
	long arg[6], error = 0;

	for (unsigned i = 0; i < 6; i++)
		arg[i] = value_of(vm, in, i, &error);
	return error ? error : kcall(in->nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}

static size_t decimal(char out[static 24], int64_t value)
{
	uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
	char digits[24];
	size_t n = 0, len = 0;

	do
		digits[n++] = (char)('0' + rest % 10);
	while (rest /= 10);
	if (value < 0)
		digits[n++] = '-';
	while (n)
		out[len++] = digits[--n];
	return len;
}

/* STORE: a value into the data, as little endian or as text. */
long step_store(struct vm *vm, const struct insn *in)
{
	long error = 0, value = value_of(vm, in, 0, &error);
	uint64_t offset = in->arg[1], format = in->arg[2];
	uint8_t *to = vm->program->data + offset;
	char text[24] = { 0 }, digits[24] = { 0 };
	size_t len, n;

	if (error)
		return error;
	if (format == 4 || format == 8) {
		memcpy(to, &value, format);
		return 0;
	}
	if (format == 12) {
		n = decimal(digits, value);
		if (value < 0 || n > 10)
			return -ERANGE;
		memset(text, '0', 10 - n);
		memcpy(text + 10 - n, digits, n);
		len = 10;
	} else {
		len = decimal(text, value) + (format == 11);
	}
	if (len > vm->program->data_len - offset)
		return -E2BIG;
	memcpy(to, text, len);
	return 0;
}

/* LOAD: a number from the data. */
long step_load(struct vm *vm, const struct insn *in)
{
	const uint8_t *from = vm->program->data + in->arg[0];
	int32_t narrow;
	int64_t wide;

	if (in->arg[1] == 4) {
		memcpy(&narrow, from, sizeof narrow);
		return narrow;
	}
	memcpy(&wide, from, sizeof wide);
	return (long)wide;
}

/* BRANCH: signed comparison. */
bool branch_holds(const struct vm *vm, const struct insn *in)
{
	long error = 0;
	int64_t value = value_of(vm, in, 0, &error), with = (int64_t)in->arg[2];

	switch (in->arg[1]) {
	case 0: return value == with;
	case 1: return value != with;
	case 2: return value < with;
	default: return value >= with;
	}
}

/* KEEP: a slot owns the fd from now on. */
long step_keep(struct vm *vm, const struct insn *in)
{
	long error = 0, fd = value_of(vm, in, 0, &error);
	unsigned slot = (unsigned)in->arg[1];

	if (error || fd < 0 || fd > INT32_MAX)
		return -EBADF;
	error = kcall(SYS_fcntl, fd, F_GETFD, 0, 0, 0, 0);
	if (error < 0)
		return error;
	if (kind_of(in, 0) == KIND_SLOT || vm->slot[slot] == fd)
		return vm->slot[slot] == fd ? fd : -EINVAL; /* one fd has one owner */
	vm->put_slot(vm->owner, slot, (int)fd);
	vm->slot[slot] = (int)fd;
	return fd;
}

/* DROP: close a slot. */
long step_drop(struct vm *vm, const struct insn *in)
{
	unsigned slot = (unsigned)in->arg[0];

	if (vm->slot[slot] >= 0)
		vm->put_slot(vm->owner, slot, -1);
	vm->slot[slot] = -1;
	return 0;
}

/* MOVED: what the streams from a slot have copied. Before there are streams it is nothing. */
long step_moved(struct vm *vm, const struct insn *in)
{
	return vm->moved ? (long)vm->moved(vm->owner, (unsigned)in->arg[0]) : 0;
}

/* CLOSE: everything from 3 on but the list and the sync socket. */
long step_close(struct vm *vm, const struct insn *in)
{
	uint32_t keep[65], n = 0, from = 3;

	for (uint64_t i = 0; i <= in->arg[1]; i++) {
		uint32_t fd = (uint32_t)vm->sync_fd, at = n;

		if (i < in->arg[1])
			memcpy(&fd, data_of(vm, in, 0) + i * 4, sizeof fd);
		if (i < in->arg[1] && fd >> 31) {
			int64_t value = vm->reg[fd & 63];

			if (value < 0 || value > INT32_MAX)
				continue; /* an open that was tolerated: nothing to keep */
			fd = (uint32_t)value;
		}
		for (; at && keep[at - 1] > fd; at--)
			keep[at] = keep[at - 1];
		keep[at] = fd;
		n++;
	}
	for (uint32_t i = 0; i <= n; i++) {
		uint32_t fd = i < n ? keep[i] : UINT32_MAX;
		long r = fd > from ? kcall(SYS_close_range, from, i < n ? fd - 1 : fd, 0, 0, 0, 0) : 0;

		if (r < 0)
			return r;
		if (fd >= from && i < n)
			from = fd + 1;
	}
	return 0;
}

static long wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return kcall(SYS_ppoll, (long)&p, 1, 0, 0, 8, 0);
}

/* Write all of it, also to a non-blocking fd. */
static long write_all(int fd, const char *from, size_t len)
{
	while (len) {
		long n = kcall(SYS_write, fd, (long)from, (long)len, 0, 0, 0);

		if (n == -EAGAIN)
			n = wait_for(fd, POLLOUT) < 0 ? -EINTR : 0;
		if (n < 0 && n != -EINTR)
			return n;
		if (n > 0) {
			from += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* PUMP: copy until end of file. */
long step_pump(struct vm *vm, const struct insn *in)
{
	long error = 0, from = value_of(vm, in, 0, &error), to = value_of(vm, in, 1, &error);
	char chunk[16384];

	while (!error) {
		long n = kcall(SYS_read, from, (long)chunk, sizeof chunk, 0, 0, 0);

		if (n == 0 || n == -EIO) /* EIO: the other side of a terminal is gone */
			return 0;
		if (n == -EAGAIN)
			wait_for((int)from, POLLIN);
		else if (n < 0 && n != -EINTR)
			return n;
		else if (n > 0)
			error = write_all((int)to, chunk, (size_t)n);
	}
	return error;
}

/* EXIT: end the child. */
long step_exit(struct vm *vm, const struct insn *in)
{
	(void)vm;
	return kcall(SYS_exit_group, (long)in->arg[0], 0, 0, 0, 0, 0);
}

/* EXEC: the last step. No other system call here: a seccomp filter may be in force. */
long step_exec(struct vm *vm, const struct insn *in)
{
	long error = 0, dir = value_of(vm, in, 3, &error), flags = (long)in->arg[4];
	long path = value_of(vm, in, 0, &error), argv = value_of(vm, in, 1, &error), envp = value_of(vm, in, 2, &error), r;

	if (error)
		return error;
	vm->page->execing = 1;
	if ((int)dir == AT_FDCWD && !flags)
		r = kcall(SYS_execve, path, argv, envp, 0, 0, 0);
	else
		r = kcall(SYS_execveat, dir, path, argv, envp, flags, 0);
	vm->page->execing = 0;
	return r;
}
