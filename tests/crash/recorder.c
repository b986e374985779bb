/* Records what a process asks of the disk, and what it tells the world, in one exact order (LD_PRELOAD).
 *
 * RECORD_ROOT (absolute, no links in it): calls on files below it are recorded. RECORD_LOG: where to. Each recorded
 * call runs under one lock, shared by all recorded processes, and its record is appended before the lock falls: the
 * order of the records is the order in which the kernel saw the calls. What is written to standard output or a socket
 * is recorded too: an acknowledgement is before or after an fsync, and the log says which.
 *
 * A call that the model of the disk does not know is recorded as such ('!'), so that it is never missed in silence.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

struct head {
    uint32_t magic, op, pid, path_size, other_size, data_size;
    uint64_t inode, offset;
};
enum { MAGIC = 0x31434552, LOG_FD = 500 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_size;
static int log_fd = -1;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

static void die(const char *what) {
    fprintf(stderr, "recorder: %s: %s\n", what, strerror(errno));
    abort();
}

__attribute__((constructor)) static void begin(void) {
    const char *where = getenv("RECORD_ROOT"), *to = getenv("RECORD_LOG");
    if (!where || !to) return;
    root_size = strlen(where);
    if (root_size >= sizeof root) die("root");
    memcpy(root, where, root_size + 1);
    int fd = REAL(open)(to, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) die("log");
    log_fd = fcntl(fd, F_DUPFD_CLOEXEC, LOG_FD);
    REAL(close)(fd);
    if (log_fd < 0) die("log");
}

static void lock(void) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    pthread_mutex_lock(&mutex);
    while (fcntl(log_fd, F_SETLKW, &whole) < 0)
        if (errno != EINTR) die("lock");
}

static void unlock(void) {
    struct flock whole = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    int kept = errno;
    fcntl(log_fd, F_SETLK, &whole);
    pthread_mutex_unlock(&mutex);
    errno = kept;
}

static void record(char op, const char *path, const char *other, uint64_t inode, uint64_t offset, const void *data, size_t size) {
    int kept = errno;
    struct head head = {MAGIC, (uint32_t)op, (uint32_t)getpid(), path ? strlen(path) : 0, other ? strlen(other) : 0, size, inode, offset};
    struct iovec parts[4] = {
        {&head, sizeof head}, {(void *)path, head.path_size}, {(void *)other, head.other_size}, {(void *)data, size}};
    ssize_t whole = sizeof head + head.path_size + head.other_size + size;
    if (REAL(writev)(log_fd, parts, 4) != whole) die("record");
    errno = kept;
}

static int below(const char *path) {
    return log_fd >= 0 && !strncmp(path, root, root_size) && (path[root_size] == '/' || !path[root_size]);
}

/* The absolute path of what `name` means from the directory `at`. */
static int absolute(int at, const char *name, char path[PATH_MAX]) {
    char link[64];
    ssize_t size = 0;
    if (name[0] == '/') return snprintf(path, PATH_MAX, "%s", name) < PATH_MAX;
    if (at == AT_FDCWD) {
        if (!getcwd(path, PATH_MAX)) return 0;
        size = strlen(path);
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        if ((size = readlink(link, path, PATH_MAX - 1)) < 0) return 0;
    }
    return snprintf(path + size, PATH_MAX - size, "/%s", name) < PATH_MAX - size;
}

static int open_below(int fd, char path[PATH_MAX], uint64_t *inode) {
    char link[64];
    struct stat facts;
    if (log_fd < 0 || fd == log_fd) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    if (size < 0) return 0;
    path[size] = 0;
    if (!below(path) || fstat(fd, &facts) < 0) return 0;
    *inode = facts.st_ino;
    return 1;
}

/* Opening: what makes a file or empties one. */

static int opening(int at, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    struct stat facts;
    if (log_fd < 0 || !(flags & (O_CREAT | O_TRUNC)) || !absolute(at, name, path) || !below(path))
        return REAL(openat)(at, name, flags, mode);
    lock();
    int was = lstat(path, &facts) == 0;
    int fd = REAL(openat)(at, name, flags, mode);
    if (fd >= 0) {
        off_t size = was ? facts.st_size : 0;
        if (fstat(fd, &facts) < 0) die("fstat");
        if (!was) record('c', path, NULL, facts.st_ino, 0, NULL, 0);
        else if ((flags & O_TRUNC) && size) record('t', path, NULL, facts.st_ino, 0, NULL, 0);
    }
    unlock();
    return fd;
}

