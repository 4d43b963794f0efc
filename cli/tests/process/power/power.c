/* Power cuts for a process that is killed.
 *
 * Loaded before the C library into a daemon, this notes in a journal what each change of a file
 * below POWER_ROOT has overwritten, and which changes a sync has made durable since. Once the
 * process has been killed, whoever reads the journal can take back what no sync has covered: what a
 * power cut may do, and a kill never does, since the kernel keeps what was written.
 *
 * Each entry is written before the change that it is about, so that a process may be killed between
 * the two: taking back a change that was not made changes nothing.
 *
 *   W ino direct offset length size   a write; behind the line, the bytes that it replaces
 *   T ino size kept                   a file is cut off, or grows; behind the line, what is cut off
 *   C path                            a name appears
 *   U saved path                      a name goes away; the file stays as POWER_SIDE/saved
 *   R saved from to                   a name becomes another; saved is "-" if that was free
 *   S ino upto                        a file's changes up to that entry are durable
 *   D path upto                       a directory's changes up to that entry are durable
 *
 * Every line begins with the entry's number and the bytes behind it. With POWER_IGNORE_SYNC set, a
 * sync does nothing and says that it has: as a program does that has forgotten it. While there is a file
 * POWER_SIDE/fail, syncs fail, as those of a broken disk do.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define MOST_FILES 65536

static const char *root, *side;
static size_t root_length;
static int journal = -1;
static int ignore_sync;
static char fail_path[4096];
static uint64_t number;
static unsigned char tracked[MOST_FILES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int (*real_openat)(int, const char *, int, ...);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off64_t);
static int (*real_ftruncate)(int, off64_t);
static int (*real_rename)(const char *, const char *);
static int (*real_unlink)(const char *);
static int (*real_link)(const char *, const char *);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_close)(int);

static void fail(const char *what) {
    dprintf(2, "power: %s: %s\n", what, strerror(errno));
    abort();
}

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) fail(name);
    return found;
}

__attribute__((constructor(101))) static void start(void) {
    real_openat = real("openat64");
    real_write = real("write");
    real_pwrite = real("pwrite64");
    real_writev = real("writev");
    real_pwritev = real("pwritev64");
    real_ftruncate = real("ftruncate64");
    real_rename = real("rename");
    real_unlink = real("unlink");
    real_link = real("link");
    real_fsync = real("fsync");
    real_fdatasync = real("fdatasync");
    real_close = real("close");
    root = getenv("POWER_ROOT");
    side = getenv("POWER_SIDE");
    ignore_sync = getenv("POWER_IGNORE_SYNC") != NULL;
    if (!root || !side) return;
    root_length = strlen(root);
    char path[4096];
    snprintf(path, sizeof path, "%s/journal", side);
    snprintf(fail_path, sizeof fail_path, "%s/fail", side);
    journal = real_openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (journal < 0) fail(path);
}

static int below(const char *path) {
    return journal >= 0 && strncmp(path, root, root_length) == 0
        && (path[root_length] == '/' || path[root_length] == 0);
}

static int is_tracked(int fd) {
    return fd >= 0 && fd < MOST_FILES && tracked[fd];
}

/* With the lock held. */
static void note(const char *line, const void *bytes, size_t length) {
    char head[8300];
    int head_length = snprintf(head, sizeof head, "%llu %zu %s\n",
                               (unsigned long long)++number, length, line);
    struct iovec parts[2] = {{head, (size_t)head_length}, {(void *)bytes, length}};
    if (real_writev(journal, parts, length ? 2 : 1) != (ssize_t)(head_length + length)) {
        fail("the journal");
    }
}

/* What the file holds in a range, as far as it has so much. */
static char *held(int fd, off64_t offset, size_t length, off64_t size, size_t *there) {
    *there = 0;
    if (offset >= size || !length) return NULL;
    if (offset + (off64_t)length > size) length = (size_t)(size - offset);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int reading = real_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    char *bytes = malloc(length);
    if (reading < 0 || !bytes) fail("reading what is overwritten");
    while (*there < length) {
        ssize_t n = pread64(reading, bytes + *there, length - *there, offset + (off64_t)*there);
        if (n <= 0) break;
        *there += (size_t)n;
    }
    real_close(reading);
    return bytes;
}

static void note_write(int fd, off64_t offset, size_t length) {
    struct stat64 now;
    if (fstat64(fd, &now)) fail("fstat");
    int flags = fcntl(fd, F_GETFL);
    if (offset < 0) offset = flags & O_APPEND ? now.st_size : lseek64(fd, 0, SEEK_CUR);
    size_t there;
    char *bytes = held(fd, offset, length, now.st_size, &there);
    char line[200];
    snprintf(line, sizeof line, "W %llu %d %lld %zu %lld", (unsigned long long)now.st_ino,
             flags & O_DIRECT ? 1 : 0, (long long)offset, length, (long long)now.st_size);
    note(line, bytes, there);
    free(bytes);
}

static void note_cut(int fd, off64_t kept) {
    struct stat64 now;
    if (fstat64(fd, &now)) fail("fstat");
    if (now.st_size == kept) return;
    size_t there = 0;
    char *bytes = kept < now.st_size
        ? held(fd, kept, (size_t)(now.st_size - kept), now.st_size, &there) : NULL;
    char line[200];
    snprintf(line, sizeof line, "T %llu %lld %lld", (unsigned long long)now.st_ino,
             (long long)now.st_size, (long long)kept);
    note(line, bytes, there);
    free(bytes);
}

