/*
 * Runs LLVMFuzzerTestOneInput without libFuzzer: corpus files first, then mutations of them. fuzz-X SECONDS SEED FILE…
 * An input that a sanitizer stops at, or that takes ten seconds, is kept beside the first file, as found-SEED.
 */
#define _GNU_SOURCE
#include "fuzz.h"
#include <fcntl.h>
#include <sanitizer/common_interface_defs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { INPUT_MAX = 64 << 10, CORPUS_MAX = 256, SLOW_SECONDS = 10, PATH_BYTES = 4096 };

static const uint8_t *running;
static size_t running_len;
static char keep_path[PATH_BYTES];

/* The process is about to end: nothing but system calls. */
static void keep(void)
{
	int fd = open(keep_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, running, running_len) != (ssize_t)running_len)
		_exit(3);
	close(fd);
}

static void too_slow(int signal)
{
	static const char text[] = "fuzz: an input takes too long\n";

	(void)signal;
	keep();
	_exit(write(STDERR_FILENO, text, sizeof text - 1) < 0 ? 3 : 1);
}

static void attempt(const uint8_t *bytes, size_t len)
{
	running = bytes;
	running_len = len;
	alarm(SLOW_SECONDS);
	LLVMFuzzerTestOneInput(bytes, len);
}

static void keep_findings(const char *first, const char *seed)
{
	const char *slash = strrchr(first, '/');

	snprintf(keep_path, sizeof keep_path, "%.*sfound-%s", slash ? (int)(slash + 1 - first) : 0, first, seed);
	signal(SIGALRM, too_slow);
	__sanitizer_set_death_callback(keep);
}

struct input {
	uint8_t *bytes;
	size_t len;
};

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static struct input read_input(const char *path)
{
	struct input in = { malloc(INPUT_MAX), 0 };
	FILE *file = fopen(path, "rb");

	if (!file || !in.bytes) {
		perror(path);
		exit(2);
	}
	in.len = fread(in.bytes, 1, INPUT_MAX, file);
	fclose(file);
	return in;
}

static const uint64_t interesting[] = { 0, 1, 7, 8, 16, 63, 64, 127, 128, 255, 256, 4095, 4096, 65535, 65536, 0x7fffffff, 0x80000000, 0xffffffff, UINT64_MAX };

static size_t mutate(uint8_t *bytes, size_t len, uint64_t *random)
{
	for (uint64_t n = 1 + next_random(random) % 6; n; n--) {
		size_t at = len ? (size_t)(next_random(random) % len) : 0, width = (size_t)1 << next_random(random) % 4;
		uint64_t value = interesting[next_random(random) % (sizeof interesting / sizeof *interesting)];

		switch (next_random(random) % 6) {
		case 0:
			if (len)
				bytes[at] ^= (uint8_t)(1u << next_random(random) % 8);
			break;
		case 1:
			if (len)
				bytes[at] = (uint8_t)next_random(random);
			break;
		case 2:
			if (at + width <= len)
				memcpy(bytes + at, &value, width);
			break;
		case 3:
			len = at;
			break;
		case 4: /* repeat a part */
			width = len ? (size_t)(next_random(random) % 64) : 0;
			if (at + width <= len && len + width <= INPUT_MAX) {
				memmove(bytes + at + width, bytes + at, len - at);
				len += width;
			}
			break;
		default: /* drop a part */
			width = (size_t)(next_random(random) % 16);
			if (at + width <= len) {
				memmove(bytes + at, bytes + at + width, len - at - width);
				len -= width;
			}
		}
	}
	return len;
}

int main(int argc, char **argv)
{
	time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 5);
	uint64_t random = (argc > 2 ? strtoull(argv[2], NULL, 10) : 1) * 2 + 1, runs = 0;
	struct input corpus[CORPUS_MAX];
	size_t n = 0;
	uint8_t *bytes = malloc(INPUT_MAX);

	for (int i = 3; i < argc && n < CORPUS_MAX; i++)
		corpus[n++] = read_input(argv[i]);
	if (!n || !bytes)
		return 2;
	keep_findings(argv[3], argv[2]);
	for (size_t i = 0; i < n; i++)
		attempt(corpus[i].bytes, corpus[i].len);
	for (; time(NULL) < end; runs++) {
		const struct input *from = &corpus[next_random(&random) % n];
		uint8_t *exact;
		size_t len;

		memcpy(bytes, from->bytes, from->len);
		len = mutate(bytes, from->len, &random);
		exact = malloc(len ? len : 1); /* its own allocation: a read behind the end is seen */
		if (!exact)
			return 2;
		memcpy(exact, bytes, len);
		attempt(exact, len);
		free(exact);
	}
	alarm(0);
	printf("%llu runs\n", (unsigned long long)runs);
	for (size_t i = 0; i < n; i++)
		free(corpus[i].bytes);
	free(bytes);
	return 0;
}
