/* SPDX-License-Identifier: Apache-2.0 */
/* A database of streams, whose every row carries a sum. Format 1: docs/store.md. */
#include <stdio.h>

#include "base/cachefile.h"
#include "store/sqlite.h"
#include "store/sqlite_priv.h"

#define APPLICATION_ID 1634299763 /* "aios" */
#define FORMAT 1
#define SQLITE_MEMORY ((size_t)3 << 20) /* cache, statements, schema */
#define CACHE_KIB 2000

/* What the file holds, word for word. */
#define SQL_META "CREATE TABLE meta(id INTEGER PRIMARY KEY, opens INTEGER NOT NULL, streams INTEGER NOT NULL, digest INTEGER NOT NULL, sum INTEGER NOT NULL)"
#define SQL_RECORD                                                                                                     \
    "CREATE TABLE record(stream INTEGER NOT NULL, seq INTEGER NOT NULL, wall INTEGER NOT NULL, kind INTEGER NOT NULL, sum INTEGER NOT NULL, " \
    "data BLOB NOT NULL, PRIMARY KEY(stream, seq)) WITHOUT ROWID"
#define SQL_STREAM                                                                                                     \
    "CREATE TABLE stream(id INTEGER PRIMARY KEY, name TEXT NOT NULL, first INTEGER NOT NULL, head INTEGER NOT NULL, wall INTEGER NOT NULL, " \
    "sum INTEGER NOT NULL)"

#define STATEMENTS(X)                                                                                                  \
    X(ADD, "INSERT INTO record(stream, seq, wall, kind, sum, data) VALUES(?1, ?2, ?3, ?4, ?5, ?6)")                    \
    X(FORGET, "DELETE FROM record WHERE stream = ?1 AND seq < ?2")                                                     \
    X(READ, "SELECT seq, wall, kind, sum, data FROM record WHERE stream = ?1 AND seq >= ?2 AND seq <= ?3 ORDER BY seq") \
    X(STREAMS, "SELECT id, name, first, head, wall, sum FROM stream ORDER BY id")                                      \
    X(MAKE, "INSERT INTO stream(id, first, head, wall, sum, name) VALUES(?1, ?2, ?3, ?4, ?5, ?6)")                     \
    X(MOVE, "UPDATE stream SET first = ?2, head = ?3, wall = ?4, sum = ?5 WHERE id = ?1")                              \
    X(DROP, "DELETE FROM stream WHERE id = ?1")                                                                        \
    X(META, "SELECT opens, streams, digest, sum FROM meta WHERE id = 1")                                               \
    X(SET_META, "INSERT OR REPLACE INTO meta(id, opens, streams, digest, sum) VALUES(1, ?1, ?2, ?3, ?4)")

enum {
#define X(name, sql) STMT_##name,
    STATEMENTS(X)
#undef X
        STMT_COUNT
};

typedef struct meta {
    uint64_t opens, streams, digest;
} meta;

struct aios__db {
    aios__sql *sql;
    aios_ctx *ctx;
    meta meta, meta_before; /* in the transaction; as committed */
    char first_rows[96];
    aios__sql_spec spec;
};

static const aios__sql_object objects[] = {{"meta", SQL_META, false}, {"record", SQL_RECORD, false}, {"stream", SQL_STREAM, false}};
static const aios__sql_schema schema = {.objects = objects, .n_objects = AIOS__ARRAY_LEN(objects)};
static const char *const statements[] = {
#define X(name, text) text,
    STATEMENTS(X)
#undef X
};

/* ---- statements ----------------------------------------------------------------------------------------------------- */

static void bind(aios__db *db, uint32_t which, int n, const uint64_t *values)
{
    for (int i = 0; i < n; i++)
        aios__sql_bind(db->sql, which, i + 1, (int64_t)values[i]);
}

static uint64_t column(const aios__db *db, uint32_t which, int i)
{
    return (uint64_t)aios__sql_int(db->sql, which, i);
}

/* ---- sums ----------------------------------------------------------------------------------------------------------- */

static uint64_t record_sum(const aios__db_stream *s, uint64_t seq, int64_t wall_us, uint32_t kind, const void *p, size_t n)
{
    const uint64_t head[] = {s->id, seq, (uint64_t)wall_us, kind, n};
    return aios__sum64(aios__sum64(FORMAT, head, sizeof head), p, n);
}

static uint64_t stream_sum(const aios__db_stream *s)
{
    const uint64_t head[] = {s->id, s->first, s->head, (uint64_t)s->wall_us};
    return aios__sum64(aios__sum64(FORMAT, head, sizeof head), s->name, strlen(s->name));
}

/* Part of a stream in the sum over all: who is there, in any order. */
static uint64_t member_sum(const aios__db_stream *s)
{
    return aios__sum64(s->id, s->name, strlen(s->name));
}

