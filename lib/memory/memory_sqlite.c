/* SPDX-License-Identifier: Apache-2.0 */
/* The memory in a database, a file's or one in memory: what is written. */
#include <stdio.h>

#include "base/cachefile.h"
#include "memory/memory.h"
#include "memory/memory_db.h"

#define APPLICATION_ID 1634299757 /* "aiom" */
#define FORMAT 1
#define CACHE_KIB 8000
#define SQLITE_MEMORY ((size_t)12 << 20) /* cache, the index that is written, statements */
#define MAX_PURGE 1000
/* In memory: what adding may take beside what there is, for each byte of text, for each item, for each call. Where it is not enough, since the index
   is merged into a new one, as much again as there is, a few times. */
#define GROWTH 8u
#define ITEM_GROWTH 4096u
#define CALL_GROWTH ((uint64_t)256 << 10)
#define MAX_GROWTHS 3

/* ---- what the file holds, word for word --------------------------------------------------------------------------- */

#define SQL_ITEM                                                                                                       \
    "CREATE TABLE item(id INTEGER PRIMARY KEY, name INTEGER NOT NULL, scope INTEGER NOT NULL, integrity INTEGER NOT NULL, classes INTEGER NOT NULL, " \
    "created INTEGER NOT NULL, updated INTEGER NOT NULL, expires INTEGER NOT NULL, tokens INTEGER NOT NULL, bytes INTEGER NOT NULL, key TEXT, " \
    "kind TEXT NOT NULL, tags TEXT NOT NULL, source TEXT NOT NULL, sum INTEGER NOT NULL)"
#define SQL_STAT                                                                                                       \
    "CREATE TABLE stat(scope INTEGER NOT NULL, integrity INTEGER NOT NULL, classes INTEGER NOT NULL, items INTEGER NOT NULL, tokens INTEGER NOT NULL, " \
    "bytes INTEGER NOT NULL, PRIMARY KEY(scope, integrity, classes)) WITHOUT ROWID"
#define SQL_FTS(tokenizer) "CREATE VIRTUAL TABLE fts USING fts5(text, scope, tokenize=\"" tokenizer "\", columnsize=0)"
#define OBJECTS(tokenizer)                                                                                             \
    {                                                                                                                  \
        {"item", SQL_ITEM, false}, {"stat", SQL_STAT, false},                                                          \
            {"scope", "CREATE TABLE scope(id INTEGER PRIMARY KEY, name TEXT NOT NULL)", false},                        \
            {"item_name", "CREATE UNIQUE INDEX item_name ON item(name)", false},                                       \
            {"item_key", "CREATE UNIQUE INDEX item_key ON item(key) WHERE key IS NOT NULL", false},                    \
            {"item_expires", "CREATE INDEX item_expires ON item(expires) WHERE expires > 0", false},                   \
            {"item_integrity", "CREATE INDEX item_integrity ON item(integrity)", false},                               \
            {"scope_name", "CREATE UNIQUE INDEX scope_name ON scope(name)", false}, {"fts", SQL_FTS(tokenizer), false}, \
            {"fts_data", "CREATE TABLE 'fts_data'(id INTEGER PRIMARY KEY, block BLOB)", true},                         \
            {"fts_idx", "CREATE TABLE 'fts_idx'(segid, term, pgno, PRIMARY KEY(segid, term)) WITHOUT ROWID", true},    \
            {"fts_content", "CREATE TABLE 'fts_content'(id INTEGER PRIMARY KEY, c0, c1)", true},                       \
            {"fts_config", "CREATE TABLE 'fts_config'(k PRIMARY KEY, v) WITHOUT ROWID", true},                         \
    }

static const aios__sql_object objects_words[] = OBJECTS("unicode61 remove_diacritics 2");
static const aios__sql_object objects_trigrams[] = OBJECTS("trigram");
static const char *const unicode61[] = {"unicode61", "remove_diacritics", "2"}, *const trigram[] = {"trigram"};
static const aios__sql_schema schemas[] = {{objects_words, AIOS__ARRAY_LEN(objects_words), unicode61, AIOS__ARRAY_LEN(unicode61)},
                                           {objects_trigrams, AIOS__ARRAY_LEN(objects_trigrams), trigram, AIOS__ARRAY_LEN(trigram)}};

static const char *const statements[] = {
#define X(name, sql) sql,
    MEM_STATEMENTS(X)
#undef X
};

