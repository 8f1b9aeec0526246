/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AIOS_LIB_STORE_SQLITE_PRIV_H
#define AIOS_LIB_STORE_SQLITE_PRIV_H

#include "store/store_priv.h"

/** A database of streams. Thread-safety: one thread at a time. */
typedef struct aios__db aios__db;

/** A row of the table of streams. */
typedef struct aios__db_stream {
    const char *name;
    uint64_t id;    /**< of a later one larger */
    uint64_t first, head;
    int64_t wall_us;
} aios__db_stream;

typedef int aios__db_stream_fn(void *user, const aios__db_stream *s, aios_error *err);

int aios__db_open(aios_ctx *ctx, const char *path, uint32_t flags, aios__db **db, aios_error *err);
void aios__db_close(aios__db *db);
/** How often it was opened for writing, this time included. */
uint64_t aios__db_opens(const aios__db *db);
/** How many commits waited for the medium. */
uint64_t aios__db_syncs(const aios__db *db);
/** Calls fn for each stream, once it is known to be whole. */
int aios__db_streams(aios__db *db, aios__db_stream_fn *fn, void *user, aios_error *err);
/** Begins a transaction. A failure of what follows leaves it open: roll back. Fails for ever once a sync has failed. */
int aios__db_begin(aios__db *db, aios_error *err);
void aios__db_rollback(aios__db *db);
/** Durable once it returns 0; else all is as before, or not known, see aios_store_commit. */
int aios__db_commit(aios__db *db, aios_error *err);
int aios__db_add(aios__db *db, uint64_t id, uint64_t seq, int64_t wall_us, const aios_store_write *w, aios_error *err);
/** Deletes the records of a stream below a number. */
int aios__db_forget(aios__db *db, uint64_t id, uint64_t below, aios_error *err);
int aios__db_put(aios__db *db, const aios__db_stream *s, bool is_new, aios_error *err);
/** Deletes the row of a stream. */
int aios__db_drop(aios__db *db, const aios__db_stream *s, aios_error *err);

/** Takes a record, its name NULL; AIOS_AGAIN ends the reading. */
typedef int aios__db_record_fn(void *user, const aios_record *r);
/** Reads records from .. to, which must all be there and whole. AIOS_AGAIN if fn said so. */
int aios__db_read(aios__db *db, const aios__db_stream *s, uint64_t from, uint64_t to, aios__db_record_fn *fn, void *user, aios_error *err);
int aios__db_check(aios__db *db, aios_error *err);

#endif