/* Keeps the file of a name that is about to lose it. */
static void save(const char *path, char *name, size_t length) {
    char kept[4200];
    snprintf(name, length, "saved-%llu", (unsigned long long)number + 1);
    snprintf(kept, sizeof kept, "%s/%s", side, name);
    if (real_link(path, kept)) snprintf(name, length, "-");
}

static int open_at(int at, const char *path, int flags, mode_t mode) {
    if (at != AT_FDCWD || !below(path)) return real_openat(at, path, flags, mode);
    pthread_mutex_lock(&lock);
    int wants = flags & (O_CREAT | O_TRUNC);
    struct stat64 before;
    int was_there = stat64(path, &before) == 0;
    char line[4200];
    if (wants & O_CREAT && !was_there) {
        snprintf(line, sizeof line, "C %s", path);
        note(line, NULL, 0);
    }
    if (wants & O_TRUNC && was_there && before.st_size > 0) {
        int fd = real_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            note_cut(fd, 0);
            real_close(fd);
        }
    }
    int fd = real_openat(at, path, flags, mode);
    if (fd >= 0 && fd < MOST_FILES) tracked[fd] = 1;
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list more; \
        va_start(more, flags); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    }

int open(const char *path, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return open_at(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return open_at(at, path, flags | O_LARGEFILE, mode); }

int close(int fd) {
    if (is_tracked(fd)) tracked[fd] = 0;
    /* Somebody may be faster than the constructor. */
    if (!real_close) real_close = real("close");
    return real_close(fd);
}

#define WRITING(fd, offset, length, call) \
    if (!is_tracked(fd)) return call; \
    pthread_mutex_lock(&lock); \
    note_write(fd, offset, length); \
    ssize_t done = call; \
    int error = errno; \
    pthread_mutex_unlock(&lock); \
    errno = error; \
    return done;

static size_t total(const struct iovec *parts, int count) {
    size_t sum = 0;
    for (int i = 0; i < count; i++) sum += parts[i].iov_len;
    return sum;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    WRITING(fd, -1, length, real_write(fd, bytes, length))
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    WRITING(fd, offset, length, real_pwrite(fd, bytes, length, offset))
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    return pwrite64(fd, bytes, length, offset);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    WRITING(fd, -1, total(parts, count), real_writev(fd, parts, count))
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    WRITING(fd, offset, total(parts, count), real_pwritev(fd, parts, count, offset))
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    return pwritev64(fd, parts, count, offset);
}

int ftruncate64(int fd, off64_t length) {
    if (!is_tracked(fd)) return real_ftruncate(fd, length);
    pthread_mutex_lock(&lock);
    note_cut(fd, length);
    int done = real_ftruncate(fd, length);
    pthread_mutex_unlock(&lock);
    return done;
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int rename(const char *from, const char *to) {
    if (!below(from) || !below(to)) return real_rename(from, to);
    pthread_mutex_lock(&lock);
    char saved[64], line[8300];
    save(to, saved, sizeof saved);
    /* No path of a data directory has a tab in it. */
    snprintf(line, sizeof line, "R %s %s\t%s", saved, from, to);
    note(line, NULL, 0);
    int done = real_rename(from, to);
    pthread_mutex_unlock(&lock);
    return done;
}

int unlink(const char *path) {
    if (!below(path)) return real_unlink(path);
    pthread_mutex_lock(&lock);
    char saved[64], line[4300];
    save(path, saved, sizeof saved);
    if (saved[0] != '-') {
        snprintf(line, sizeof line, "U %s %s", saved, path);
        note(line, NULL, 0);
    }
    int done = real_unlink(path);
    pthread_mutex_unlock(&lock);
    return done;
}

int link(const char *from, const char *to) {
    if (!below(to)) return real_link(from, to);
    pthread_mutex_lock(&lock);
    char line[4200];
    snprintf(line, sizeof line, "C %s", to);
    note(line, NULL, 0);
    int done = real_link(from, to);
    pthread_mutex_unlock(&lock);
    return done;
}

static int synced(int fd, int (*call)(int)) {
    if (!is_tracked(fd)) return call(fd);
    if (ignore_sync) return 0;
    if (access(fail_path, F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    pthread_mutex_lock(&lock);
    /* What is written while the sync is at work need not be covered by it. */
    uint64_t upto = number;
    pthread_mutex_unlock(&lock);
    struct stat64 now;
    if (fstat64(fd, &now)) fail("fstat");
    if (call(fd)) return -1;
    char line[4300], path[4096] = "", name[64];
    if (S_ISDIR(now.st_mode)) {
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(name, path, sizeof path - 1);
        if (length < 0) fail("readlink");
        path[length] = 0;
        snprintf(line, sizeof line, "D %s %llu", path, (unsigned long long)upto);
    } else {
        snprintf(line, sizeof line, "S %llu %llu", (unsigned long long)now.st_ino,
                 (unsigned long long)upto);
    }
    pthread_mutex_lock(&lock);
    note(line, NULL, 0);
    pthread_mutex_unlock(&lock);
    return 0;
}

int fsync(int fd) { return synced(fd, real_fsync); }
int fdatasync(int fd) { return synced(fd, real_fdatasync); }
