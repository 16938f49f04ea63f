#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK 16384

static int check_regular(int fd, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_set(err, ERROR_CONFIG, "%s", strerror(errno));
	if (S_ISDIR(st.st_mode))
		return error_set(err, ERROR_CONFIG, "is a directory");
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERROR_CONFIG, "is not a regular file");
	return 0;
}

/* The limit is checked against what is read: the size in the inode may be stale, or 0
 * (/proc). */
static int read_all(int fd, size_t limit, struct buffer *out, struct error *err)
{
	size_t total = 0;

	for (;;) {
		ssize_t got = read(fd, buffer_reserve(out, CHUNK), CHUNK);

		if (got < 0)
			return error_set(err, ERROR_CONFIG, "%s", strerror(errno));
		if (got == 0)
			return 0;
		total += (size_t)got;
		if (total > limit)
			return error_set(err, ERROR_CONFIG, "is larger than %zu bytes",
					 limit);
		buffer_commit(out, (size_t)got);
	}
}

int file_read(const char *path, size_t limit, struct buffer *out, struct error *err)
{
	/* Without O_NONBLOCK opening a FIFO would wait for its writer. */
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	int result;

	if (fd < 0)
		return error_set(err, ERROR_CONFIG, "%s", strerror(errno));
	result = check_regular(fd, err);
	if (result == 0)
		result = read_all(fd, limit, out, err);
	close(fd);
	return result;
}
