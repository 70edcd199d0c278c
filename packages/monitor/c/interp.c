/* The interpreter. After CLONE it runs in the child: no malloc, stdio or locks from there on. */
#define _GNU_SOURCE
#include "program.h"
#include "kernel.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { EXIT_STEP_FAILED = 255, ANY_ERRNO = 0xffff, SKIP_ON_ERROR = 0x8000 };

long value_of(const struct vm *vm, const struct insn *in, unsigned i, long *error)
{
	uint64_t arg = in->arg[i];

	switch (kind_of(in, i)) {
	case KIND_DATA: return (long)(uintptr_t)(vm->program->data + arg);
	case KIND_REG: return (long)vm->reg[arg];
	case KIND_SLOT:
		if (vm->slot[arg] < 0)
			*error = -EBADF;
		return vm->slot[arg];
	default: return (long)arg;
	}
}

static long run_step(struct vm *vm, const struct insn *in)
{
	switch ((enum op)in->op) {
	case OP_SYS: return step_sys(vm, in);
	case OP_CLONE: return step_clone(vm, in);
	case OP_SYNC: return step_sync(vm, in);
	case OP_GATE: return step_gate(vm, in);
	case OP_PATH: return step_path(vm, in);
	case OP_CHECK: return step_check(vm, in);
	case OP_CAPS: return step_caps(vm, in);
	case OP_CWD: return step_cwd(vm, in);
	case OP_FIND: return step_find(vm, in);
	case OP_CLOSE: return step_close(vm, in);
	case OP_STORE: return step_store(vm, in);
	case OP_EXEC: return step_exec(vm, in);
	case OP_KEEP: return step_keep(vm, in);
	case OP_DROP: return step_drop(vm, in);
	case OP_FIELD: return step_field(vm, in);
	case OP_PUMP: return step_pump(vm, in);
	case OP_EXIT: return step_exit(vm, in);
	case OP_LOAD: return step_load(vm, in);
	case OP_MOVED: return step_moved(vm, in);
	case OP_BRANCH:
	case OP_END: break;
	}
	return 0;
}

static bool tolerated(const struct insn *in, long r)
{
	for (unsigned i = 0; i < 2; i++)
		if (in->tolerate[i] == ANY_ERRNO || (in->tolerate[i] && -r == in->tolerate[i]))
			return true;
	return false;
}

/* How many steps to go forward after `in` gave r. 0: an error that nobody tolerates. */
static uint32_t advance(const struct vm *vm, const struct insn *in, long r)
{
	if (in->op == OP_BRANCH)
		return 1u + (branch_holds(vm, in) ? in->skip : 0u);
	if (r < 0 && !tolerated(in, r))
		return 0;
	if ((r < 0) == (in->skip >= SKIP_ON_ERROR))
		return 1u + (in->skip & 0x7fffu);
	return 1;
}

static void fail_child(struct vm *vm, uint32_t step, long r)
{
	if (!vm->page->failed) { /* else a child of ours failed first, which is why */
		vm->page->step = step;
		vm->page->error = (uint32_t)-r;
	}
	__atomic_store_n(&vm->page->failed, 1, __ATOMIC_RELEASE);
	kcall(SYS_exit_group, EXIT_STEP_FAILED, 0, 0, 0, 0, 0);
}

void vm_init(struct vm *vm, const struct program *program)
{
	memset(vm, 0, sizeof *vm);
	vm->program = program;
	vm->sync_fd = vm->sync_monitor = vm->pidfd = -1;
	for (unsigned i = 0; i < SLOTS; i++)
		vm->slot[i] = -1;
}

struct outcome vm_run(struct vm *vm)
{
	const struct program *program = vm->program;

	for (uint32_t pc = 0; pc < program->n_steps;) {
		const struct insn *in = &program->steps[pc];
		long r = run_step(vm, in);
		uint32_t by = advance(vm, in, r);

		if (in->dst != NO_REG)
			vm->reg[in->dst] = r;
		if (!by && vm->child) {
			fail_child(vm, pc, r);
			return (struct outcome) { RUN_FAILED, pc, (uint32_t)-r }; /* only where exit_group is a stub */
		}
		if (!by)
			return (struct outcome) { RUN_FAILED, pc, (uint32_t)-r };
		if (in->op == OP_CLONE && r > 0)
			return (struct outcome) { RUN_CLONED, pc, 0 };
		pc += by;
	}
	if (vm->child)
		kcall(SYS_exit_group, 0, 0, 0, 0, 0, 0);
	return (struct outcome) { RUN_DONE, 0, 0 };
}

void page_free(struct page *page)
{
	if (page)
		munmap(page, sizeof *page);
}
