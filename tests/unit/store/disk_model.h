/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file system in memory below SQLite, for faults and for the loss of power: what was written stays pending until a sync, and a loss of
 * power keeps, drops or tears each pending write by itself, in sectors.
 */
#ifndef AIOS_TEST_DISK_MODEL_H
#define AIOS_TEST_DISK_MODEL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { DISK_FILES = 8, DISK_SECTOR = 512 };
typedef enum disk_fault { DISK_EIO, DISK_ENOSPC, DISK_SHORT } disk_fault;

typedef struct disk_bytes {
    unsigned char *p;
    size_t n, cap;
    bool exists;
} disk_bytes;

typedef struct disk_write {
    struct disk_write *next;
    bool truncate;
    size_t at, n;
    unsigned char p[];
} disk_write;

typedef struct disk_node {
    char name[128];
    disk_bytes now, safe;          /* as the system shows it; as it is after a loss of power */
    disk_write *pending, **end;
    bool fresh;                    /* made, and not synced since */
} disk_node;

typedef struct disk {
    disk_node files[DISK_FILES];
    long n_ops;                    /* that a fault may hit */
    long fail_at;                  /* from 1; 0: never */
    disk_fault fault;
    bool failed_a_sync;
    long n_changes, stop_at;       /* writes, cuts, syncs, deletions; the machine stops at this one */
    bool stopped;
    uint64_t random;
    sqlite3_vfs vfs, *real;
    sqlite3_io_methods io;
} disk;

typedef struct disk_file {
    sqlite3_file base;
    disk_node *node;
} disk_file;

static disk the_disk;

static uint64_t disk_random(void)
{
    uint64_t z = (the_disk.random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static disk_node *disk_find(const char *name)
{
    disk_node *spare = NULL;
    for (int i = 0; i < DISK_FILES; i++) {
        if (!strcmp(the_disk.files[i].name, name))
            return &the_disk.files[i];
        if (!spare && !the_disk.files[i].name[0])
            spare = &the_disk.files[i];
    }
    if (!spare)
        abort();
    snprintf(spare->name, sizeof spare->name, "%s", name);
    spare->end = &spare->pending;
    return spare;
}

static void disk_apply(disk_bytes *b, bool truncate, size_t at, const void *p, size_t n)
{
    size_t end = truncate ? at : at + n > b->n ? at + n : b->n;
    if (end > b->cap) {
        b->cap = end * 2 + 4096;
        b->p = realloc(b->p, b->cap);
    }
    if (end > b->n)
        memset(b->p + b->n, 0, end - b->n);
    if (n)
        memcpy(b->p + at, p, n);
    b->n = end;
}

static void disk_forget(disk_node *f)
{
    for (disk_write *w = f->pending, *next; w; w = next) {
        next = w->next;
        free(w);
    }
    f->pending = NULL;
    f->end = &f->pending;
}

static void disk_copy(disk_bytes *to, const disk_bytes *from)
{
    to->n = 0;
    disk_apply(to, false, 0, from->p, from->n);
    to->exists = from->exists;
}

static void disk_clear(void)
{
    for (int i = 0; i < DISK_FILES; i++) {
        disk_forget(&the_disk.files[i]);
        free(the_disk.files[i].now.p);
        free(the_disk.files[i].safe.p);
    }
    memset(the_disk.files, 0, sizeof the_disk.files);
    the_disk.n_ops = the_disk.n_changes = the_disk.fail_at = the_disk.stop_at = 0;
    the_disk.stopped = the_disk.failed_a_sync = false;
}

/* What the next start finds, after the machine stopped. */
static void disk_restart(void)
{
    for (int i = 0; i < DISK_FILES; i++) {
        disk_node *f = &the_disk.files[i];
        if (f->now.exists != f->safe.exists && disk_random() % 2)
            f->safe.exists = f->now.exists;
        for (disk_write *w = f->pending; w; w = w->next) {
            uint64_t how = disk_random() % 4; /* dropped, kept, torn twice as often */
            if (how == 1)
                disk_apply(&f->safe, w->truncate, w->at, w->p, w->n);
            for (size_t at = 0; how > 1 && at < w->n; at += DISK_SECTOR)
                if (disk_random() % 2)
                    disk_apply(&f->safe, false, w->at + at, w->p + at, w->n - at < DISK_SECTOR ? w->n - at : DISK_SECTOR);
        }
        disk_forget(f);
        disk_copy(&f->now, &f->safe);
    }
    the_disk.stopped = false;
    the_disk.stop_at = 0;
}

/* True if this operation is the one that fails. */
static bool disk_fails(void)
{
    return ++the_disk.n_ops == the_disk.fail_at;
}

/* True if the machine has stopped, with this change perhaps half done. */
static bool disk_stops(void)
{
    the_disk.stopped = the_disk.stopped || ++the_disk.n_changes == the_disk.stop_at;
    return the_disk.stopped;
}

static int disk_change(disk_node *f, bool truncate, size_t at, const void *p, size_t n)
{
    if (the_disk.stopped)
        return SQLITE_IOERR_WRITE;
    bool stops = disk_stops();
    disk_write *w = malloc(sizeof *w + n);
    *w = (disk_write){.truncate = truncate, .at = at, .n = n};
    if (n)
        memcpy(w->p, p, n);
    *f->end = w;
    f->end = &w->next;
    disk_apply(&f->now, truncate, at, p, n);
    return stops ? SQLITE_IOERR_WRITE : SQLITE_OK;
}

#endif
