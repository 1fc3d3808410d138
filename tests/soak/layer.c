/* A layer between programs and the system in which one chosen operation fails.
 *
 *   gcc -shared -fPIC -O1 -o layer.so layer.c -ldl
 *   LD_PRELOAD=layer.so FAULTS_CONTROL=control program
 *
 * All processes that are started so share the file `control` (struct control below, written by
 * layer.py). They count their operations on files below its folder; the one with the chosen number
 * fails, or kills its process. What libc does within itself (fopen, shm_open) is not seen.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind { WRITE, RENAME, FSYNC, UNLINK, OPEN, READ, MKDIR, SPAWN, KINDS };

enum { MOST = 32 };

struct fault {
    uint32_t kind;         /* of the operation that fails */
    int32_t error;         /* errno, or 0: the process is killed */
    uint64_t nth;          /* its number, from 1 */
    uint32_t lasting;      /* every later operation that needs room fails too: the disk is full */
    _Atomic uint32_t fired;
    _Atomic uint64_t matched;
    char place[256];       /* pattern of paths: nth counts operations on these alone; empty: all */
    char program[128];     /* and of programs whose command line begins with or holds this */
    char what[512];        /* what failed: path, and program */
};

struct control {
    _Atomic uint64_t counts[KINDS];
    _Atomic int64_t jump;  /* seconds by which the time of day is off */
    uint64_t faults;       /* so many are chosen */
    char folder[512];
    char record[512];      /* file that tells each operation; empty: none */
    struct fault chosen[MOST];
};

static struct control *control;
static int paused;
static char named[256]; /* what this process does, where its command line does not say it */

/* For a process that prepares others and is none of the program itself. */
void layer_pause(int wanted)
{
    paused = wanted;
}

static long raw(long number, long a, long b, long c, long d)
{
    return syscall(number, a, b, c, d);
}

__attribute__((constructor)) static void attach(void)
{
    const char *path = getenv("FAULTS_CONTROL");
    if (!path)
        return;
    int file = raw(SYS_openat, AT_FDCWD, (long)path, O_RDWR | O_CLOEXEC, 0);
    if (file < 0)
        return;
    void *found = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    raw(SYS_close, file, 0, 0, 0);
    if (found != MAP_FAILED)
        control = found;
}

void layer_name(const char *name)
{
    snprintf(named, sizeof named, "%s", name);
}

static void link_of(const char *link, char *found, size_t size)
{
    long length = raw(SYS_readlinkat, AT_FDCWD, (long)link, (long)found, size - 1);
    found[length > 0 ? length : 0] = 0;
}

/* The absolute path of a path that is relative to a folder. */
static void resolve(int folder, const char *path, char *found, size_t size)
{
    char base[PATH_MAX] = "", link[64];
    if (path && path[0] != '/') {
        if (folder == AT_FDCWD)
            snprintf(link, sizeof link, "/proc/self/cwd");
        else
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        link_of(link, base, sizeof base);
    }
    snprintf(found, size, "%s%s%s", base, base[0] ? "/" : "", path ? path : "");
}

static int counts_here(const char *path)
{
    size_t length = strlen(control->folder);
    int below = length && !strncmp(path, control->folder, length) && path[length] == '/';
    return below && !strstr(path, "/../"); /* programs are called with a path that leads out */
}

/* What this process does. */
static void describe(char *program, size_t size)
{
    program[0] = 0;
    if (named[0]) {
        snprintf(program, size, "%s", named);
        return;
    }
    int file = raw(SYS_openat, AT_FDCWD, (long)"/proc/self/cmdline", O_RDONLY | O_CLOEXEC, 0);
    long length = file < 0 ? 0 : raw(SYS_read, file, (long)program, size - 1, 0);
    if (file >= 0)
        raw(SYS_close, file, 0, 0, 0);
    for (long i = 0; i < length; i++)
        if (program[i] < ' ')
            program[i] = ' ';
    program[length > 0 ? length : 0] = 0;
}