static uint64_t meta_sum(const meta *m)
{
    return aios__sum64(FORMAT, m, sizeof *m);
}

/* ---- opening -------------------------------------------------------------------------------------------------------- */

static int read_meta(aios__db *db, aios_error *err)
{
    int rc = aios__sql_next(db->sql, STMT_META, err);
    if (rc < 0)
        return rc;
    meta m = {0};
    bool whole = false;
    if (rc == AIOS_AGAIN) {
        m = (meta){column(db, STMT_META, 0), column(db, STMT_META, 1), column(db, STMT_META, 2)};
        whole = column(db, STMT_META, 3) == meta_sum(&m);
        aios__sql_end(db->sql, STMT_META);
    }
    if (!whole)
        return aios__sql_damaged(db->sql, "the row that tells of its streams has another sum", err);
    db->meta = db->meta_before = m;
    return AIOS_OK;
}

static int write_meta(aios__db *db, aios_error *err)
{
    const uint64_t row[] = {db->meta.opens, db->meta.streams, db->meta.digest, meta_sum(&db->meta)};
    bind(db, STMT_SET_META, 4, row);
    return aios__sql_run(db->sql, STMT_SET_META, err);
}

/* The log goes into the file before anything is added: a sync of an earlier process may have failed. */
static int count_open(aios__db *db, aios_error *err)
{
    int rc = aios__sql_settle(db->sql, err);
    rc = rc ? rc : aios__db_begin(db, err);
    if (rc)
        return rc;
    db->meta.opens++;
    rc = write_meta(db, err);
    if (rc)
        aios__db_rollback(db);
    return rc ? rc : aios__db_commit(db, err);
}

int aios__db_open(aios_ctx *ctx, const char *path, uint32_t flags, aios__db **out, aios_error *err)
{
    aios__db *db = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_OTHER, sizeof *db, err);
    if (!db)
        return aios__error_code(err, AIOS_ENOMEM);
    db->ctx = ctx;
    snprintf(db->first_rows, sizeof db->first_rows, "INSERT INTO meta VALUES(1, 0, 0, 0, %lld)", (long long)meta_sum(&db->meta));
    db->spec = (aios__sql_spec){.noun = "store", .application = APPLICATION_ID, .format = FORMAT, .schemas = &schema, .n_schemas = 1,
                                .first_rows = db->first_rows, .statements = statements, .n_statements = STMT_COUNT,
                                .max_bytes = AIOS_STORE_MAX_RECORD, .memory = SQLITE_MEMORY, .cache_kib = CACHE_KIB};
    int rc = aios__sql_open(ctx, path, flags, &db->spec, &db->sql, err);
    rc = rc ? rc : read_meta(db, err);
    if (!rc && !(flags & AIOS_STORE_READ_ONLY))
        rc = count_open(db, err);
    if (rc) {
        aios__db_close(db);
        return rc;
    }
    *out = db;
    return AIOS_OK;
}

void aios__db_close(aios__db *db)
{
    aios__sql_close(db->sql);
    aios__free(aios__ctx_heap(db->ctx), db);
}

uint64_t aios__db_opens(const aios__db *db)
{
    return db->meta.opens;
}

uint64_t aios__db_syncs(const aios__db *db)
{
    return aios__sql_syncs(db->sql);
}

/* ---- streams -------------------------------------------------------------------------------------------------------- */

/* One row; false: it is not what was written. */
static bool read_stream(aios__db *db, aios__db_stream *s)
{
    size_t n;
    const char *name = aios__sql_bytes(db->sql, STMT_STREAMS, 1, &n);
    *s = (aios__db_stream){.id = column(db, STMT_STREAMS, 0), .name = name, .first = column(db, STMT_STREAMS, 2), .head = column(db, STMT_STREAMS, 3),
                           .wall_us = (int64_t)column(db, STMT_STREAMS, 4)};
    if (!name || memchr(name, 0, n) || n > AIOS_STORE_MAX_NAME)
        return false;
    return s->first && s->first <= s->head && column(db, STMT_STREAMS, 5) == stream_sum(s);
}

int aios__db_streams(aios__db *db, aios__db_stream_fn *fn, void *user, aios_error *err)
{
    meta seen = {.opens = db->meta.opens};
    aios__db_stream s;
    int rc = AIOS_AGAIN, code = AIOS_OK;
    while (!code && (rc = aios__sql_next(db->sql, STMT_STREAMS, err)) == AIOS_AGAIN) {
        if (!read_stream(db, &s)) {
            code = aios__sql_damaged(db->sql, "a row of its streams has another sum", err);
            break;
        }
        seen.streams++;
        seen.digest += member_sum(&s);
        code = fn(user, &s, err);
    }
    if (rc == AIOS_AGAIN)
        aios__sql_end(db->sql, STMT_STREAMS);
    if (code || rc < 0)
        return code ? code : rc;
    return memcmp(&seen, &db->meta, sizeof seen) ? aios__sql_damaged(db->sql, "some of its streams are missing", err) : AIOS_OK;
}