/* ---- sums --------------------------------------------------------------------------------------------------------- */

uint64_t aios__mem_sum(const aios_item *it, const aios__mem_row *r)
{
    const uint64_t head[] = {(uint64_t)r->id, it->id, (uint64_t)it->label.integrity, it->label.confidentiality, (uint64_t)it->created_us,
                             (uint64_t)it->updated_us, (uint64_t)it->expires_us, (uint64_t)r->tokens, it->key != NULL};
    const char *const texts[] = {it->scope, it->kind, it->tags_json, it->source, it->key ? it->key : ""};
    uint64_t sum = aios__sum64(FORMAT, head, sizeof head);
    for (size_t i = 0; i < AIOS__ARRAY_LEN(texts); i++)
        sum = aios__sum64(sum, texts[i], strlen(texts[i]) + 1);
    return aios__sum64(sum, it->text, it->n_text);
}

/* ---- scopes and numbers; under the lock --------------------------------------------------------------------------- */

int aios__mem_scope(aios__memdb *m, const char *name, int64_t *id, aios_error *err)
{
    aios__sql_bind_text(m->sql, MEM_SCOPE, 1, name, strlen(name));
    int rc = aios__sql_next(m->sql, MEM_SCOPE, err);
    *id = rc == AIOS_AGAIN ? aios__sql_int(m->sql, MEM_SCOPE, 0) : 0;
    if (rc == AIOS_AGAIN)
        aios__sql_end(m->sql, MEM_SCOPE);
    return rc < 0 ? rc : AIOS_OK;
}

static int make_scope(aios__memdb *m, const char *name, int64_t *id, aios_error *err)
{
    int rc = aios__mem_scope(m, name, id, err);
    if (rc || *id)
        return rc;
    aios__sql_bind_text(m->sql, MEM_ADD_SCOPE, 1, name, strlen(name));
    rc = aios__sql_run(m->sql, MEM_ADD_SCOPE, err);
    return rc ? rc : aios__mem_scope(m, name, id, err);
}

void aios__mem_scope_word(int64_t scope, char out[AIOS__MEM_SCOPE + 1])
{
    snprintf(out, AIOS__MEM_SCOPE + 1, "s%016llx", (unsigned long long)scope);
}

/* One number of one row; 0 where there is none. */
static int ask_number(aios__memdb *m, uint32_t which, int64_t *out, aios_error *err)
{
    int rc = aios__sql_next(m->sql, which, err);
    *out = rc == AIOS_AGAIN ? aios__sql_int(m->sql, which, 0) : 0;
    if (rc == AIOS_AGAIN)
        aios__sql_end(m->sql, which);
    return rc < 0 ? rc : AIOS_OK;
}

static int read_totals(aios__memdb *m, aios_error *err)
{
    int rc = aios__sql_next(m->sql, MEM_TOTAL, err);
    if (rc != AIOS_AGAIN)
        return rc ? rc : aios__sql_damaged(m->sql, "its numbers cannot be read", err);
    m->n.last_id = aios__sql_int(m->sql, MEM_TOTAL, 0);
    m->n.items = (uint64_t)aios__sql_int(m->sql, MEM_TOTAL, 1);
    m->n.bytes = (uint64_t)aios__sql_int(m->sql, MEM_TOTAL, 2);
    aios__sql_end(m->sql, MEM_TOTAL);
    return AIOS_OK;
}

/* Statements whose first three values are a label. */
static int run_label(aios__memdb *m, uint32_t which, const int64_t *label, int n, aios_error *err)
{
    for (int i = 0; i < n; i++)
        aios__sql_bind(m->sql, which, i + 1, label[i]);
    return aios__sql_run(m->sql, which, err);
}

static int run_id(aios__memdb *m, uint32_t which, int64_t id, aios_error *err)
{
    aios__sql_bind(m->sql, which, 1, id);
    return aios__sql_run(m->sql, which, err);
}

/* ---- removing; in a transaction ----------------------------------------------------------------------------------- */

