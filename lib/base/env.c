/* SPDX-License-Identifier: Apache-2.0 */
/* The real world behind aios_env. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cachefile.h"
#include "base/env_priv.h"

struct aios_file {
    int fd;
};

static int64_t mono_ns(void *user)
{
    AIOS__UNUSED(user);
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t wall_us(void *user)
{
    AIOS__UNUSED(user);
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int fill_random(void *user, void *p, size_t n, int32_t *sys)
{
    AIOS__UNUSED(user);
    for (size_t done = 0; done < n;) {
        ssize_t got = getrandom((char *)p + done, n - done, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            *sys = errno;
            return AIOS_EIO;
        }
        done += (size_t)got;
    }
    return AIOS_OK;
}

static void *sys_realloc(void *user, void *ptr, size_t old_size, size_t new_size)
{
    AIOS__UNUSED(user);
    AIOS__UNUSED(old_size);
    if (!new_size) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, new_size);
}

static int open_code(int e)
{
    return e == ENOENT || e == ENOTDIR ? AIOS_ENOENT : e == EACCES || e == EPERM ? AIOS_EDENIED : e == ENOMEM ? AIOS_ENOMEM : AIOS_EIO;
}

static int file_open(void *user, const char *path, uint32_t flags, aios_file **f, int32_t *sys)
{
    AIOS__UNUSED(user);
    /* NONBLOCK: a FIFO in place of a file is refused later instead of hanging here */
    int o = O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (flags & AIOS_OPEN_WRITE ? O_RDWR : O_RDONLY) | (flags & AIOS_OPEN_CREATE ? O_CREAT : 0) |
            (flags & AIOS_OPEN_TRUNC ? O_TRUNC : 0) | (flags & AIOS_OPEN_APPEND ? O_APPEND : 0);
    aios_file *out = malloc(sizeof *out);
    if (!out) {
        *sys = ENOMEM;
        return AIOS_ENOMEM;
    }
    do
        out->fd = open(path, o, flags & AIOS_OPEN_PRIVATE ? 0600 : 0666);
    while (out->fd < 0 && errno == EINTR);
    if (out->fd < 0) {
        *sys = errno;
        free(out);
        return open_code(*sys);
    }
    *f = out;
    return AIOS_OK;
}

static int file_size(void *user, aios_file *f, uint64_t *n_bytes, int32_t *sys)
{
    AIOS__UNUSED(user);
    struct stat st;
    if (fstat(f->fd, &st)) {
        *sys = errno;
        return AIOS_EIO;
    }
    if (!S_ISREG(st.st_mode)) {
        *sys = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
        return AIOS_EINVAL;
    }
    *n_bytes = (uint64_t)st.st_size;
    return AIOS_OK;
}

bool aios__env_file_id(const aios_env *env, const aios_file *f, aios__file_id *out)
{
    struct stat st;
    if (!f || env->file_size != file_size || fstat(f->fd, &st))
        return false;
    *out = (aios__file_id){.dev = (uint64_t)st.st_dev, .ino = (uint64_t)st.st_ino, .size = (uint64_t)st.st_size,
                           .mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
                           .ctime_ns = (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec};
    return true;
}

static int file_read(void *user, aios_file *f, uint64_t off, void *p, size_t n, size_t *got, int32_t *sys)
{
    AIOS__UNUSED(user);
    *got = 0;
    while (*got < n) {
        ssize_t r = pread(f->fd, (char *)p + *got, n - *got, (off_t)(off + *got));
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0) {
            *sys = errno;
            return AIOS_EIO;
        }
        if (!r)
            break;
        *got += (size_t)r;
    }
    return AIOS_OK;
}

static int file_write(void *user, aios_file *f, uint64_t off, const void *p, size_t n, int32_t *sys)
{
    AIOS__UNUSED(user);
    for (size_t done = 0; done < n;) {
        ssize_t r = pwrite(f->fd, (const char *)p + done, n - done, (off_t)(off + done));
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0) {
            *sys = errno;
            return AIOS_EIO;
        }
        done += (size_t)r;
    }
    return AIOS_OK;
}

static int file_sync(void *user, aios_file *f, int32_t *sys)
{
    AIOS__UNUSED(user);
    if (fsync(f->fd)) {
        *sys = errno;
        return AIOS_EIO;
    }
    return AIOS_OK;
}

static int file_map(void *user, aios_file *f, size_t n, void **p, int32_t *sys)
{
    AIOS__UNUSED(user);
    if (!n) {
        *sys = EINVAL;
        return AIOS_EINVAL;
    }
    void *m = mmap(NULL, n, PROT_READ, MAP_PRIVATE, f->fd, 0);
    if (m == MAP_FAILED) {
        *sys = errno;
        return errno == ENOMEM ? AIOS_ENOMEM : AIOS_EIO;
    }
    *p = m;
    return AIOS_OK;
}

static void file_unmap(void *user, void *p, size_t n)
{
    AIOS__UNUSED(user);
    munmap(p, n);
}