int aios__db_put(aios__db *db, const aios__db_stream *s, bool is_new, aios_error *err)
{
    const uint64_t row[] = {s->id, s->first, s->head, (uint64_t)s->wall_us, stream_sum(s)};
    uint32_t which = is_new ? STMT_MAKE : STMT_MOVE;
    bind(db, which, 5, row);
    if (is_new) {
        aios__sql_bind_text(db->sql, which, 6, s->name, strlen(s->name));
        db->meta.streams++;
        db->meta.digest += member_sum(s);
    }
    int rc = aios__sql_run(db->sql, which, err);
    return rc || !is_new ? rc : write_meta(db, err);
}

int aios__db_drop(aios__db *db, const aios__db_stream *s, aios_error *err)
{
    db->meta.streams--;
    db->meta.digest -= member_sum(s);
    bind(db, STMT_DROP, 1, &s->id);
    int rc = aios__sql_run(db->sql, STMT_DROP, err);
    return rc ? rc : write_meta(db, err);
}

/* ---- transactions --------------------------------------------------------------------------------------------------- */

int aios__db_begin(aios__db *db, aios_error *err)
{
    return aios__sql_begin(db->sql, err);
}

void aios__db_rollback(aios__db *db)
{
    aios__sql_rollback(db->sql);
    db->meta = db->meta_before;
}

int aios__db_commit(aios__db *db, aios_error *err)
{
    int rc = aios__sql_commit(db->sql, err);
    if (rc)
        db->meta = db->meta_before;
    else
        db->meta_before = db->meta;
    return rc;
}

int aios__db_add(aios__db *db, uint64_t id, uint64_t seq, int64_t wall_us, const aios_store_write *w, aios_error *err)
{
    const aios__db_stream s = {.id = id};
    const uint64_t row[] = {id, seq, (uint64_t)wall_us, w->kind, record_sum(&s, seq, wall_us, w->kind, w->data, w->n_data)};
    bind(db, STMT_ADD, 5, row);
    aios__sql_bind_bytes(db->sql, STMT_ADD, 6, w->data, w->n_data);
    return aios__sql_run(db->sql, STMT_ADD, err);
}

int aios__db_forget(aios__db *db, uint64_t id, uint64_t below, aios_error *err)
{
    const uint64_t row[] = {id, below};
    bind(db, STMT_FORGET, 2, row);
    return aios__sql_run(db->sql, STMT_FORGET, err);
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

static int fail_record(const aios__db *db, const aios__db_stream *s, uint64_t seq, const char *how, aios_error *err)
{
    return aios__fail(err, AIOS_EFORMAT, "store %s is damaged: record %llu of stream %s %s: restore it from a copy", aios__sql_path(db->sql),
                      (unsigned long long)seq, s->name, how);
}

int aios__db_read(aios__db *db, const aios__db_stream *s, uint64_t from, uint64_t to, aios__db_record_fn *fn, void *user, aios_error *err)
{
    const uint64_t range[] = {s->id, from, to};
    int rc = AIOS_OK, code = AIOS_OK;
    bind(db, STMT_READ, 3, range);
    while (from <= to && !code && (rc = aios__sql_next(db->sql, STMT_READ, err)) == AIOS_AGAIN) {
        aios_record r = {.struct_size = sizeof r, .seq = column(db, STMT_READ, 0), .wall_us = (int64_t)column(db, STMT_READ, 1),
                         .kind = (uint32_t)column(db, STMT_READ, 2)};
        const void *p = aios__sql_bytes(db->sql, STMT_READ, 4, &r.n_data);
        r.data = p ? p : "";
        if (r.seq != from)
            break;
        bool whole = column(db, STMT_READ, 2) <= UINT32_MAX && column(db, STMT_READ, 3) == record_sum(s, r.seq, r.wall_us, r.kind, r.data, r.n_data);
        code = whole ? fn(user, &r) : fail_record(db, s, from, "has another sum", err);
        from++;
    }
    if (rc == AIOS_AGAIN)
        aios__sql_end(db->sql, STMT_READ);
    if (code || from > to)
        return code;
    if (rc < 0)
        return rc == AIOS_EFORMAT ? fail_record(db, s, from, "cannot be read", err) : rc;
    return fail_record(db, s, from, "is missing", err);
}

int aios__db_check(aios__db *db, aios_error *err)
{
    return aios__sql_check(db->sql, err);
}
