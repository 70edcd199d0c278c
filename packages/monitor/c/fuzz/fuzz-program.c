/* Verify and interpret any bytes as a program; the first byte seeds the kernel and says whether it is a RUN. */
#define _GNU_SOURCE
#include "fuzz.h"
#include "program.h"
#include <unistd.h>

static void put_nothing(void *owner, unsigned slot, int fd)
{
	(void)owner, (void)slot, (void)fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct program program;
	struct vm vm;

	if (!len || program_open(&program, bytes + 1, len - 1, !(bytes[0] & 1)) < 0)
		return 0;
	stub_reset(bytes[0] * 2654435761u);
	vm_init(&vm, &program);
	vm.put_slot = put_nothing;
	for (int i = 0; i < SLOTS; i += 2)
		vm.slot[i] = 0x40000000 + i;
	vm_run(&vm);
	if (vm.sync_fd >= 0 && vm.sync_fd < 0x40000000)
		close(vm.sync_fd);
	if (vm.sync_monitor >= 0)
		close(vm.sync_monitor);
	page_free(vm.page);
	program_free(&program);
	return 0;
}
