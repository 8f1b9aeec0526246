/* SPDX-License-Identifier: Apache-2.0 */
/* The door to SQLite: a file that is one process's alone, whose tables are known word for word, with failures as the library tells them. */
#ifndef AIOS_LIB_SQLITE_H
#define AIOS_LIB_SQLITE_H

#include "base/base.h"

/** A connection. Thread-safety: one thread at a time. */
typedef struct aios__sql aios__sql;

enum { AIOS__SQL_READ_ONLY = 1, AIOS__SQL_RELAXED = 2 }; /* the numbers of AIOS_STORE_x, AIOS_MEMORY_x */

/** A table, index or virtual table as sqlite_master has it. */
typedef struct aios__sql_object {
    const char *name;
    const char *sql;
    bool implied;       /**< made with another */
} aios__sql_object;

/** All that a file may hold. */
typedef struct aios__sql_schema {
    const aios__sql_object *objects;
    uint32_t n_objects;
    const char *const *tokenizer; /**< of its full-text table: name and arguments, n_tokenizer of them; NULL: it has none */
    uint32_t n_tokenizer;
} aios__sql_schema;

/** What kind of file it is. */
typedef struct aios__sql_spec {
    const char *noun;                 /**< "store": in messages */
    int32_t application, format;      /**< application_id, user_version */
    const aios__sql_schema *schemas;  /**< forms that a file of this format may have */
    uint32_t n_schemas;
    uint32_t new_schema;              /**< that of a new file */
    const char *first_rows;           /**< SQL that fills a new file; NULL: none */
    const char *const *statements;
    uint32_t n_statements;
    size_t max_bytes;                 /**< of a row */
    size_t memory;                    /**< what it may take of the heap, charged flat */
    int32_t cache_kib;
    bool search;                      /**< needs FTS5, with aios_hits */
} aios__sql_spec;

/**
 * Opens a file, made if it is not there; path NULL: in memory. spec stays. EUNAVAIL: no SQLite; ENOTSUP: one without FTS5; others as
 * aios_store_open has them. flags: AIOS__SQL_x.
 */
int aios__sql_open(aios_ctx *ctx, const char *path, uint32_t flags, const aios__sql_spec *spec, aios__sql **db, aios_error *err);
/** NULL is fine. */
void aios__sql_close(aios__sql *db);
/** Path of the file, as messages have it. */
const char *aios__sql_path(const aios__sql *db);
/** Which of spec->schemas it has. */
uint32_t aios__sql_schema_of(const aios__sql *db);
/** How many commits waited for the medium. */
uint64_t aios__sql_syncs(const aios__sql *db);
/** Moves the log into the file, by writing it anew. */
int aios__sql_settle(aios__sql *db, aios_error *err);

/** Begins a transaction. A failure of what follows leaves it open: roll back. Fails for ever once a sync has failed. */
int aios__sql_begin(aios__sql *db, aios_error *err);
void aios__sql_rollback(aios__sql *db);
/** Durable once it returns 0; else all is as before, or not known, see aios_store_commit. */
int aios__sql_commit(aios__sql *db, aios_error *err);

/** Values of a statement of spec, from 1; texts and bytes must stay until it ends. */
void aios__sql_bind(aios__sql *db, uint32_t which, int i, int64_t value);
void aios__sql_bind_text(aios__sql *db, uint32_t which, int i, const char *s, size_t n);
void aios__sql_bind_bytes(aios__sql *db, uint32_t which, int i, const void *p, size_t n);
/** AGAIN: there is a row. OK: there are no more, and it is ready for the next use. Or the failure. */
int aios__sql_next(aios__sql *db, uint32_t which, aios_error *err);
/** As aios__sql_next, of a statement that gives no rows. */
int aios__sql_run(aios__sql *db, uint32_t which, aios_error *err);
/** Ends a statement before its end. */
void aios__sql_end(aios__sql *db, uint32_t which);
int64_t aios__sql_int(const aios__sql *db, uint32_t which, int i);
/** Bytes of a text or blob of the row, until its next; NULL if it has none. */
const void *aios__sql_bytes(const aios__sql *db, uint32_t which, int i, size_t *n);

/** A word as the index has it, and its place in the text. Not 0: it was the last. */
typedef int aios__sql_token_fn(void *user, const char *token, size_t n, size_t from, size_t to);
/** Calls fn for each word that the tokenizer of its schema finds in a text. */
int aios__sql_tokens(aios__sql *db, const char *s, size_t n, aios__sql_token_fn *fn, void *user, aios_error *err);

/** EFORMAT: it is damaged, and how. */
int aios__sql_damaged(const aios__sql *db, const char *what, aios_error *err);
/** Holds all of its pages against each other. */
int aios__sql_check(aios__sql *db, aios_error *err);
/** In memory: bytes that it takes, and the most that it may. */
int aios__sql_bytes_used(aios__sql *db, uint64_t *n, aios_error *err);
int aios__sql_bytes_max(aios__sql *db, uint64_t n, aios_error *err);

#endif