static int drop(aios__memdb *m, int64_t id, aios_error *err)
{
    int64_t label[5];
    aios__sql_bind(m->sql, MEM_LABEL_ROW, 1, id);
    int rc = aios__sql_next(m->sql, MEM_LABEL_ROW, err);
    if (rc != AIOS_AGAIN)
        return rc ? rc : aios__sql_damaged(m->sql, "an item is in its index alone", err);
    for (int i = 0; i < 5; i++)
        label[i] = aios__sql_int(m->sql, MEM_LABEL_ROW, i);
    aios__sql_end(m->sql, MEM_LABEL_ROW);
    rc = run_label(m, MEM_COUNT_OUT, label, 5, err);
    rc = rc ? rc : run_label(m, MEM_TIDY, label, 3, err);
    rc = rc ? rc : run_id(m, MEM_TIDY_SCOPE, label[0], err);
    rc = rc ? rc : run_id(m, MEM_DROP_TEXT, id, err);
    rc = rc ? rc : run_id(m, MEM_DROP, id, err);
    if (!rc) {
        m->n.items--;
        m->n.bytes -= (uint64_t)label[4];
    }
    return rc;
}

/* Some of what has expired. */
static int purge(aios__memdb *m, int64_t now, aios_error *err)
{
    int64_t id = 1;
    int rc = AIOS_OK;
    for (int i = 0; i < MAX_PURGE && !rc && id; i++) {
        aios__sql_bind(m->sql, MEM_PURGE, 1, now);
        rc = ask_number(m, MEM_PURGE, &id, err);
        if (!rc && id && !(rc = drop(m, id, err)))
            m->n.expired++;
    }
    return rc;
}

static int fail_room(const aios__memdb *m, const aios_item *it, aios_error *err)
{
    const char *why = m->flags & AIOS_MEMORY_EVICT ? "and what it holds is of more integrity" : "remove some, or open it with AIOS_MEMORY_EVICT";
    if (m->n.items >= m->max_items)
        return aios__fail_need(err, AIOS_ELIMIT, m->max_items, m->n.items + 1, "the memory holds %llu items, as many as it may: %s", (unsigned long long)m->n.items, why);
    return aios__fail_need(err, AIOS_ELIMIT, m->max_bytes, m->n.bytes + it->n_text, "the memory holds %llu bytes of text, at most %llu may be: %s",
                           (unsigned long long)m->n.bytes, (unsigned long long)m->max_bytes, why);
}

static int make_room(aios__memdb *m, const aios_item *it, aios_error *err)
{
    int rc = AIOS_OK;
    while (!rc && (m->n.items >= m->max_items || m->n.bytes + it->n_text > m->max_bytes)) {
        int64_t id = 0;
        aios__sql_bind(m->sql, MEM_VICTIM, 1, it->label.integrity);
        if (m->flags & AIOS_MEMORY_EVICT)
            rc = ask_number(m, MEM_VICTIM, &id, err);
        if (!rc && !id)
            return fail_room(m, it, err);
        if (!rc && !(rc = drop(m, id, err)))
            m->n.evicted++;
    }
    return rc;
}

/* ---- adding; in a transaction ------------------------------------------------------------------------------------- */

/* What is under a key: its row, 0 for none. */
static int find_key(aios__memdb *m, const char *key, int64_t now, int64_t *row, uint64_t *name, int64_t *created, aios_error *err)
{
    aios__sql_bind_text(m->sql, MEM_BY_KEY, 1, key, strlen(key));
    int rc = aios__sql_next(m->sql, MEM_BY_KEY, err);
    *row = 0;
    if (rc != AIOS_AGAIN)
        return rc;
    int64_t expires = aios__sql_int(m->sql, MEM_BY_KEY, 1);
    *row = aios__sql_int(m->sql, MEM_BY_KEY, 0);
    *name = expires > 0 && expires <= now ? 0 : (uint64_t)aios__sql_int(m->sql, MEM_BY_KEY, 2);
    *created = aios__sql_int(m->sql, MEM_BY_KEY, 3);
    aios__sql_end(m->sql, MEM_BY_KEY);
    return AIOS_OK;
}

static int count_token(void *user, const char *token, size_t n, size_t from, size_t to)
{
    int64_t *n_tokens = user;
    AIOS__UNUSED(token);
    AIOS__UNUSED(n);
    AIOS__UNUSED(from);
    AIOS__UNUSED(to);
    ++*n_tokens;
    return 0;
}

