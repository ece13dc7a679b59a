/* Intercepts the operations of a process on the files of a store: logs them, makes one fail, or kills.

   It is loaded with LD_PRELOAD, and so intercepts what any library does through libc.  Nothing happens before
   faults_arm is called.

   The key of an operation is "verb path", with the path relative to the store and each long random part of a
   name written as "*".  The fault strikes the n-th operation with one key, so a point is the same one from run
   to run, in whatever order threads reach it.  */

#define _GNU_SOURCE
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define RANDOM_LENGTH 12 /* hexadecimal digits in a row that make a part of a name random */
#define KEY_LENGTH (PATH_MAX + 32)

/* What happens to the operation that is struck.  */
enum fault { NOTHING, KILL, FAIL, FAIL_FROM_HERE };
enum verdict { GO, REFUSE, TEAR_AND_KILL, TEAR };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char prefix[PATH_MAX], target[KEY_LENGTH];
static int armed, log_descriptor = -1, seen, occurrence, error_number, struck;
static enum fault fault;

/* Start: operations under `store` are written to `log`, a line each; the `nth` (from 1) with `key` is struck.
   From now on fsync is only logged: the kernel keeps what a killed process has written.  */
void faults_arm(const char *store, const char *log, const char *key, int nth, int which, int error)
{
    snprintf(prefix, sizeof prefix, "%s", store);
    snprintf(target, sizeof target, "%s", key);
    log_descriptor = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    occurrence = nth, fault = which, error_number = error, seen = struck = 0, armed = 1;
}

static void die(void)
{
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;)
        pause();
}

/* The absolute path of what a system call names.  */
static void absolute(int folder, const char *path, char *out, size_t size)
{
    char base[PATH_MAX], link[64];
    if (path[0] == '/') {
        snprintf(out, size, "%s", path);
        return;
    }
    if (folder == AT_FDCWD)
        snprintf(link, sizeof link, "/proc/self/cwd");
    else
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, base, sizeof base - 1);
    base[length > 0 ? length : 0] = 0;
    snprintf(out, size, path[0] ? "%s/%s" : "%s%s", base, path);
}

/* The path within the store with random parts as "*", or NULL outside of it.  */
static const char *relative(const char *path, char *out, size_t size)
{
    size_t length = strlen(prefix), n = 0;
    if (strncmp(path, prefix, length) || (path[length] && path[length] != '/'))
        return NULL;
    path += length;
    while (*path == '/')
        path++;
    while (*path && n + 1 < size) {
        size_t run = strspn(path, "0123456789abcdef");
        if (run >= RANDOM_LENGTH) {
            out[n++] = '*';
            path += run;
            continue;
        }
        run = run ? run : 1;
        while (run-- && n + 1 < size)
            out[n++] = *path++;
    }
    out[n] = 0;
    return n ? out : ".";
}

static int always_fits(const char *verb)
{
    return !strcmp(verb, "unlink") || !strcmp(verb, "rmdir") || !strcmp(verb, "truncate");
}

/* Count and log one operation, and decide what happens to it.  */
static enum verdict meet(const char *verb, int folder, const char *path, const char *other)
{
    char whole[PATH_MAX], within[PATH_MAX], key[KEY_LENGTH], line[3 * KEY_LENGTH];
    if (!armed)
        return GO;
    absolute(folder, path, whole, sizeof whole);
    const char *name = relative(whole, within, sizeof within);
    if (!name)
        return GO;
    int writes = !strcmp(verb, "write");
    enum verdict verdict = GO;
    pthread_mutex_lock(&mutex);
    snprintf(key, sizeof key, "%s %s", verb, name);
    int hit = fault && !strcmp(key, target) && ++seen == occurrence;
    if (hit && fault == KILL)
        verdict = TEAR_AND_KILL;
    else if (hit && fault == FAIL_FROM_HERE && writes)
        verdict = TEAR;
    else if (hit || (struck && fault == FAIL_FROM_HERE && !always_fits(verb)))
        verdict = REFUSE;
    struck |= hit;
    int length = snprintf(line, sizeof line, "%s\t%s\t%s\t%s\t%s\n", verb, name, whole, other ? other : "",
                          hit ? "struck" : verdict == REFUSE ? "refused" : "");
    if (log_descriptor >= 0)
        syscall(SYS_write, log_descriptor, line, length);
    if (verdict == TEAR_AND_KILL && !writes)
        die();
    pthread_mutex_unlock(&mutex);
    return verdict;
}

static int refused(enum verdict verdict)
{
    if (verdict == REFUSE || verdict == TEAR)
        errno = error_number;
    return verdict == REFUSE || verdict == TEAR;
}

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

/* ---- creating files ---- */

static int makes(int flags)
{
    return flags & (O_CREAT | O_TRUNC);
}

#define OPEN_BODY(folder, call)                                                                              \
    mode_t mode = 0;                                                                                         \
    if (flags & (O_CREAT | __O_TMPFILE)) {                                                                   \
        va_list rest;                                                                                        \
        va_start(rest, flags);                                                                               \
        mode = va_arg(rest, mode_t);                                                                         \
        va_end(rest);                                                                                        \
    }                                                                                                        \
    if (makes(flags) && refused(meet("create", folder, path, NULL)))                                         \
        return -1;                                                                                           \
    return call;

