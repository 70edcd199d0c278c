/* Every offset, register, slot, op and kind of a program is checked here, before its first step runs. */
#define _GNU_SOURCE
#include "program.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HEADER = 32, SLACK = 64, MAGIC = 0x31504c54 };

struct header {
	uint32_t magic, total;
	uint16_t n_steps, n_regs;
	uint32_t data_offset, n_relocs, reloc_offset;
	uint64_t reserved;
};
_Static_assert(sizeof(struct header) == HEADER, "the header is 32 bytes");

/* What an op wants of its arguments: V any value, I immediate, D data offset, S data string, - nothing. */
struct rule {
	char args[7];
	bool in_monitor, in_child;
};
static const struct rule rules[OP_END] = {
	[OP_SYS] = { "VVVVVV", true, true }, [OP_CLONE] = { "DII---", true, true }, [OP_SYNC] = { "IVVIDI", false, true },
	[OP_GATE] = { "------", false, true }, [OP_PATH] = { "VSIII-", true, true }, [OP_CHECK] = { "VIV---", true, true },
	[OP_CAPS] = { "DI----", false, true }, [OP_CWD] = { "S-----", false, true }, [OP_FIND] = { "SD----", true, true },
	[OP_CLOSE] = { "DI----", false, true }, [OP_STORE] = { "VII---", true, true }, [OP_EXEC] = { "SDDVI-", false, true },
	[OP_KEEP] = { "VI----", true, false }, [OP_DROP] = { "I-----", true, false }, [OP_FIELD] = { "VSIIII", true, true },
	[OP_PUMP] = { "VV----", false, true }, [OP_EXIT] = { "I-----", false, true }, [OP_BRANCH] = { "VII---", true, true },
	[OP_LOAD] = { "II----", true, true }, [OP_MOVED] = { "I-----", true, false },
};

static bool fits(const struct program *p, uint64_t offset, uint64_t len)
{
	return offset <= p->data_len && len <= p->data_len - offset;
}

static bool is_string(const struct program *p, uint64_t offset)
{
	return offset < p->data_len && memchr(p->data + offset, 0, p->data_len - offset) != NULL;
}

static bool argument_ok(const struct program *p, const struct insn *in, unsigned i, char want)
{
	enum kind kind = kind_of(in, i);

	switch (want) {
	case '-': return kind == KIND_IMM;
	case 'I': return kind == KIND_IMM;
	case 'D': return kind == KIND_DATA && in->arg[i] < p->data_len;
	case 'S': return kind == KIND_DATA && is_string(p, in->arg[i]);
	default: break;
	}
	switch (kind) {
	case KIND_IMM: return true;
	case KIND_DATA: return in->arg[i] < p->data_len;
	case KIND_REG: return in->arg[i] < p->n_regs;
	case KIND_SLOT: return in->arg[i] < SLOTS;
	default: return false;
	}
}

/* FIND's list: strings up to an empty one, all before the end of the data. */
static bool list_ok(const struct program *p, uint64_t offset)
{
	while (is_string(p, offset) && p->data[offset])
		offset += strlen((const char *)p->data + offset) + 1;
	return is_string(p, offset);
}

static bool close_ok(const struct program *p, const struct insn *in)
{
	if (in->arg[1] > 64 || in->arg[0] % 4 || !fits(p, in->arg[0], in->arg[1] * 4))
		return false;
	for (uint64_t i = 0; i < in->arg[1]; i++) {
		uint32_t fd;

		memcpy(&fd, p->data + in->arg[0] + i * 4, sizeof fd);
		if (fd >> 31 && (fd & 0x7fffffff) >= p->n_regs)
			return false;
	}
	return true;
}

/* An argv or envp: pointers that relocations made, up to a null. They are read by the kernel only; the null must be inside. */
static bool vector_ok(const struct program *p, uint64_t offset)
{
	if (offset % 8)
		return false;
	for (; fits(p, offset, 8); offset += 8) {
		uint64_t pointer;

		memcpy(&pointer, p->data + offset, sizeof pointer);
		if (!pointer)
			return true;
	}
	return false;
}