static int add_text(aios__memdb *m, const aios_item *it, int64_t scope, aios__mem_row *r, aios_error *err)
{
    char word[AIOS__MEM_SCOPE + 1];
    aios__mem_scope_word(scope, word);
    aios__sql_bind(m->sql, MEM_ADD_TEXT, 1, r->id);
    aios__sql_bind_text(m->sql, MEM_ADD_TEXT, 2, it->text, it->n_text);
    aios__sql_bind_text(m->sql, MEM_ADD_TEXT, 3, word, AIOS__MEM_SCOPE);
    int rc = aios__sql_run(m->sql, MEM_ADD_TEXT, err);
    return rc ? rc : aios__sql_tokens(m->sql, it->text, it->n_text, count_token, &r->tokens, err);
}

static int add_row(aios__memdb *m, const aios_item *it, const aios__mem_row *r, aios_error *err)
{
    const int64_t numbers[] = {r->id, (int64_t)it->id, r->scope, it->label.integrity, (int64_t)it->label.confidentiality, it->created_us, it->updated_us,
                               it->expires_us, r->tokens, (int64_t)it->n_text};
    const char *const texts[] = {it->key, it->kind, it->tags_json, it->source};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(numbers); i++)
        aios__sql_bind(m->sql, MEM_ADD, (int)i + 1, numbers[i]);
    for (size_t i = 0; i < AIOS__ARRAY_LEN(texts); i++)
        if (texts[i])
            aios__sql_bind_text(m->sql, MEM_ADD, (int)i + 11, texts[i], strlen(texts[i]));
    aios__sql_bind(m->sql, MEM_ADD, 15, (int64_t)aios__mem_sum(it, r));
    return aios__sql_run(m->sql, MEM_ADD, err);
}

static int insert(aios__memdb *m, const aios_item *it, aios_error *err)
{
    aios__mem_row r = {.id = m->n.last_id + 1};
    int rc = make_room(m, it, err);
    rc = rc ? rc : make_scope(m, it->scope, &r.scope, err);
    rc = rc ? rc : add_text(m, it, r.scope, &r, err);
    rc = rc ? rc : add_row(m, it, &r, err);
    const int64_t label[] = {r.scope, it->label.integrity, (int64_t)it->label.confidentiality, r.tokens, (int64_t)it->n_text};
    rc = rc ? rc : run_label(m, MEM_COUNT_IN, label, 5, err);
    if (rc)
        return rc;
    m->n.last_id++;
    m->n.items++;
    m->n.bytes += it->n_text;
    return AIOS_OK;
}

static int add_one(aios__memdb *m, const aios_memory_add_args *a, uint32_t i, aios_error *err)
{
    aios_item it = a->items[i];
    int64_t row = 0, created = 0;
    uint64_t name = 0;
    int rc = it.key ? find_key(m, it.key, a->wall_us, &row, &name, &created, err) : AIOS_OK;
    if (!rc && row && name && !(it.flags & AIOS_ITEM_REPLACE)) {
        a->ids[i] = name;
        return AIOS_OK;
    }
    rc = rc || !row ? rc : drop(m, row, err);
    it.id = a->ids[i] = name ? name : a->ids[i];
    it.created_us = name ? created : a->wall_us;
    it.updated_us = a->wall_us;
    return rc ? rc : insert(m, &it, err);
}

static int add_all(aios__memdb *m, const void *args, aios_error *err)
{
    const aios_memory_add_args *a = args;
    const aios__mem_numbers before = m->n;
    int rc = aios__sql_begin(m->sql, err);
    if (rc)
        return rc;
    rc = purge(m, a->wall_us, err);
    for (uint32_t i = 0; i < a->n_items && !rc; i++)
        rc = add_one(m, a, i, err);
    if (rc)
        aios__sql_rollback(m->sql);
    rc = rc ? rc : aios__sql_commit(m->sql, err);
    if (rc)
        m->n = before;
    return rc;
}

/* ---- room for what is written ------------------------------------------------------------------------------------- */

typedef int write_fn(aios__memdb *m, const void *args, aios_error *err);

static int write_locked(aios__memdb *m, write_fn *fn, const void *args, aios_error *err)
{
    pthread_mutex_lock(&m->lock);
    int rc = fn(m, args, err);
    pthread_mutex_unlock(&m->lock);
    return rc;
}

/* In memory: `extra` bytes are charged already. *there: those that it has. */
static int write_within(aios__memdb *m, write_fn *fn, const void *args, uint64_t extra, uint64_t *there, aios_error *err)
{
    pthread_mutex_lock(&m->lock);
    uint64_t most = m->charged + extra, used = 0;
    int rc = aios__sql_bytes_max(m->sql, most, err);
    rc = rc ? rc : fn(m, args, err);
    if (aios__sql_bytes_used(m->sql, &used, NULL) || used > most)
        used = most;
    aios__uncharge(m->heap, AIOS_MEM_OTHER, most - used);
    m->charged = *there = used;
    pthread_mutex_unlock(&m->lock);
    return rc;
}