/* Whether an operation is at the place that is asked for: a path below the folder, and a program. */
static int at_place(const struct fault *fault, const char *path)
{
    char program[256];
    const char *wanted = fault->program;
    size_t length = strlen(control->folder);
    if (!strncmp(path, control->folder, length))
        path += length;
    if (fnmatch(fault->place, path, 0))
        return 0;
    describe(program, sizeof program);
    if (wanted[0] == '^')
        return !strncmp(program, wanted + 1, strlen(wanted + 1));
    return strstr(program, wanted) != NULL;
}

static void tell(enum kind kind, const char *path)
{
    char program[256], line[PATH_MAX + 512];
    describe(program, sizeof program);
    snprintf(line, sizeof line, "%d\t%s\t%.250s\n", kind, path, program);
    int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC;
    int file = raw(SYS_openat, AT_FDCWD, (long)control->record, flags, 0600);
    if (file >= 0) {
        raw(SYS_write, file, (long)line, strlen(line), 0);
        raw(SYS_close, file, 0, 0, 0);
    }
}

static void fire(struct fault *fault, const char *path)
{
    char program[256];
    describe(program, sizeof program);
    snprintf(fault->what, sizeof fault->what, "%.300s\t%.200s", path, program);
    atomic_store(&fault->fired, 1);
}

/* 0: go on; an errno: fail with it; -1: leave this process. */
static int verdict(enum kind kind, const char *path)
{
    uint64_t number = atomic_fetch_add(&control->counts[kind], 1) + 1;
    int needs_room = kind == WRITE || kind == FSYNC || kind == OPEN || kind == MKDIR, full = 0;
    if (control->record[0])
        tell(kind, path);
    for (struct fault *one = control->chosen; one < control->chosen + control->faults; one++) {
        if (atomic_load(&one->fired)) {
            full |= one->lasting && needs_room;
            continue;
        }
        if (kind != one->kind || (one->place[0] && !at_place(one, path)))
            continue;
        uint64_t found = one->place[0] ? atomic_fetch_add(&one->matched, 1) + 1 : number;
        if (found == one->nth) {
            fire(one, path);
            return one->error ? one->error : -1;
        }
    }
    return full ? ENOSPC : 0;
}

static void leave(void)
{
    raw(SYS_kill, raw(SYS_getpid, 0, 0, 0, 0), SIGKILL, 0, 0);
}

/* Whether the operation fails; errno is set then. */
static int fails(enum kind kind, int folder, const char *path)
{
    char found[PATH_MAX + 256];
    int before = errno;
    if (!control || paused)
        return 0;
    resolve(folder, path, found, sizeof found);
    if (kind != SPAWN && !counts_here(found))
        return 0;
    int error = verdict(kind, found);
    if (error < 0)
        leave();
    errno = error ? error : before;
    return error != 0;
}

/* The same of an open file; before a kill, half of what was to be written is. */
static int file_fails(enum kind kind, int file, const void *text, size_t size)
{
    char link[64], found[PATH_MAX];
    int before = errno;
    if (!control || paused)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    link_of(link, found, sizeof found);
    if (!counts_here(found)) {
        errno = before;
        return 0;
    }
    int error = verdict(kind, found);
    if (error < 0) {
        if (text)
            raw(SYS_write, file, (long)text, size / 2, 0);
        leave();
    }
    errno = error ? error : before;
    return error != 0;
}

ssize_t write(int file, const void *text, size_t size)
{
    return file_fails(WRITE, file, text, size) ? -1 : raw(SYS_write, file, (long)text, size, 0);
}

ssize_t pwrite64(int file, const void *text, size_t size, off64_t at)
{
    return file_fails(WRITE, file, NULL, 0) ? -1 : raw(SYS_pwrite64, file, (long)text, size, at);
}

ssize_t pwrite(int file, const void *text, size_t size, off_t at)
{
    return pwrite64(file, text, size, at);
}

ssize_t writev(int file, const struct iovec *parts, int count)
{
    return file_fails(WRITE, file, NULL, 0) ? -1 : raw(SYS_writev, file, (long)parts, count, 0);
}

ssize_t sendfile64(int to, int from, off64_t *at, size_t size)
{
    return file_fails(WRITE, to, NULL, 0) ? -1 : raw(SYS_sendfile, to, from, (long)at, size);
}

