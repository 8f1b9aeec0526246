/* SPDX-License-Identifier: Apache-2.0 */
/* The memory in a database: memory_sqlite.c writes, memory_find.c finds. Format 1: docs/memory.md. */
#ifndef AIOS_LIB_MEMORY_DB_H
#define AIOS_LIB_MEMORY_DB_H

#include <pthread.h>

#include "memory/memory_priv.h"
#include "store/sqlite.h"

/* Columns of a row that say who may see it and whether it fits: aios__mem_row, in this order. */
#define MEM_ROW "i.id, i.scope, i.integrity, i.classes, i.updated, i.expires, i.tokens, i.kind, i.tags"
#define MEM_LABEL "scope = ?1 AND integrity = ?2 AND classes = ?3"

#define MEM_STATEMENTS(X)                                                                                              \
    X(ADD, "INSERT INTO item VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)")                \
    X(ADD_TEXT, "INSERT INTO fts(rowid, text, scope) VALUES(?1, ?2, ?3)")                                              \
    X(DROP, "DELETE FROM item WHERE id = ?1")                                                                          \
    X(DROP_TEXT, "DELETE FROM fts WHERE rowid = ?1")                                                                   \
    X(COUNT_IN, "INSERT INTO stat VALUES(?1, ?2, ?3, 1, ?4, ?5) ON CONFLICT(scope, integrity, classes) DO UPDATE SET " \
                "items = items + 1, tokens = tokens + ?4, bytes = bytes + ?5")                                         \
    X(COUNT_OUT, "UPDATE stat SET items = items - 1, tokens = tokens - ?4, bytes = bytes - ?5 WHERE " MEM_LABEL)       \
    X(TIDY, "DELETE FROM stat WHERE " MEM_LABEL " AND items <= 0")                                                     \
    X(TIDY_SCOPE, "DELETE FROM scope WHERE id = ?1 AND NOT EXISTS(SELECT 1 FROM stat WHERE scope = ?1)")               \
    X(SCOPE, "SELECT id FROM scope WHERE name = ?1")                                                                   \
    X(ADD_SCOPE, "INSERT INTO scope(name) VALUES(?1)")                                                                 \
    X(TOTAL, "SELECT (SELECT max(id) FROM item), sum(items), sum(bytes) FROM stat")                                    \
    X(STATS, "SELECT scope, integrity, classes, items, tokens FROM stat")                                              \
    X(STATS_OF, "SELECT scope, integrity, classes, items, tokens FROM stat WHERE scope = ?1")                          \
    X(EXPIRED, "SELECT scope, integrity, classes, 1, tokens FROM item WHERE expires > 0 AND expires <= ?1")            \
    X(PURGE, "SELECT id FROM item WHERE expires > 0 AND expires <= ?1 LIMIT 1")                                        \
    X(VICTIM, "SELECT id FROM item WHERE integrity <= ?1 ORDER BY integrity, id LIMIT 1")                              \
    X(BY_NAME, "SELECT " MEM_ROW " FROM item i WHERE i.name = ?1")                                                     \
    X(BY_KEY, "SELECT id, expires, name, created FROM item WHERE key = ?1")                                            \
    X(LABEL_ROW, "SELECT scope, integrity, classes, tokens, bytes FROM item WHERE id = ?1")                            \
    X(GET, "SELECT " MEM_ROW ", i.name, i.key, i.created, i.bytes, i.source, i.sum, s.name, f.text "                   \
           "FROM item i LEFT JOIN scope s ON s.id = i.scope LEFT JOIN fts f ON f.rowid = i.id WHERE i.id = ?1")        \
    X(NEWEST, "SELECT " MEM_ROW " FROM item i WHERE i.id < ?1 ORDER BY i.id DESC")                                     \
    X(MATCH, "SELECT " MEM_ROW ", aios_hits(fts) FROM fts CROSS JOIN item i ON i.id = fts.rowid WHERE fts MATCH ?1")   \
    X(CHECK_STAT, "SELECT count(*) FROM (SELECT scope, integrity, classes, count(*), sum(tokens), sum(bytes) FROM item " \
                  "GROUP BY 1, 2, 3 EXCEPT SELECT * FROM stat)")                                                       \
    X(CHECK_ITEM, "SELECT (SELECT count(*) FROM item) <> (SELECT total(items) FROM stat) OR (SELECT count(*) FROM item) <> (SELECT count(*) FROM fts_content)") \
    X(CHECK_FTS, "INSERT INTO fts(fts) VALUES('integrity-check')")