#define MODE                                       \
    mode_t mode = 0;                               \
    if (flags & (O_CREAT | O_TMPFILE)) {           \
        va_list more;                              \
        va_start(more, flags);                     \
        mode = va_arg(more, mode_t);               \
        va_end(more);                              \
    }
int open(const char *name, int flags, ...) { MODE return opening(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE return opening(AT_FDCWD, name, flags, mode); }
int openat(int at, const char *name, int flags, ...) { MODE return opening(at, name, flags, mode); }
int openat64(int at, const char *name, int flags, ...) { MODE return opening(at, name, flags, mode); }
int creat(const char *name, mode_t mode) { return opening(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }

/* Writing: to a file of ours, to standard output, or to a socket. */

static ssize_t written(int fd, const struct iovec *parts, int count, off_t offset, ssize_t (*how)(int, const struct iovec *, int, off_t)) {
    char path[PATH_MAX];
    uint64_t inode = 0;
    struct stat facts;
    int file = open_below(fd, path, &inode), told = !file && log_fd >= 0 && fd == 1;
    if (!file && !told) return how(fd, parts, count, offset);
    lock();
    if (file && offset < 0) {
        int appends = fcntl(fd, F_GETFL) & O_APPEND;
        if (fstat(fd, &facts) < 0) die("fstat");
        offset = appends ? facts.st_size : lseek(fd, 0, SEEK_CUR);
        ssize_t size = how(fd, parts, count, -1);
        for (ssize_t left = size, at = offset; left > 0; parts++) {
            ssize_t one = left < (ssize_t)parts->iov_len ? left : (ssize_t)parts->iov_len;
            record('w', path, NULL, inode, at, parts->iov_base, one);
            at += one, left -= one;
        }
        unlock();
        return size;
    }
    ssize_t size = how(fd, parts, count, offset);
    for (ssize_t left = size, at = offset; left > 0; parts++) {
        ssize_t one = left < (ssize_t)parts->iov_len ? left : (ssize_t)parts->iov_len;
        record(file ? 'w' : 'o', file ? path : NULL, NULL, inode, file ? at : 0, parts->iov_base, one);
        at += one, left -= one;
    }
    unlock();
    return size;
}

static ssize_t at_place(int fd, const struct iovec *parts, int count, off_t offset) { return REAL(pwritev)(fd, parts, count, offset); }
static ssize_t onwards(int fd, const struct iovec *parts, int count, off_t offset) {
    (void)offset;
    return REAL(writev)(fd, parts, count);
}
ssize_t write(int fd, const void *data, size_t size) {
    struct iovec one = {(void *)data, size};
    return written(fd, &one, 1, -1, onwards);
}
ssize_t writev(int fd, const struct iovec *parts, int count) { return written(fd, parts, count, -1, onwards); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    struct iovec one = {(void *)data, size};
    return written(fd, &one, 1, offset, at_place);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) { return pwrite(fd, data, size, offset); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) { return written(fd, parts, count, offset, at_place); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) { return written(fd, parts, count, offset, at_place); }

/* The port of the other side tells a server's answers to its clients apart; `inode` holds our own. */
static ssize_t sent(int fd, const void *data, ssize_t size) {
    struct sockaddr_in peer = {0}, own = {0};
    socklen_t room = sizeof peer, space = sizeof own;
    if (size > 0 && !getpeername(fd, (struct sockaddr *)&peer, &room) && !getsockname(fd, (struct sockaddr *)&own, &space) && peer.sin_family == AF_INET)
        record('s', NULL, NULL, ntohs(own.sin_port), ntohs(peer.sin_port), data, size);
    return size;
}

ssize_t send(int fd, const void *data, size_t size, int flags) {
    if (log_fd < 0) return REAL(send)(fd, data, size, flags);
    lock();
    ssize_t done = sent(fd, data, REAL(send)(fd, data, size, flags));
    unlock();
    return done;
}

/* Syncing. */

static int synced(int fd, int (*how)(int)) {
    char path[PATH_MAX];
    uint64_t inode;
    if (!open_below(fd, path, &inode)) return how(fd);
    lock();
    int done = how(fd);
    if (!done) record('f', path, NULL, inode, 0, NULL, 0);
    unlock();
    return done;
}
int fsync(int fd) { return synced(fd, REAL(fsync)); }
int fdatasync(int fd) { return synced(fd, REAL(fdatasync)); }

/* Sizes and names. */

int ftruncate(int fd, off_t size) {
    char path[PATH_MAX];
    uint64_t inode;
    if (!open_below(fd, path, &inode)) return REAL(ftruncate)(fd, size);
    lock();
    int done = REAL(ftruncate)(fd, size);
    if (!done) record('t', path, NULL, inode, size, NULL, 0);
    unlock();
    return done;
}
int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

static int named(char op, int at, const char *name, int to_at, const char *to, int done_by(int, const char *, int, const char *)) {
    char path[PATH_MAX], other[PATH_MAX] = "";
    struct stat facts = {0};
    if (log_fd < 0 || !absolute(at, name, path) || (to && !absolute(to_at, to, other)) || !(below(path) || below(other)))
        return done_by(at, name, to_at, to);
    lock();
    int done = done_by(at, name, to_at, to);
    if (!done) {
        if (op == 'm') lstat(path, &facts);
        record(op, path, to ? other : NULL, facts.st_ino, 0, NULL, 0);
    }
    unlock();
    return done;
}

static int renames(int at, const char *name, int to_at, const char *to) { return REAL(renameat)(at, name, to_at, to); }
static int unlinks(int at, const char *name, int flags, const char *to) {
    (void)to;
    return REAL(unlinkat)(at, name, flags);
}
static int makes(int at, const char *name, int mode, const char *to) {
    (void)to;
    return REAL(mkdirat)(at, name, mode);
}
static int links(int at, const char *name, int to_at, const char *to) { return REAL(linkat)(at, name, to_at, to, 0); }

int rename(const char *name, const char *to) { return named('r', AT_FDCWD, name, AT_FDCWD, to, renames); }
int renameat(int at, const char *name, int to_at, const char *to) { return named('r', at, name, to_at, to, renames); }
int unlink(const char *name) { return named('u', AT_FDCWD, name, 0, NULL, unlinks); }
int unlinkat(int at, const char *name, int flags) { return named('u', at, name, flags, NULL, unlinks); }
int rmdir(const char *name) { return named('u', AT_FDCWD, name, AT_REMOVEDIR, NULL, unlinks); }
int mkdir(const char *name, mode_t mode) { return named('m', AT_FDCWD, name, mode, NULL, makes); }
int mkdirat(int at, const char *name, mode_t mode) { return named('m', at, name, mode, NULL, makes); }
int link(const char *name, const char *to) { return named('!', AT_FDCWD, name, AT_FDCWD, to, links); }
int linkat(int at, const char *name, int to_at, const char *to, int flags) {
    (void)flags;
    return named('!', at, name, to_at, to, links);
}

/* What the model does not know: seen, so that the run is refused. */

static void unknown(int fd) {
    char path[PATH_MAX];
    uint64_t inode;
    if (!open_below(fd, path, &inode)) return;
    lock();
    record('!', path, NULL, inode, 0, NULL, 0);
    unlock();
}
int posix_fallocate64(int fd, off64_t offset, off64_t size) {
    unknown(fd);
    return REAL(posix_fallocate64)(fd, offset, size);
}
int fallocate64(int fd, int mode, off64_t offset, off64_t size) {
    unknown(fd);
    return REAL(fallocate64)(fd, mode, offset, size);
}
ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t size, unsigned flags) {
    unknown(to);
    return REAL(copy_file_range)(from, a, to, b, size, flags);
}
/* A mapping that can be written past us: SQLite's -shm is one, which holds nothing that must last. */
void *mmap64(void *where, size_t size, int access, int flags, int fd, off64_t offset) {
    char path[PATH_MAX];
    uint64_t inode;
    if ((access & PROT_WRITE) && (flags & MAP_SHARED) && fd >= 0 && open_below(fd, path, &inode)) {
        size_t end = strlen(path);
        if (end < 4 || strcmp(path + end - 4, "-shm")) unknown(fd);
    }
    return REAL(mmap64)(where, size, access, flags, fd, offset);
}