static int write_all(aios__memdb *m, write_fn *fn, const void *args, uint64_t extra, aios_error *err)
{
    uint64_t there = 0;
    int rc = AIOS_EIO; /* the only one that memory gives: it is full */
    if (!m->in_memory)
        return write_locked(m, fn, args, err);
    for (int i = 0; i <= MAX_GROWTHS && rc == AIOS_EIO; i++, extra += there + CALL_GROWTH) {
        rc = aios__charge(m->heap, AIOS_MEM_OTHER, extra, err);
        rc = rc ? rc : write_within(m, fn, args, extra, &there, err);
    }
    return rc;
}

static int mem_add(void *self, const aios_memory_add_args *a, aios_error *err)
{
    return write_all(self, add_all, a, a->n_bytes * GROWTH + a->n_items * ITEM_GROWTH + CALL_GROWTH, err);
}

/* ---- one item ----------------------------------------------------------------------------------------------------- */

static int mem_find(void *self, const char *key, int64_t now, uint64_t *id, aios_error *err)
{
    aios__memdb *m = self;
    int64_t row, created;
    uint64_t name = 0;
    pthread_mutex_lock(&m->lock);
    int rc = find_key(m, key, now, &row, &name, &created, err);
    pthread_mutex_unlock(&m->lock);
    if (!rc && (!row || !name))
        return aios__fail(err, AIOS_ENOENT, "the memory has nothing under the key \"%.60s\"", key);
    *id = name;
    return rc;
}

static int remove_row(aios__memdb *m, int64_t row, aios_error *err)
{
    const aios__mem_numbers before = m->n;
    int rc = aios__sql_begin(m->sql, err);
    if (rc)
        return rc;
    rc = drop(m, row, err);
    if (rc)
        aios__sql_rollback(m->sql);
    rc = rc ? rc : aios__sql_commit(m->sql, err);
    if (rc)
        m->n = before;
    return rc;
}

static int remove_one(aios__memdb *m, const void *args, aios_error *err)
{
    int64_t row = 0;
    int rc = aios__mem_by_name(m, args, &row, err);
    return rc ? rc : remove_row(m, row, err);
}

