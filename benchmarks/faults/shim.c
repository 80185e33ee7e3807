/* Makes writing fail while the file named by QUINTET_FAULT exists: its first letter says how.
 * s: flushing fails (EIO)   f: the disk is full (ENOSPC)   h: it is full half way through a write
 * One call in QUINTET_FAULT_EVERY fails. Loaded before libc, so it reaches SQLite and Python alike. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static int kind(void) {
    static __thread int calls = 0;
    const char *path = getenv("QUINTET_FAULT"), *every = getenv("QUINTET_FAULT_EVERY");
    char letter = 0;
    int handle = path ? open(path, O_RDONLY) : -1;
    if (handle < 0) return 0;
    if (read(handle, &letter, 1) != 1) letter = 0;
    close(handle);
    calls++;
    return calls % (every ? atoi(every) : 1) == 0 ? letter : 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fsync(int handle) {
    if (kind() == 's') { errno = EIO; return -1; }
    return REAL(fsync)(handle);
}

int fdatasync(int handle) {
    if (kind() == 's') { errno = EIO; return -1; }
    return REAL(fdatasync)(handle);
}

/* How much of a write goes through; after one that was cut short, nothing of the next. */
static size_t allowed(size_t length) {
    static __thread int cut = 0;
    int letter = kind();
    if (cut) { cut = 0; return 0; }
    if (letter == 'f') return 0;
    if (letter != 'h') return length;
    cut = 1;
    return length / 2;
}

ssize_t pwrite(int handle, const void *data, size_t length, off_t position) {
    size_t some = allowed(length);
    if (length && !some) { errno = ENOSPC; return -1; }
    return REAL(pwrite)(handle, data, some, position);
}

ssize_t pwrite64(int handle, const void *data, size_t length, off64_t position) {
    size_t some = allowed(length);
    if (length && !some) { errno = ENOSPC; return -1; }
    return REAL(pwrite64)(handle, data, some, position);
}
