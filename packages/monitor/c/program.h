/* Launch programs: PROTOCOL.md, section 5. */
#ifndef PROGRAM_H
#define PROGRAM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	SLOTS = 24, SLOT_SYNC = 14, SLOT_PIDFD = 15, REGS = 64, STEPS_MAX = 4096, CLONES_MAX = 8, SYNC_DATA_MAX = 4096,
	PROGRAM_MAX = 8 << 20, NO_STEP = 0xffffffff, NO_REG = 0xffff, NO_FD_SLOT = 255
};
enum kind { KIND_IMM, KIND_DATA, KIND_REG, KIND_SLOT };
enum op {
	OP_SYS = 1, OP_CLONE, OP_SYNC, OP_GATE, OP_PATH, OP_CHECK, OP_CAPS, OP_CWD, OP_FIND, OP_CLOSE, OP_STORE, OP_EXEC, OP_KEEP,
	OP_DROP, OP_FIELD, OP_PUMP, OP_EXIT, OP_BRANCH, OP_LOAD, OP_MOVED, OP_END
};

struct insn {
	uint16_t op, dst, nr, skip, tolerate[2];
	uint32_t kinds;
	uint64_t arg[6];
};
_Static_assert(sizeof(struct insn) == 64, "a step is 64 bytes");

struct program {
	void *memory; /* one allocation: steps, then data, then slack of zeros, so that a string without a NUL ends inside */
	const struct insn *steps;
	uint8_t *data;
	size_t memory_len;
	uint32_t n_steps, data_len, first_clone, n_clones;
	uint32_t n_regs;
};

/* Shared by the monitor and one spawn's processes. Data, never control: whatever stands here is checked before it is used. */
struct page {
	uint32_t failed, step, error, execing;
	int32_t pids[CLONES_MAX];
};

/* What goes over the sync socket (SOCK_SEQPACKET). */
enum { SAY_GATE = 1, SAY_SYNC = 2 };
struct say {
	uint32_t what, code;
	uint64_t value;
	uint32_t slot, data_len;
};
struct verdict {
	uint32_t error, pad;
	uint64_t value;
};

struct vm {
	const struct program *program;
	struct page *page;
	void (*put_slot)(void *owner, unsigned slot, int fd); /* the slot owns fd; what was there is closed. -1: only close */
	int64_t (*moved)(void *owner, unsigned slot); /* bytes that the streams from a slot have copied, or -errno */
	void *owner;
	int slot[SLOTS];
	int sync_fd;       /* the child's end */
	int sync_monitor;  /* the monitor's end, after CLONE */
	int pidfd;         /* after CLONE */
	pid_t pid;         /* after CLONE */
	uint32_t clones;
	bool child;
	int64_t reg[REGS];
};

/* A slot that programs may fill: not the monitor's own two. */
static inline bool user_slot(uint64_t i)
{
	return i < SLOTS && i != SLOT_SYNC && i != SLOT_PIDFD;
}

enum run { RUN_DONE, RUN_FAILED, RUN_CLONED };
struct outcome {
	enum run run;
	uint32_t step, error;
};

/* Copy, relocate and verify `bytes`. 0, -EINVAL or -ENOMEM; on success `program_free` gives it back. `may_clone`: false for RUN. */
int program_open(struct program *program, const uint8_t *bytes, size_t len, bool may_clone);
void program_free(struct program *program);

void vm_init(struct vm *vm, const struct program *program);
/* Run up to the end, a failure, or (in the monitor) the first CLONE. In the child it never returns. */
struct outcome vm_run(struct vm *vm);
void page_free(struct page *page);

/* One function for each op, a result or -errno. */
long step_sys(struct vm *vm, const struct insn *in);
long step_clone(struct vm *vm, const struct insn *in);
long step_sync(struct vm *vm, const struct insn *in);
long step_gate(struct vm *vm, const struct insn *in);
long step_path(struct vm *vm, const struct insn *in);
long step_check(struct vm *vm, const struct insn *in);
long step_caps(struct vm *vm, const struct insn *in);
long step_cwd(struct vm *vm, const struct insn *in);
long step_find(struct vm *vm, const struct insn *in);
long step_close(struct vm *vm, const struct insn *in);
long step_store(struct vm *vm, const struct insn *in);
long step_exec(struct vm *vm, const struct insn *in);
long step_keep(struct vm *vm, const struct insn *in);
long step_drop(struct vm *vm, const struct insn *in);
long step_field(struct vm *vm, const struct insn *in);
long step_pump(struct vm *vm, const struct insn *in);
long step_exit(struct vm *vm, const struct insn *in);
bool branch_holds(const struct vm *vm, const struct insn *in);
long step_load(struct vm *vm, const struct insn *in);
long step_moved(struct vm *vm, const struct insn *in);

static inline enum kind kind_of(const struct insn *in, unsigned i)
{
	return (enum kind)(in->kinds >> (4 * i) & 15);
}
/* The argument's value; -EBADF through `*error` for an empty slot. */
long value_of(const struct vm *vm, const struct insn *in, unsigned i, long *error);
static inline char *data_of(const struct vm *vm, const struct insn *in, unsigned i)
{
	return (char *)vm->program->data + in->arg[i];
}

#endif