enum {
#define X(name, sql) MEM_##name,
    MEM_STATEMENTS(X)
#undef X
        MEM_COUNT
};

enum { AIOS__MEM_SCOPE = 17 }; /* bytes of a scope as the index has it, a NUL behind */

/** What a transaction changes. */
typedef struct aios__mem_numbers {
    uint64_t items, bytes;   /* of texts */
    uint64_t evicted, expired;
    int64_t last_id;
} aios__mem_numbers;

typedef struct aios__memdb {
    aios_ctx *ctx;
    aios__heap *heap;
    aios__sql *sql;
    pthread_mutex_t lock;    /* of all below; nothing is asked of the heap under it that may ask the host */
    uint32_t flags;
    int32_t tokenizer;
    bool in_memory;
    uint64_t max_items, max_bytes;
    aios__mem_numbers n;
    uint64_t charged;        /* in memory: bytes of its pages */
    aios__sql_spec spec;
} aios__memdb;

/** What of a row says who may see it and whether it fits; texts until the statement goes on. */
typedef struct aios__mem_row {
    int64_t id, scope, integrity, classes, updated, expires, tokens;
    const char *kind, *tags;
    size_t n_kind, n_tags;
} aios__mem_row;

/** A query, its scopes looked up. */
typedef struct aios__mem_view {
    const aios_query *q;     /**< NULL: all is seen */
    int64_t scopes[AIOS_MEMORY_MAX_SCOPES]; /**< 0: it is nobody's */
    int64_t now;
} aios__mem_view;

/** Row of a statement that begins with MEM_ROW; its texts only if they are asked for. */
void aios__mem_read_row(const aios__memdb *m, uint32_t which, bool texts, aios__mem_row *out);
/** Looks its scopes up; under the lock. */
int aios__mem_view_make(aios__memdb *m, const aios_memory_find_args *a, aios__mem_view *out, aios_error *err);
/** True if the row may be seen. */
bool aios__mem_sees(const aios__mem_view *v, const aios__mem_row *r);
/** Id of a scope, 0: there is none; under the lock. */
int aios__mem_scope(aios__memdb *m, const char *name, int64_t *id, aios_error *err);
/** How the index has a scope: all of one length, so that none is found in another. */
void aios__mem_scope_word(int64_t scope, char out[AIOS__MEM_SCOPE + 1]);
/** Row of the item that is called so, if it has not expired: ENOENT; under the lock. */
int aios__mem_by_name(aios__memdb *m, const aios_memory_find_args *a, int64_t *row, aios_error *err);
/** The sum of an item with all its fields. */
uint64_t aios__mem_sum(const aios_item *it, const aios__mem_row *r);

/** Lets every item pass, which was held against its sum before. */
int aios__mem_pass(void *user, const aios_hit *hit);

/** The words that a snippet is to show, as sums of how the index has them. */
typedef struct aios__mem_wanted {
    uint64_t sums[256];
    uint32_t n;
} aios__mem_wanted;
int aios__mem_want(aios__memdb *m, const char *text, size_t n, aios__mem_wanted *out, aios_error *err);
/** The part of a text with most of them, from .. to: the whole of a short one. */
int aios__mem_snippet(aios__memdb *m, const aios__mem_wanted *w, const char *text, size_t n, size_t *from, size_t *to, aios_error *err);

/* The slots that find. */
int aios__mem_search(void *self, const aios_memory_find_args *a, aios_error *err);
int aios__mem_list(void *self, const aios_memory_find_args *a, aios_error *err);
int aios__mem_get(void *self, const aios_memory_find_args *a, aios_error *err);
int aios__mem_count(void *self, const aios_memory_find_args *a, uint64_t *n, aios_error *err);

#endif