int open(const char *path, int flags, ...) { OPEN_BODY(AT_FDCWD, REAL(open)(path, flags, mode)) }
int open64(const char *path, int flags, ...) { OPEN_BODY(AT_FDCWD, REAL(open64)(path, flags, mode)) }
int openat(int folder, const char *path, int flags, ...)
{
    OPEN_BODY(folder, REAL(openat)(folder, path, flags, mode))
}
int openat64(int folder, const char *path, int flags, ...)
{
    OPEN_BODY(folder, REAL(openat64)(folder, path, flags, mode))
}

FILE *fopen(const char *path, const char *mode)
{
    return mode[0] != 'r' && refused(meet("create", AT_FDCWD, path, NULL)) ? NULL : REAL(fopen)(path, mode);
}
FILE *fopen64(const char *path, const char *mode)
{
    return mode[0] != 'r' && refused(meet("create", AT_FDCWD, path, NULL)) ? NULL : REAL(fopen64)(path, mode);
}

/* ---- writing: a killed process, or a disk that gets full, leaves half of what was to be written ---- */

#define WRITE_BODY(whole, half)                                                                              \
    enum verdict verdict = armed ? meet("write", descriptor, "", NULL) : GO;                                 \
    if (verdict == TEAR_AND_KILL) {                                                                          \
        ssize_t written = half;                                                                              \
        (void)written;                                                                                       \
        die();                                                                                               \
    }                                                                                                        \
    if (verdict == TEAR && count > 1)                                                                        \
        return half;                                                                                         \
    return refused(verdict) ? -1 : whole;

ssize_t write(int descriptor, const void *data, size_t count)
{
    WRITE_BODY(REAL(write)(descriptor, data, count), REAL(write)(descriptor, data, count / 2))
}
ssize_t pwrite(int descriptor, const void *data, size_t count, off_t at)
{
    WRITE_BODY(REAL(pwrite)(descriptor, data, count, at), REAL(pwrite)(descriptor, data, count / 2, at))
}
ssize_t pwrite64(int descriptor, const void *data, size_t count, off64_t at)
{
    WRITE_BODY(REAL(pwrite64)(descriptor, data, count, at), REAL(pwrite64)(descriptor, data, count / 2, at))
}
static ssize_t write_half(int descriptor, const struct iovec *parts, int number)
{
    return number ? REAL(write)(descriptor, parts[0].iov_base, parts[0].iov_len / 2) : 0;
}
ssize_t writev(int descriptor, const struct iovec *parts, int number)
{
    size_t count = number ? parts[0].iov_len : 0;
    WRITE_BODY(REAL(writev)(descriptor, parts, number), write_half(descriptor, parts, number))
}

/* ---- the rest: done or refused ---- */

#define PLAIN(verb, folder, path, other, call)                                                               \
    return refused(meet(verb, folder, path, other)) ? -1 : call

int fsync(int descriptor)
{
    PLAIN("fsync", descriptor, "", NULL, armed ? 0 : REAL(fsync)(descriptor));
}
int fdatasync(int descriptor)
{
    PLAIN("fsync", descriptor, "", NULL, armed ? 0 : REAL(fdatasync)(descriptor));
}
int ftruncate(int descriptor, off_t length)
{
    PLAIN("truncate", descriptor, "", NULL, REAL(ftruncate)(descriptor, length));
}
int ftruncate64(int descriptor, off64_t length)
{
    PLAIN("truncate", descriptor, "", NULL, REAL(ftruncate64)(descriptor, length));
}
int mkdir(const char *path, mode_t mode)
{
    PLAIN("mkdir", AT_FDCWD, path, NULL, REAL(mkdir)(path, mode));
}
int mkdirat(int folder, const char *path, mode_t mode)
{
    PLAIN("mkdir", folder, path, NULL, REAL(mkdirat)(folder, path, mode));
}
int unlink(const char *path)
{
    PLAIN("unlink", AT_FDCWD, path, NULL, REAL(unlink)(path));
}
int unlinkat(int folder, const char *path, int flags)
{
    PLAIN(flags & AT_REMOVEDIR ? "rmdir" : "unlink", folder, path, NULL, REAL(unlinkat)(folder, path, flags));
}
int rmdir(const char *path)
{
    PLAIN("rmdir", AT_FDCWD, path, NULL, REAL(rmdir)(path));
}

#define PAIR(verb, from, source, to, destination, call)                                                      \
    char other[PATH_MAX];                                                                                    \
    absolute(to, destination, other, sizeof other);                                                          \
    PLAIN(verb, from, source, other, call)

int link(const char *source, const char *path)
{
    PAIR("link", AT_FDCWD, source, AT_FDCWD, path, REAL(link)(source, path));
}
int linkat(int from, const char *source, int to, const char *path, int flags)
{
    PAIR("link", from, source, to, path, REAL(linkat)(from, source, to, path, flags));
}
int rename(const char *source, const char *path)
{
    PAIR("rename", AT_FDCWD, source, AT_FDCWD, path, REAL(rename)(source, path));
}
int renameat(int from, const char *source, int to, const char *path)
{
    PAIR("rename", from, source, to, path, REAL(renameat)(from, source, to, path));
}
int renameat2(int from, const char *source, int to, const char *path, unsigned flags)
{
    PAIR("rename", from, source, to, path, REAL(renameat2)(from, source, to, path, flags));
}
