/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cachefile.h"

#define SPARE_BYTES ((uint64_t)64 << 20) /* of the disk, left to others */
#define KEEP_BYTES ((uint64_t)8 << 30)   /* of a folder, if nobody says more or less */
enum { KEEP_PART = 5 };                  /* and at most a fifth of the disk's room */

static int fail_at(aios_error *err, const char *dir, const char *name, const char *what)
{
    int e = errno, code = e == ENOENT || e == ENOTDIR ? AIOS_ENOENT : e == EACCES || e == EPERM || e == ELOOP ? AIOS_EDENIED : AIOS_EIO;
    return aios__fail_sys(err, code, e, "%.300s/%.100s: %s", dir, name, what);
}

/* Another user's file, or one that another may write, could hold anything. */
static int check_owner(int fd, bool folder, const char *path, const char *name, struct stat *st, aios_error *err)
{
    if (fstat(fd, st))
        return fail_at(err, path, name, "cannot be looked at");
    if (folder ? !S_ISDIR(st->st_mode) : !S_ISREG(st->st_mode))
        return aios__fail(err, AIOS_EDENIED, "%.300s/%.100s is no %s", path, name, folder ? "folder" : "file");
    if (st->st_uid != geteuid() || st->st_mode & (S_IWGRP | S_IWOTH))
        return aios__fail(err, AIOS_EDENIED, "%.300s/%.100s belongs to or can be written by another user: it is not used", path, name);
    return AIOS_OK;
}

static int open_dir(const char *dir, int *fd, aios_error *err)
{
    struct stat st;
    *fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        return fail_at(err, dir, "", "cannot be opened");
    int rc = check_owner(*fd, true, dir, "", &st, err);
    if (rc) {
        close(*fd);
        *fd = -1;
    }
    return rc;
}

/* The folder and those above it; the ones it makes are the user's alone. */
static int make_dir(const char *dir, aios_error *err)
{
    char path[4096];
    size_t n = strlen(dir);
    if (!n || n >= sizeof path)
        return aios__fail(err, AIOS_EINVAL, "a folder name of %zu bytes", n);
    memcpy(path, dir, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i])
            continue;
        char c = path[i];
        path[i] = 0;
        if (mkdir(path, 0700) && errno != EEXIST)
            return fail_at(err, path, "", "cannot be made");
        path[i] = c;
    }
    return AIOS_OK;
}

static int begin(const char *dir, const char *name, aios__cachefile *f, aios_error *err)
{
    *f = (aios__cachefile){.dir = -1, .fd = -1};
    if (!*name || strlen(name) >= sizeof f->name || strchr(name, '/'))
        return aios__fail(err, AIOS_EINVAL, "\"%.100s\" is no file name", name);
    snprintf(f->name, sizeof f->name, "%s", name);
    snprintf(f->temp, sizeof f->temp, "%s.tmp", name);
    return open_dir(dir, &f->dir, err);
}

