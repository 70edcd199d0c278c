#ifndef FUZZ_H
#define FUZZ_H
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
/* kernel_stub.c: which results the next stubbed system calls give; clone3 gives 0 (the child) or a pid. */
void stub_reset(uint32_t seed);

#endif
