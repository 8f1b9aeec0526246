/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that can be made again, in a folder that only their owner can write: opened only if both are the caller's own, written
 * beside their place and moved there whole, by one process at a time.
 */
#ifndef AIOS_LIB_CACHEFILE_H
#define AIOS_LIB_CACHEFILE_H

#include "base/base.h"

typedef struct aios__cachefile {
    int dir, fd;       /**< -1: closed */
    uint64_t n_bytes;  /**< of an opened file */
    bool writing;      /**< not yet in its place */
    char name[200], temp[208];
} aios__cachefile;

/** Opens dir/name for reading. ENOENT; EDENIED if the folder or the file belongs to or can be written by someone else; EIO. */
int aios__cachefile_open(const char *dir, const char *name, aios__cachefile *f, aios_error *err);
/** Exactly n bytes at off; EIO. */
int aios__cachefile_read(const aios__cachefile *f, uint64_t off, void *p, size_t n, aios_error *err);
/** Maps the whole file read-only and shared; aios__cachefile_unmap(*p, f->n_bytes). */
int aios__cachefile_map(const aios__cachefile *f, void **p, aios_error *err);
void aios__cachefile_unmap(void *p, size_t n);
/** Brings [p, p + n) of a mapping in at once; only a wish. p on a page. */
void aios__cachefile_populate(void *p, size_t n);
/**
 * Begins to write dir/name with room for n_bytes; makes the folder (mode 0700). EBUSY: another process writes it; EDENIED as above;
 * EIO where the disk, a quota or a limit of the process leaves no room.
 */
int aios__cachefile_create(const char *dir, const char *name, uint64_t n_bytes, aios__cachefile *f, aios_error *err);
int aios__cachefile_write(const aios__cachefile *f, uint64_t off, const void *p, size_t n, aios_error *err);
/** Makes what was written durable and puts it in its place. */
int aios__cachefile_commit(aios__cachefile *f, aios_error *err);
/** The file was used: among those of its folder it is removed last. */
void aios__cachefile_touch(const aios__cachefile *f);

/** What a folder may hold. */
typedef struct aios__cachefile_bound {
    bool (*is_ours)(const char *name); /**< only such files are counted and removed, and what was left of writing them */
    const char *name;   /**< one that stays, since it is about to be written anew; "": none */
    uint64_t n_bytes;   /**< its size to come */
    uint64_t n_max;     /**< of all; 0: 8 GiB, or a fifth of what the disk has for them if that is less */
} aios__cachefile_bound;
/**
 * Removes the files of dir unused the longest, until the rest is within the bound; makes the folder. Others may read, write and prune
 * there meanwhile. EIO (have, need): the file alone is beyond the bound, and nothing was removed; EDENIED as above.
 */
int aios__cachefile_prune(const char *dir, const aios__cachefile_bound *bound, aios_error *err);
/** Closes; what was not committed is removed. Safe on one that never opened. */
void aios__cachefile_close(aios__cachefile *f);

/** The absolute path behind a path, in out; the path itself if it has none. */
const char *aios__cachefile_real(const char *path, char *out, size_t n);

/** 64 bits of n bytes, for accidents, not for enemies: 10 GB/s and more a core. */
uint64_t aios__sum64(uint64_t seed, const void *p, size_t n);

/** What changes when a file is replaced or written; false for files of a host's own env. */
typedef struct aios__file_id {
    uint64_t dev, ino, size;
    int64_t mtime_ns, ctime_ns;
} aios__file_id;
bool aios__env_file_id(const aios_env *env, const aios_file *f, aios__file_id *out);

#endif