ssize_t sendfile(int to, int from, off_t *at, size_t size)
{
    return sendfile64(to, from, at, size);
}

ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t size, unsigned flags)
{
    if (file_fails(WRITE, to, NULL, 0))
        return -1;
    return syscall(SYS_copy_file_range, from, a, to, b, size, flags);
}

int fsync(int file)
{
    return file_fails(FSYNC, file, NULL, 0) ? -1 : raw(SYS_fsync, file, 0, 0, 0);
}

int fdatasync(int file)
{
    return file_fails(FSYNC, file, NULL, 0) ? -1 : raw(SYS_fdatasync, file, 0, 0, 0);
}

int renameat(int a, const char *from, int b, const char *to)
{
    return fails(RENAME, b, to) ? -1 : raw(SYS_renameat, a, (long)from, b, (long)to);
}

int rename(const char *from, const char *to)
{
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int unlinkat(int folder, const char *path, int flags)
{
    return fails(UNLINK, folder, path) ? -1 : raw(SYS_unlinkat, folder, (long)path, flags, 0);
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int mkdirat(int folder, const char *path, mode_t mode)
{
    return fails(MKDIR, folder, path) ? -1 : raw(SYS_mkdirat, folder, (long)path, mode, 0);
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

static int open_file(int folder, const char *path, int flags, mode_t mode)
{
    int writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT);
    if (!(flags & O_DIRECTORY) && fails(writes ? OPEN : READ, folder, path))
        return -1;
    return raw(SYS_openat, folder, (long)path, flags, mode);
}

#define MODE(flags)                                             \
    mode_t mode = 0;                                            \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                    \
        va_list rest;                                           \
        va_start(rest, flags);                                  \
        mode = va_arg(rest, mode_t);                            \
        va_end(rest);                                           \
    }

int open(const char *path, int flags, ...)
{
    MODE(flags)
    return open_file(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    MODE(flags)
    return open_file(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    MODE(flags)
    return open_file(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...)
{
    MODE(flags)
    return open_file(folder, path, flags | O_LARGEFILE, mode);
}

pid_t fork(void)
{
    static pid_t (*next)(void);
    if (!next)
        next = dlsym(RTLD_NEXT, "fork");
    return fails(SPAWN, AT_FDCWD, "fork") ? -1 : next();
}

int execve(const char *path, char *const arguments[], char *const environment[])
{
    if (fails(SPAWN, AT_FDCWD, path))
        return -1;
    return raw(SYS_execve, (long)path, (long)arguments, (long)environment, 0);
}

typedef int spawner(pid_t *, const char *, const posix_spawn_file_actions_t *,
                    const posix_spawnattr_t *, char *const[], char *const[]);

static int spawn(const char *name, pid_t *pid, const char *path,
                 const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *options,
                 char *const arguments[], char *const environment[])
{
    spawner *next = (spawner *)dlsym(RTLD_NEXT, name);
    if (fails(SPAWN, AT_FDCWD, path))
        return errno;
    return next(pid, path, actions, options, arguments, environment);
}

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *options, char *const arguments[],
                char *const environment[])
{
    return spawn("posix_spawn", pid, path, actions, options, arguments, environment);
}

int posix_spawnp(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *options, char *const arguments[],
                 char *const environment[])
{
    return spawn("posix_spawnp", pid, path, actions, options, arguments, environment);
}

int clock_gettime(clockid_t which, struct timespec *found)
{
    int code = raw(SYS_clock_gettime, which, (long)found, 0, 0);
    if (!code && control && which == CLOCK_REALTIME)
        found->tv_sec += atomic_load(&control->jump);
    return code;
}

int gettimeofday(struct timeval *restrict found, void *restrict zone)
{
    int code = raw(SYS_gettimeofday, (long)found, (long)zone, 0, 0);
    if (!code && found && control)
        found->tv_sec += atomic_load(&control->jump);
    return code;
}

time_t time(time_t *found)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (found)
        *found = now.tv_sec;
    return now.tv_sec;
}
