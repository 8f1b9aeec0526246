/* SPDX-License-Identifier: Apache-2.0 */
/* The disk of disk_model.h as a file system of SQLite. */
#ifndef AIOS_TEST_DISK_VFS_H
#define AIOS_TEST_DISK_VFS_H

#include "disk_model.h"

static int disk_close(sqlite3_file *f)
{
    (void)f;
    return SQLITE_OK;
}

static int disk_read(sqlite3_file *file, void *p, int n, sqlite3_int64 at)
{
    const disk_bytes *b = &((disk_file *)file)->node->now;
    if (the_disk.stopped || disk_fails())
        return SQLITE_IOERR_READ;
    size_t got = (size_t)at >= b->n ? 0 : b->n - (size_t)at < (size_t)n ? b->n - (size_t)at : (size_t)n;
    memset(p, 0, (size_t)n);
    if (got)
        memcpy(p, b->p + at, got);
    return got < (size_t)n ? SQLITE_IOERR_SHORT_READ : SQLITE_OK;
}

static int disk_write_at(sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
    disk_node *f = ((disk_file *)file)->node;
    if (disk_fails()) {
        if (the_disk.fault == DISK_SHORT)
            disk_change(f, false, (size_t)at, p, (size_t)n / 2);
        return the_disk.fault == DISK_ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    }
    return disk_change(f, false, (size_t)at, p, (size_t)n);
}

static int disk_truncate(sqlite3_file *file, sqlite3_int64 n)
{
    if (disk_fails())
        return SQLITE_IOERR_TRUNCATE;
    return disk_change(((disk_file *)file)->node, true, (size_t)n, NULL, 0);
}

static int disk_sync(sqlite3_file *file, int flags)
{
    disk_node *f = ((disk_file *)file)->node;
    (void)flags;
    if (disk_fails()) {
        the_disk.failed_a_sync = true;
        return SQLITE_IOERR_FSYNC;
    }
    if (disk_stops())
        return SQLITE_IOERR_FSYNC;
    f->safe.n = f->safe.exists ? f->safe.n : 0;
    f->safe.exists = true;
    for (const disk_write *w = f->pending; w; w = w->next)
        disk_apply(&f->safe, w->truncate, w->at, w->p, w->n);
    disk_forget(f);
    for (int i = 0; f->fresh && i < DISK_FILES; i++) /* the first sync of a new file is one of its folder too */
        if (!the_disk.files[i].now.exists)
            the_disk.files[i].safe.exists = false;
    f->fresh = false;
    return SQLITE_OK;
}

static int disk_size(sqlite3_file *file, sqlite3_int64 *n)
{
    *n = (sqlite3_int64)((disk_file *)file)->node->now.n;
    return disk_fails() ? SQLITE_IOERR_FSTAT : SQLITE_OK;
}

static int disk_lock(sqlite3_file *f, int level)
{
    (void)f;
    (void)level;
    return disk_fails() ? SQLITE_IOERR_LOCK : SQLITE_OK;
}

static int disk_unlock(sqlite3_file *f, int level)
{
    (void)f;
    (void)level;
    return SQLITE_OK;
}

static int disk_reserved(sqlite3_file *f, int *out)
{
    (void)f;
    *out = 0;
    return disk_fails() ? SQLITE_IOERR_CHECKRESERVEDLOCK : SQLITE_OK;
}

static int disk_control(sqlite3_file *f, int op, void *arg)
{
    (void)f;
    (void)op;
    (void)arg;
    return SQLITE_NOTFOUND;
}

static int disk_sector(sqlite3_file *f)
{
    (void)f;
    return DISK_SECTOR;
}

static int disk_traits(sqlite3_file *f)
{
    (void)f;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE; /* as SQLite's own for Unix */
}

static int disk_open(sqlite3_vfs *v, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
    disk_file *f = (disk_file *)file;
    (void)v;
    f->base.pMethods = NULL;
    if (the_disk.stopped || disk_fails())
        return SQLITE_CANTOPEN;
    f->node = disk_find(name ? name : "temp");
    if (!f->node->now.exists && !(flags & (SQLITE_OPEN_CREATE | SQLITE_OPEN_MAIN_DB)))
        return SQLITE_CANTOPEN;
    f->node->fresh = f->node->fresh || !f->node->now.exists;
    f->node->now.exists = true;
    if (flags & SQLITE_OPEN_MAIN_DB)
        f->node->safe.exists = true; /* the store has made it before */
    f->base.pMethods = &the_disk.io;
    if (out_flags)
        *out_flags = flags;
    return SQLITE_OK;
}

static int disk_delete(sqlite3_vfs *v, const char *name, int sync)
{
    disk_node *f = disk_find(name);
    (void)v;
    if (disk_fails())
        return SQLITE_IOERR_DELETE;
    if (disk_stops())
        return SQLITE_IOERR_DELETE;
    disk_forget(f);
    f->now.exists = false;
    f->now.n = 0;
    if (sync || disk_random() % 2) {
        f->safe.exists = false;
        f->safe.n = 0;
    }
    return SQLITE_OK;
}

static int disk_access(sqlite3_vfs *v, const char *name, int flags, int *out)
{
    (void)v;
    (void)flags;
    *out = disk_find(name)->now.exists;
    return disk_fails() ? SQLITE_IOERR_ACCESS : SQLITE_OK;
}

static int disk_path(sqlite3_vfs *v, const char *name, int n, char *out)
{
    (void)v;
    snprintf(out, (size_t)n, "%s", name);
    return SQLITE_OK;
}

static int disk_last_error(sqlite3_vfs *v, int n, char *out)
{
    (void)v;
    (void)n;
    (void)out;
    return 0;
}

/* From now on SQLite of this process uses the disk in memory, or again the real one. */
static void disk_use(bool on)
{
    disk *d = &the_disk;
    if (!d->real) {
        d->real = sqlite3_vfs_find(NULL);
        d->vfs = *d->real;
        d->vfs.iVersion = 2;
        d->vfs.szOsFile = sizeof(disk_file);
        d->vfs.pNext = NULL;
        d->vfs.zName = "disk";
        d->vfs.xOpen = disk_open;
        d->vfs.xDelete = disk_delete;
        d->vfs.xAccess = disk_access;
        d->vfs.xFullPathname = disk_path;
        d->vfs.xGetLastError = disk_last_error;
        d->io = (sqlite3_io_methods){.iVersion = 1, .xClose = disk_close, .xRead = disk_read, .xWrite = disk_write_at, .xTruncate = disk_truncate, .xSync = disk_sync,
                                     .xFileSize = disk_size, .xLock = disk_lock, .xUnlock = disk_unlock, .xCheckReservedLock = disk_reserved,
                                     .xFileControl = disk_control, .xSectorSize = disk_sector, .xDeviceCharacteristics = disk_traits};
    }
    sqlite3_vfs_register(on ? &d->vfs : d->real, 1);
    if (!on)
        sqlite3_vfs_unregister(&d->vfs);
}

#endif