static int mem_remove(void *self, const aios_memory_find_args *a, aios_error *err)
{
    return write_all(self, remove_one, a, CALL_GROWTH, err);
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

static int check_items(aios__memdb *m, aios_error *err)
{
    static const aios_query all = {.struct_size = sizeof all, .max_hits = UINT32_MAX, .flags = AIOS_QUERY_ANY_SCOPE, .readers = UINT64_MAX};
    uint64_t n = 0;
    aios_memory_find_args a = {.struct_size = sizeof a, .query = &all, .fn = aios__mem_pass, .user = &n};
    return aios__mem_list(m, &a, err);
}

static int check_numbers(aios__memdb *m, aios_error *err)
{
    int64_t wrong = 0;
    int rc = aios__sql_check(m->sql, err);
    rc = rc ? rc : ask_number(m, MEM_CHECK_STAT, &wrong, err);
    if (!rc && !wrong)
        rc = ask_number(m, MEM_CHECK_ITEM, &wrong, err);
    if (!rc && wrong)
        return aios__sql_damaged(m->sql, "its numbers are not those of its items", err);
    if (!rc && !(m->flags & AIOS_MEMORY_READ_ONLY) && (rc = aios__sql_run(m->sql, MEM_CHECK_FTS, err)) == AIOS_EFORMAT)
        return aios__sql_damaged(m->sql, "its index is not that of its texts", err);
    return rc;
}

static int mem_check(void *self, aios_error *err)
{
    aios__memdb *m = self;
    pthread_mutex_lock(&m->lock);
    int rc = check_numbers(m, err);
    pthread_mutex_unlock(&m->lock);
    return rc ? rc : check_items(m, err);
}

static void mem_info(void *self, aios_memory_info *out)
{
    aios__memdb *m = self;
    pthread_mutex_lock(&m->lock);
    out->tokenizer = m->tokenizer;
    out->n_items = m->n.items;
    out->n_bytes = m->n.bytes;
    out->n_evicted = m->n.evicted;
    out->n_expired = m->n.expired;
    pthread_mutex_unlock(&m->lock);
}

/* ---- open and close ----------------------------------------------------------------------------------------------- */

static void mem_close(void *self)
{
    aios__memdb *m = self;
    aios__sql_close(m->sql);
    aios__uncharge(m->heap, AIOS_MEM_OTHER, m->charged);
    pthread_mutex_destroy(&m->lock);
    aios__free(m->heap, m);
}

static int check_tokenizer(aios__memdb *m, int32_t wanted, aios_error *err)
{
    static const char *const names[] = {"", "words", "trigrams"};
    m->tokenizer = (int32_t)aios__sql_schema_of(m->sql) + 1;
    if (wanted && wanted != m->tokenizer)
        return aios__fail(err, AIOS_ESTATE, "memory %s was made to be searched by %s, not by %s: open it without a tokenizer, or make another",
                          aios__sql_path(m->sql), names[m->tokenizer], names[wanted]);
    return AIOS_OK;
}

static int charge_pages(aios__memdb *m, aios_error *err)
{
    uint64_t used;
    int rc = aios__sql_bytes_used(m->sql, &used, err);
    rc = rc ? rc : aios__charge(m->heap, AIOS_MEM_OTHER, used, err);
    m->charged = rc ? 0 : used;
    return rc;
}

static int open_at(const aios_memory_open_args *args, const char *path, void **self, aios_error *err)
{
    aios__memdb *m = aios__alloc(aios__ctx_heap(args->ctx), AIOS_MEM_OTHER, sizeof *m, err);
    if (!m)
        return aios__error_code(err, AIOS_ENOMEM);
    m->ctx = args->ctx;
    m->heap = aios__ctx_heap(args->ctx);
    m->flags = args->flags;
    m->in_memory = !path;
    m->max_items = args->max_items;
    m->max_bytes = args->max_bytes;
    m->spec = (aios__sql_spec){.noun = "memory", .application = APPLICATION_ID, .format = FORMAT, .schemas = schemas, .n_schemas = AIOS__ARRAY_LEN(schemas),
                               .new_schema = args->tokenizer == AIOS_MEMORY_TRIGRAMS, .statements = statements, .n_statements = MEM_COUNT,
                               .max_bytes = AIOS_MEMORY_MAX_ADD_BYTES, .memory = SQLITE_MEMORY, .cache_kib = CACHE_KIB, .search = true};
    pthread_mutex_init(&m->lock, NULL); /* plain ones cannot fail here */
    int rc = aios__sql_open(args->ctx, path, args->flags & (AIOS_MEMORY_READ_ONLY | AIOS_MEMORY_RELAXED), &m->spec, &m->sql, err);
    rc = rc ? rc : check_tokenizer(m, args->tokenizer, err);
    rc = rc || args->flags & AIOS_MEMORY_READ_ONLY ? rc : aios__sql_settle(m->sql, err);
    rc = rc ? rc : read_totals(m, err);
    rc = rc || path ? rc : charge_pages(m, err);
    if (rc) {
        mem_close(m);
        return rc;
    }
    *self = m;
    return AIOS_OK;
}

static int open_file(const aios_memory_open_args *args, void **self, aios_error *err)
{
    return open_at(args, args->path, self, err);
}

static int open_in_memory(const aios_memory_open_args *args, void **self, aios_error *err)
{
    if (*args->path || args->flags & AIOS_MEMORY_READ_ONLY)
        return aios__fail(err, AIOS_EINVAL, *args->path ? "memory: takes no name: share its handle" : "memory: is empty when it is opened: READ_ONLY makes no sense");
    return open_at(args, NULL, self, err);
}

int aios__memory_init(aios_ctx *ctx, aios_error *err)
{
    aios_memory_ops ops = {
        .struct_size = sizeof ops,
        .name = "sqlite",
        .open = open_file,
        .close = mem_close,
        .add = mem_add,
        .search = aios__mem_search,
        .list = aios__mem_list,
        .get = aios__mem_get,
        .find = mem_find,
        .remove = mem_remove,
        .count = aios__mem_count,
        .check = mem_check,
        .info = mem_info,
    };
    int rc = aios_memory_register(ctx, &ops, NULL, err);
    ops.name = "memory";
    ops.open = open_in_memory;
    return rc ? rc : aios_memory_register(ctx, &ops, NULL, err);
}