/* What the table of rules cannot say. */
static bool special_ok(const struct program *p, const struct insn *in)
{
	const uint64_t *a = in->arg;

	switch ((enum op)in->op) {
	case OP_CLONE: return a[0] % 8 == 0 && fits(p, a[0], 88) && a[2] >> SLOTS == 0 && !(a[2] >> SLOT_SYNC & 3);
	case OP_SYNC: return a[5] <= SYNC_DATA_MAX && fits(p, a[4], a[5]) && (a[3] == NO_FD_SLOT || user_slot(a[3]));
	case OP_PATH: return a[2] <= 3 && a[3] <= 07777 && a[4] <= 3;
	case OP_CHECK: return a[1] >= 1 && a[1] <= 7;
	case OP_CAPS: return fits(p, a[0], 40) && a[1] <= 7;
	case OP_FIND: return list_ok(p, a[0]) && fits(p, a[1], 4096);
	case OP_CLOSE: return close_ok(p, in);
	case OP_STORE: return ((a[2] == 4 || a[2] == 8) && fits(p, a[1], a[2])) || (a[2] >= 10 && a[2] <= 12 && fits(p, a[1], 1));
	case OP_LOAD: return (a[1] == 4 || a[1] == 8) && fits(p, a[0], a[1]);
	case OP_EXEC: return vector_ok(p, a[1]) && vector_ok(p, a[2]);
	case OP_KEEP: return user_slot(a[1]);
	case OP_DROP:
	case OP_MOVED: return user_slot(a[0]);
	case OP_FIELD: return a[2] < 64 && a[3] < 64 && a[5] >= 1 && a[5] <= 4096 && fits(p, a[4], a[5]);
	case OP_BRANCH: return a[1] <= 3 && !(in->skip >> 15);
	default: return true;
	}
}

static bool step_ok(const struct program *p, uint32_t index)
{
	const struct insn *in = &p->steps[index];
	uint32_t to = index + 1u + (in->skip & 0x7fffu);
	const struct rule *rule;

	if (in->op == 0 || in->op >= OP_END || (in->dst != NO_REG && in->dst >= p->n_regs) || in->kinds >> 24)
		return false;
	if (to > p->n_steps || (index < p->first_clone && p->first_clone < p->n_steps && to > p->first_clone))
		return false;
	rule = &rules[in->op];
	if (!(index <= p->first_clone ? rule->in_monitor : rule->in_child))
		return false;
	for (unsigned i = 0; i < 6; i++)
		if (!argument_ok(p, in, i, rule->args[i]))
			return false;
	return special_ok(p, in);
}

static bool steps_ok(struct program *p, bool may_clone)
{
	p->first_clone = p->n_steps;
	for (uint32_t i = p->n_steps; i-- > 0;)
		if (p->steps[i].op == OP_CLONE) {
			p->first_clone = i;
			p->n_clones++;
		}
	if (p->n_clones > (may_clone ? CLONES_MAX : 0))
		return false;
	for (uint32_t i = 0; i < p->n_steps; i++)
		if (!step_ok(p, i))
			return false;
	return true;
}

static bool relocate(struct program *p, const uint8_t *relocs, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t where, target;
		uint64_t address;

		memcpy(&where, relocs + i * 8ul, 4);
		memcpy(&target, relocs + i * 8ul + 4, 4);
		if (where % 8 || !fits(p, where, 8) || target >= p->data_len)
			return false;
		address = (uint64_t)(uintptr_t)(p->data + target);
		memcpy(p->data + where, &address, sizeof address);
	}
	return true;
}

static bool header_ok(const struct header *h, size_t len)
{
	uint64_t steps_end = HEADER + (uint64_t)h->n_steps * sizeof(struct insn);

	return h->magic == MAGIC && h->total == len && len <= PROGRAM_MAX && h->n_steps >= 1 && h->n_steps <= STEPS_MAX &&
		h->n_regs <= REGS && h->reserved == 0 && h->data_offset % 8 == 0 && steps_end <= h->data_offset &&
		h->data_offset <= h->reloc_offset && h->reloc_offset + (uint64_t)h->n_relocs * 8 == len;
}

int program_open(struct program *p, const uint8_t *bytes, size_t len, bool may_clone)
{
	struct header h;
	size_t steps_len, total;

	memset(p, 0, sizeof *p);
	if (len < HEADER)
		return -EINVAL;
	memcpy(&h, bytes, sizeof h);
	if (!header_ok(&h, len))
		return -EINVAL;
	steps_len = h.n_steps * sizeof(struct insn);
	p->data_len = h.reloc_offset - h.data_offset;
	total = steps_len + p->data_len + SLACK;
	p->memory = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->memory == MAP_FAILED) {
		p->memory = NULL;
		return -ENOMEM;
	}
	p->memory_len = total;
	p->steps = p->memory;
	p->data = (uint8_t *)p->memory + steps_len;
	p->n_steps = h.n_steps;
	p->n_regs = h.n_regs;
	memcpy(p->memory, bytes + HEADER, steps_len);
	memcpy(p->data, bytes + h.data_offset, p->data_len);
	if (relocate(p, bytes + h.reloc_offset, h.n_relocs) && steps_ok(p, may_clone))
		return 0;
	program_free(p);
	return -EINVAL;
}

void program_free(struct program *p)
{
	if (p->memory)
		munmap(p->memory, p->memory_len);
	p->memory = NULL;
}