int aios__cachefile_open(const char *dir, const char *name, aios__cachefile *f, aios_error *err)
{
    struct stat st;
    int rc = begin(dir, name, f, err);
    if (rc)
        return rc;
    f->fd = openat(f->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    rc = f->fd < 0 ? fail_at(err, dir, name, "cannot be opened") : check_owner(f->fd, false, dir, name, &st, err);
    if (rc) {
        aios__cachefile_close(f);
        return rc;
    }
    f->n_bytes = (uint64_t)st.st_size;
    return AIOS_OK;
}

int aios__cachefile_read(const aios__cachefile *f, uint64_t off, void *p, size_t n, aios_error *err)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(f->fd, (char *)p + done, n - done, (off_t)(off + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return aios__fail_sys(err, AIOS_EIO, got ? errno : 0, "%.100s: %zu bytes at %llu cannot be read", f->name, n, (unsigned long long)off);
        done += (size_t)got;
    }
    return AIOS_OK;
}

int aios__cachefile_map(const aios__cachefile *f, void **p, aios_error *err)
{
    if (!f->n_bytes || f->n_bytes > PTRDIFF_MAX)
        return aios__fail(err, AIOS_EFORMAT, "%.100s: %llu bytes cannot be mapped", f->name, (unsigned long long)f->n_bytes);
    *p = mmap(NULL, (size_t)f->n_bytes, PROT_READ, MAP_SHARED, f->fd, 0);
    if (*p != MAP_FAILED)
        return AIOS_OK;
    *p = NULL;
    return aios__fail_sys(err, errno == ENOMEM ? AIOS_ENOMEM : AIOS_EIO, errno, "%.100s cannot be mapped", f->name);
}

void aios__cachefile_unmap(void *p, size_t n)
{
    munmap(p, n);
}

void aios__cachefile_populate(void *p, size_t n)
{
#ifdef MADV_POPULATE_READ
    (void)!madvise(p, n, MADV_POPULATE_READ);
#else
    AIOS__UNUSED(p);
    AIOS__UNUSED(n);
#endif
}

/* ---- writing --------------------------------------------------------------------------------------------------------- */

/* Before anything is written: a file beyond the process's limit would raise a signal. */
static int check_room(const aios__cachefile *f, uint64_t n, aios_error *err)
{
    struct rlimit limit;
    struct statvfs fs;
    if (!getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur != RLIM_INFINITY && n > limit.rlim_cur)
        return aios__fail_need(err, AIOS_EIO, limit.rlim_cur, n, "%.100s: the process may not write files of %llu bytes", f->name, (unsigned long long)n);
    if (fstatvfs(f->dir, &fs))
        return AIOS_OK;
    uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (free_bytes < SPARE_BYTES || n > free_bytes - SPARE_BYTES)
        return aios__fail_need(err, AIOS_EIO, free_bytes, n, "%.100s: %llu bytes and some to spare do not fit on the disk", f->name, (unsigned long long)n);
    return AIOS_OK;
}

/* The temporary file, ours alone: locked, and still the one that has the name. */
static int lock_temp(const char *dir, aios__cachefile *f, aios_error *err)
{
    struct stat st, named;
    f->fd = openat(f->dir, f->temp, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (f->fd < 0)
        return fail_at(err, dir, f->temp, "cannot be made");
    int rc = check_owner(f->fd, false, dir, f->temp, &st, err);
    if (rc)
        return rc;
    if (flock(f->fd, LOCK_EX | LOCK_NB) || fstatat(f->dir, f->temp, &named, AT_SYMLINK_NOFOLLOW) || named.st_ino != st.st_ino)
        return aios__fail(err, AIOS_EBUSY, "%.100s: another process writes it", f->temp);
    f->writing = true;
    return AIOS_OK;
}

static int make_room(const char *dir, const aios__cachefile *f, uint64_t n, aios_error *err)
{
    if (ftruncate(f->fd, 0))
        return fail_at(err, dir, f->temp, "cannot be emptied");
    if (fallocate(f->fd, 0, 0, (off_t)n) && errno != EOPNOTSUPP && errno != ENOSYS)
        return fail_at(err, dir, f->temp, "has no room");
    return AIOS_OK;
}

int aios__cachefile_create(const char *dir, const char *name, uint64_t n_bytes, aios__cachefile *f, aios_error *err)
{
    *f = (aios__cachefile){.dir = -1, .fd = -1};
    int rc = make_dir(dir, err);
    rc = rc ? rc : begin(dir, name, f, err);
    rc = rc ? rc : check_room(f, n_bytes, err);
    rc = rc ? rc : lock_temp(dir, f, err);
    rc = rc ? rc : make_room(dir, f, n_bytes, err);
    if (rc)
        aios__cachefile_close(f);
    return rc;
}

int aios__cachefile_write(const aios__cachefile *f, uint64_t off, const void *p, size_t n, aios_error *err)
{
    for (size_t done = 0; done < n;) {
        ssize_t put = pwrite(f->fd, (const char *)p + done, n - done, (off_t)(off + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return aios__fail_sys(err, AIOS_EIO, put ? errno : ENOSPC, "%.100s: %zu bytes at %llu cannot be written", f->temp, n, (unsigned long long)off);
        done += (size_t)put;
    }
    return AIOS_OK;
}

int aios__cachefile_commit(aios__cachefile *f, aios_error *err)
{
    if (fsync(f->fd))
        return aios__fail_sys(err, AIOS_EIO, errno, "%.100s cannot be made durable", f->temp);
    if (renameat(f->dir, f->temp, f->dir, f->name))
        return aios__fail_sys(err, AIOS_EIO, errno, "%.100s cannot be put in its place", f->temp);
    f->writing = false;
    return AIOS_OK;
}

void aios__cachefile_close(aios__cachefile *f)
{
    if (f->writing)
        unlinkat(f->dir, f->temp, 0);
    if (f->fd >= 0)
        close(f->fd);
    if (f->dir >= 0)
        close(f->dir);
    *f = (aios__cachefile){.dir = -1, .fd = -1};
}

void aios__cachefile_touch(const aios__cachefile *f)
{
    (void)!futimens(f->fd, NULL);
}

/* ---- pruning --------------------------------------------------------------------------------------------------------- */

/* What a look at the folder found. */
typedef struct stock {
    uint64_t n_bytes;   /* of all but the one that stays */
    struct timespec at; /* of the last use of the oldest */
    char oldest[208];   /* "": none */
} stock;

static bool is_before(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

/* A temporary file that nobody has locked was left by a process that died. */
static bool remove_left(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool left = fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB);
    if (left)
        unlinkat(dir, name, 0);
    if (fd >= 0)
        close(fd);
    return left;
}

static void count_file(int dir, const char *name, const aios__cachefile_bound *b, stock *s)
{
    static const char temp[] = ".tmp";
    struct stat st;
    char bare[208];
    size_t n = strlen(name);
    if (n >= sizeof bare)
        return;
    memcpy(bare, name, n + 1);
    bool is_temp = n > sizeof temp - 1 && !strcmp(bare + n - (sizeof temp - 1), temp);
    if (is_temp)
        bare[n - (sizeof temp - 1)] = 0;
    if (!b->is_ours(bare) || !strcmp(bare, b->name) || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
        return;
    if (is_temp && remove_left(dir, name))
        return;
    s->n_bytes += (uint64_t)st.st_size;
    if (is_temp || (*s->oldest && !is_before(&st.st_mtim, &s->at)))
        return;
    s->at = st.st_mtim;
    memcpy(s->oldest, bare, n + 1);
}

static int take_stock(int dir, const char *path, const aios__cachefile_bound *b, stock *s, aios_error *err)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    *s = (stock){0};
    if (!d) {
        if (fd >= 0)
            close(fd);
        return fail_at(err, path, "", "cannot be looked through");
    }
    for (const struct dirent *e; (e = readdir(d));)
        count_file(dir, e->d_name, b, s);
    closedir(d);
    return AIOS_OK;
}

static uint64_t most_of(int dir, const aios__cachefile_bound *b, const stock *s)
{
    struct statvfs fs;
    if (b->n_max || fstatvfs(dir, &fs))
        return b->n_max ? b->n_max : KEEP_BYTES;
    uint64_t part = ((uint64_t)fs.f_bavail * fs.f_frsize + s->n_bytes) / KEEP_PART;
    return part < KEEP_BYTES ? part : KEEP_BYTES;
}

static int prune(int dir, const char *path, const aios__cachefile_bound *b, aios_error *err)
{
    stock s;
    int rc = take_stock(dir, path, b, &s, err);
    uint64_t most = rc ? 0 : most_of(dir, b, &s);
    if (!rc && b->n_bytes > most)
        return aios__fail_need(err, AIOS_EIO, most, b->n_bytes, "%.100s: its %llu bytes are more than the %llu that the folder may hold", b->name,
                               (unsigned long long)b->n_bytes, (unsigned long long)most);
    while (!rc && s.n_bytes > most - b->n_bytes && *s.oldest) {
        if (unlinkat(dir, s.oldest, 0) && errno != ENOENT)
            return fail_at(err, path, s.oldest, "cannot be removed");
        rc = take_stock(dir, path, b, &s, err);
    }
    return rc;
}

int aios__cachefile_prune(const char *dir, const aios__cachefile_bound *bound, aios_error *err)
{
    int fd = -1, rc = make_dir(dir, err);
    rc = rc ? rc : open_dir(dir, &fd, err);
    rc = rc ? rc : prune(fd, dir, bound, err);
    if (fd >= 0)
        close(fd);
    return rc;
}

const char *aios__cachefile_real(const char *path, char *out, size_t n)
{
    char *real = realpath(path, NULL);
    bool fits = real && strlen(real) < n;
    if (fits)
        memcpy(out, real, strlen(real) + 1);
    free(real);
    return fits ? out : path;
}

/* ---- sums ------------------------------------------------------------------------------------------------------------ */

__extension__ typedef unsigned __int128 u128;

static inline uint64_t fold(uint64_t a, uint64_t b)
{
    u128 r = (u128)a * b;
    return (uint64_t)r ^ (uint64_t)(r >> 64);
}

static inline uint64_t load64(const uint8_t *p)
{
    uint64_t w;
    memcpy(&w, p, 8);
    return w;
}

/* Four lanes of 16 bytes, so that one multiplication need not wait for another. */
uint64_t aios__sum64(uint64_t seed, const void *data, size_t n)
{
    static const uint64_t key[4] = {0xa0761d6478bd642fu, 0xe7037ed1a0b428dbu, 0x8ebc6af09c88c6e3u, 0x589965cc75374cc3u};
    const uint8_t *p = data;
    uint64_t h[4], left = n;
    uint8_t last[64] = {0};
    for (int i = 0; i < 4; i++)
        h[i] = seed ^ key[i];
    for (; left >= 64; left -= 64, p += 64)
        for (int i = 0; i < 4; i++)
            h[i] = fold(h[i] ^ load64(p + 16 * i), load64(p + 16 * i + 8) ^ key[i]);
    if (left)
        memcpy(last, p, left);
    for (int i = 0; i < 4; i++)
        h[i] = fold(h[i] ^ load64(last + 16 * i), load64(last + 16 * i + 8) ^ key[i]);
    uint64_t a = fold(h[0] ^ key[1], h[1] ^ key[2]), b = fold(h[2] ^ key[3], h[3] ^ key[0]);
    return fold(a ^ n, b ^ key[2]);
}
