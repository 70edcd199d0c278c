/* What a shell can't ask of a file system. Prints results, or the errno's name. Only for the tests. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

static int failed(void)
{
	printf("%s\n", strerror(errno));
	return 0;
}

/* mmap FILE: write "hello" at 5000 of a megabyte, through shared memory. */
static int map(char **args)
{
	int fd = open(args[0], O_RDWR | O_CREAT, 0644);
	char *bytes;

	if (fd < 0 || ftruncate(fd, 1 << 20) < 0)
		return failed();
	bytes = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (bytes == MAP_FAILED)
		return failed();
	memcpy(bytes + 5000, "hello", 5);
	return msync(bytes, 1 << 20, MS_SYNC) < 0 ? failed() : 0;
}

/* rename FLAGS FROM TO */
static int rename_with(char **args)
{
	if (syscall(SYS_renameat2, AT_FDCWD, args[1], AT_FDCWD, args[2], atoi(args[0])) < 0)
		return failed();
	puts("renamed");
	return 0;
}

/* xattr FILE NAME BYTES: set, read back, list, remove, list. */
static int xattr(char **args)
{
	size_t len = strtoul(args[2], NULL, 10);
	char *value = malloc(len + 1), names[256];
	ssize_t n;

	if (!value)
		return 1;
	memset(value, 'v', len);
	if (setxattr(args[0], args[1], value, len, 0) < 0)
		return failed();
	printf("%zd ", getxattr(args[0], args[1], value, len + 1));
	n = listxattr(args[0], names, sizeof names);
	if (n < 0 || removexattr(args[0], args[1]) < 0)
		return failed();
	printf("%zd %zd\n", n, n - listxattr(args[0], names, sizeof names));
	free(value);
	return 0;
}

/* hole FILE: a byte at 10 MiB; where does SEEK_HOLE say the first hole is? */
static int hole(char **args)
{
	int fd = open(args[0], O_RDWR | O_CREAT, 0644);

	if (fd < 0 || pwrite(fd, "x", 1, 10 << 20) != 1 || fsync(fd) < 0)
		return failed();
	printf("%lld\n", (long long)lseek(fd, 0, SEEK_HOLE));
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "mmap"))
		return map(argv + 2);
	if (argc == 5 && !strcmp(argv[1], "rename"))
		return rename_with(argv + 2);
	if (argc == 5 && !strcmp(argv[1], "xattr"))
		return xattr(argv + 2);
	if (argc == 3 && !strcmp(argv[1], "hole"))
		return hole(argv + 2);
	return 2;
}