static void file_close(void *user, aios_file *f)
{
    AIOS__UNUSED(user);
    close(f->fd);
    free(f);
}

/* A name is only safe once its folder is. */
static void sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash == path ? strdup("/") : slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
    int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(dir);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

static int file_rename(void *user, const char *from, const char *to, int32_t *sys)
{
    AIOS__UNUSED(user);
    if (rename(from, to)) {
        *sys = errno;
        return open_code(*sys);
    }
    sync_folder(to);
    return AIOS_OK;
}

static int file_remove(void *user, const char *path, int32_t *sys)
{
    AIOS__UNUSED(user);
    if (unlink(path)) {
        *sys = errno;
        return open_code(*sys);
    }
    return AIOS_OK;
}

static int net_allow(void *user, const char *host, const char *address, uint16_t port)
{
    AIOS__UNUSED(user);
    AIOS__UNUSED(host);
    AIOS__UNUSED(address);
    AIOS__UNUSED(port);
    return 0;
}

void aios__env_default(aios_env *env)
{
    *env = (aios_env){
        .struct_size = sizeof *env,
        .mono_ns = mono_ns,
        .wall_us = wall_us,
        .random = fill_random,
        .realloc = sys_realloc,
        .file_open = file_open,
        .file_size = file_size,
        .file_read = file_read,
        .file_write = file_write,
        .file_sync = file_sync,
        .file_map = file_map,
        .file_unmap = file_unmap,
        .file_close = file_close,
        .net_check = net_allow,
        .spawn = aios__spawn,
        .child_wait = aios__child_wait,
        .child_close = aios__child_close,
        .file_rename = file_rename,
        .file_remove = file_remove,
    };
}

/* What a host's own files need not have. */
static int no_write(void *user, aios_file *f, uint64_t off, const void *p, size_t n, int32_t *sys)
{
    AIOS__UNUSED(user);
    AIOS__UNUSED(f);
    AIOS__UNUSED(off);
    AIOS__UNUSED(p);
    AIOS__UNUSED(n);
    *sys = EROFS;
    return AIOS_ENOTSUP;
}

static int no_sync(void *user, aios_file *f, int32_t *sys)
{
    return no_write(user, f, 0, NULL, 0, sys);
}

static int no_rename(void *user, const char *from, const char *to, int32_t *sys)
{
    AIOS__UNUSED(from);
    AIOS__UNUSED(to);
    return no_write(user, NULL, 0, NULL, 0, sys);
}

static int no_remove(void *user, const char *path, int32_t *sys)
{
    return no_rename(user, path, NULL, sys);
}

static int no_map(void *user, aios_file *f, size_t n, void **p, int32_t *sys)
{
    AIOS__UNUSED(user);
    AIOS__UNUSED(f);
    AIOS__UNUSED(n);
    AIOS__UNUSED(p);
    *sys = ENODEV;
    return AIOS_ENOTSUP;
}

static void no_unmap(void *user, void *p, size_t n)
{
    AIOS__UNUSED(user);
    AIOS__UNUSED(p);
    AIOS__UNUSED(n);
}

/* A file or child of the host must never reach a built-in slot: these come together or not at all. */
static int check_families(const aios_env *e, aios_error *err)
{
    int files = !!e->file_open + !!e->file_size + !!e->file_read + !!e->file_close;
    bool others = e->file_write || e->file_sync || e->file_map || e->file_unmap || e->file_rename || e->file_remove;
    if ((files && files != 4) || (!files && others))
        return aios__fail(err, AIOS_EINVAL, "env: file_open, file_size, file_read and file_close must be replaced together");
    if (!e->file_map != !e->file_unmap)
        return aios__fail(err, AIOS_EINVAL, "env: file_map and file_unmap must be replaced together");
    int children = !!e->spawn + !!e->child_wait + !!e->child_close;
    if (children && children != 3)
        return aios__fail(err, AIOS_EINVAL, "env: spawn, child_wait and child_close must be replaced together");
    return AIOS_OK;
}

int aios__env_fill(aios_env *env, const aios_env *host, aios_error *err)
{
    aios__env_default(env);
    if (!host)
        return AIOS_OK;
    int rc = check_families(host, err);
    if (rc)
        return rc;
    if (host->file_open) {
        env->file_write = no_write;
        env->file_sync = no_sync;
        env->file_rename = no_rename;
        env->file_remove = no_remove;
        env->file_map = no_map;
        env->file_unmap = no_unmap;
    }
    /* behind the first two words the table is nothing but function pointers */
    for (size_t off = offsetof(aios_env, mono_ns); off < sizeof *env; off += sizeof(void (*)(void))) {
        void (*slot)(void);
        memcpy(&slot, (const char *)host + off, sizeof slot);
        if (slot)
            memcpy((char *)env + off, &slot, sizeof slot);
    }
    env->user = host->user;
    return AIOS_OK;
}
