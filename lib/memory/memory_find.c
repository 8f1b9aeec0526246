/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory in a database: what is found. A search has one pass over all items with one of the words: those that the query sees are counted for
 * each word, so that scores follow from them alone (SQLite's own bm25() counts all rows, and would tell of hidden ones). Items are then read one
 * by one and held against their sums, and told without the lock.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "memory/memory_db.h"

#define BM25_K1 1.2
#define BM25_B 0.75
#define PAGE 128u
#define MAX_EXPRESSION (2 * AIOS_MEMORY_MAX_QUERY + AIOS_MEMORY_MAX_SCOPES * 32 + 64)

/* ---- who sees what ------------------------------------------------------------------------------------------------ */

void aios__mem_read_row(const aios__memdb *m, uint32_t which, bool texts, aios__mem_row *out)
{
    *out = (aios__mem_row){.id = aios__sql_int(m->sql, which, 0), .scope = aios__sql_int(m->sql, which, 1), .integrity = aios__sql_int(m->sql, which, 2),
                           .classes = aios__sql_int(m->sql, which, 3), .updated = aios__sql_int(m->sql, which, 4),
                           .expires = aios__sql_int(m->sql, which, 5), .tokens = aios__sql_int(m->sql, which, 6)};
    if (!texts)
        return;
    out->kind = aios__sql_bytes(m->sql, which, 7, &out->n_kind);
    out->tags = aios__sql_bytes(m->sql, which, 8, &out->n_tags);
}

int aios__mem_view_make(aios__memdb *m, const aios_memory_find_args *a, aios__mem_view *out, aios_error *err)
{
    *out = (aios__mem_view){.q = a->query, .now = a->wall_us};
    int rc = AIOS_OK;
    for (uint32_t i = 0; a->query && i < a->query->n_scopes && !rc; i++)
        rc = aios__mem_scope(m, a->query->scopes[i], &out->scopes[i], err);
    return rc;
}

static bool sees_label(const aios__mem_view *v, int64_t scope, int64_t integrity, int64_t classes)
{
    const aios_query *q = v->q;
    bool mine = !q || q->flags & AIOS_QUERY_ANY_SCOPE;
    for (uint32_t i = 0; !mine && i < q->n_scopes; i++)
        mine = v->scopes[i] && v->scopes[i] == scope;
    return mine && (!q || (!((uint64_t)classes & ~q->readers) && integrity >= q->min_integrity));
}

bool aios__mem_sees(const aios__mem_view *v, const aios__mem_row *r)
{
    return (r->expires <= 0 || r->expires > v->now) && sees_label(v, r->scope, r->integrity, r->classes);
}

static bool asks_texts(const aios__mem_view *v)
{
    return v->q && (v->q->kind || v->q->tags_json);
}

/* What is asked for, beyond what may be seen. */
static bool fits(const aios__mem_view *v, const aios__mem_row *r)
{
    const aios_query *q = v->q;
    if (!q)
        return true;
    if ((q->since_us && r->updated < q->since_us) || (q->until_us && r->updated >= q->until_us))
        return false;
    if (q->kind && (!r->kind || strlen(q->kind) != r->n_kind || memcmp(q->kind, r->kind, r->n_kind)))
        return false;
    return !q->tags_json || (r->tags && aios__tags_have(r->tags, r->n_tags, q->tags_json, strlen(q->tags_json)));
}

int aios__mem_by_name(aios__memdb *m, const aios_memory_find_args *a, int64_t *row, aios_error *err)
{
    aios__mem_view v;
    aios__mem_row r;
    bool found = false;
    int rc = aios__mem_view_make(m, a, &v, err);
    aios__sql_bind(m->sql, MEM_BY_NAME, 1, (int64_t)a->id);
    rc = rc ? rc : aios__sql_next(m->sql, MEM_BY_NAME, err);
    if (rc == AIOS_AGAIN) {
        aios__mem_read_row(m, MEM_BY_NAME, false, &r);
        *row = r.id;
        found = aios__mem_sees(&v, &r);
        aios__sql_end(m->sql, MEM_BY_NAME);
        rc = AIOS_OK;
    }
    return rc || found ? rc : aios__fail(err, AIOS_ENOENT, "the memory has no such item to be seen");
}

/* ---- telling items ------------------------------------------------------------------------------------------------ */

/* Room for one item and its snippet, and for its texts' ends. */
typedef struct page {
    char *p;
    size_t n, cap;
} page;

#define PAGE_ROOM ((size_t)2 * AIOS_MEMORY_MAX_TEXT + AIOS_MEMORY_MAX_TAGS + AIOS_MEMORY_MAX_SOURCE + 3 * AIOS_MEMORY_MAX_NAME + 1024)

/* A copy with a NUL behind; NULL: it is damaged. */
static const char *keep(page *g, const void *s, size_t n)
{
    char *at = g->p + g->n;
    if (!s || n >= g->cap - g->n || memchr(s, 0, n))
        return NULL;
    memcpy(at, s, n);
    at[n] = 0;
    g->n += n + 1;
    return at;
}

static const char *keep_column(const aios__memdb *m, page *g, int i, size_t *n)
{
    const void *s = aios__sql_bytes(m->sql, MEM_GET, i, n);
    return keep(g, s ? s : "", *n);
}

/* The row of MEM_GET. False: it is not what was written. */
static bool read_item(const aios__memdb *m, const aios__mem_row *r, page *g, aios_item *it)
{
    size_t n;
    *it = (aios_item){.struct_size = sizeof *it, .id = (uint64_t)aios__sql_int(m->sql, MEM_GET, 9), .label = {(int32_t)r->integrity, 0, (uint64_t)r->classes},
                      .created_us = aios__sql_int(m->sql, MEM_GET, 11), .updated_us = r->updated, .expires_us = r->expires};
    g->n = 0;
    it->kind = keep(g, r->kind ? r->kind : "", r->n_kind);
    it->tags_json = keep(g, r->tags ? r->tags : "", r->n_tags);
    bool keyed = aios__sql_bytes(m->sql, MEM_GET, 10, &n);
    it->key = keyed ? keep_column(m, g, 10, &n) : NULL;
    it->source = keep_column(m, g, 13, &n);
    it->scope = keep_column(m, g, 15, &n);
    it->text = keep_column(m, g, 16, &it->n_text);
    if (!it->kind || !it->tags_json || (keyed && !it->key) || !it->source || !it->scope || !it->text || r->integrity != it->label.integrity)
        return false;
    return (size_t)aios__sql_int(m->sql, MEM_GET, 12) == it->n_text && (uint64_t)aios__sql_int(m->sql, MEM_GET, 14) == aios__mem_sum(it, r);
}

static int fail_item(const aios__memdb *m, int64_t row, aios_error *err)
{
    char text[80];
    snprintf(text, sizeof text, "item %lld is not what was written", (long long)row);
    return aios__sql_damaged(m->sql, text, err);
}

/* Reads one item, if it may still be seen: AIOS_DONE, it is gone. */
static int fetch(aios__memdb *m, const aios__mem_view *v, int64_t row, page *g, aios_item *it, aios_error *err)
{
    aios__mem_row r;
    aios__sql_bind(m->sql, MEM_GET, 1, row);
    int rc = aios__sql_next(m->sql, MEM_GET, err);
    if (rc == AIOS_EFORMAT)
        return fail_item(m, row, err);
    if (rc != AIOS_AGAIN)
        return rc ? rc : AIOS_DONE;
    aios__mem_read_row(m, MEM_GET, true, &r);
    bool seen = aios__mem_sees(v, &r) && fits(v, &r);
    rc = !seen ? AIOS_DONE : read_item(m, &r, g, it) ? AIOS_OK : fail_item(m, row, err);
    aios__sql_end(m->sql, MEM_GET);
    return rc;
}

/* What of the text shows the words, with a mark where something is left out. */
static int fetch_snippet(aios__memdb *m, const aios__mem_wanted *w, page *g, aios_hit *hit, aios_error *err)
{
    static const char cut[] = "\xe2\x80\xa6";
    const aios_item *it = hit->item;
    size_t from, to;
    char *at = g->p + g->n, *p = at;
    int rc = aios__mem_snippet(m, w, it->text, it->n_text, &from, &to, err);
    if (rc)
        return rc;
    if (from)
        p = (char *)memcpy(p, cut, sizeof cut - 1) + sizeof cut - 1;
    p = (char *)memcpy(p, it->text + from, to - from) + (to - from);
    if (to < it->n_text)
        p = (char *)memcpy(p, cut, sizeof cut - 1) + sizeof cut - 1;
    *p = 0;
    hit->snippet = at;
    hit->n_snippet = (size_t)(p - at);
    return AIOS_OK;
}

/* One item to the caller's function, without the lock. What went meanwhile is not told. */
static int tell(aios__memdb *m, const aios_memory_find_args *a, const aios__mem_view *v, int64_t row, double score, const aios__mem_wanted *w, page *g, aios_error *err)
{
    aios_item it;
    aios_hit hit = {.struct_size = sizeof hit, .item = &it, .score = score, .snippet = ""};
    pthread_mutex_lock(&m->lock);
    int rc = fetch(m, v, row, g, &it, err);
    if (!rc && w)
        rc = fetch_snippet(m, w, g, &hit, err);
    pthread_mutex_unlock(&m->lock);
    if (rc)
        return rc > 0 ? AIOS_OK : rc;
    rc = a->fn(a->user, &hit);
    return rc == AIOS_AGAIN ? AIOS_DONE : rc; /* any state of the caller's ends it */
}

static int make_page(aios__memdb *m, page *g, aios_error *err)
{
    *g = (page){.p = aios__alloc(m->heap, AIOS_MEM_OTHER, PAGE_ROOM, err), .cap = PAGE_ROOM};
    return g->p ? AIOS_OK : aios__error_code(err, AIOS_ENOMEM);
}

int aios__mem_pass(void *user, const aios_hit *hit)
{
    AIOS__UNUSED(user);
    AIOS__UNUSED(hit);
    return AIOS_OK;
}

/* ---- list, count, get --------------------------------------------------------------------------------------------- */

/* Rows below `from` that the view shows, the newest first. */
static int list_page(aios__memdb *m, const aios__mem_view *v, int64_t from, uint32_t most, int64_t *rows, uint32_t *n, aios_error *err)
{
    aios__mem_row r;
    int rc = AIOS_OK;
    *n = 0;
    aios__sql_bind(m->sql, MEM_NEWEST, 1, from);
    while (*n < most && (rc = aios__sql_next(m->sql, MEM_NEWEST, err)) == AIOS_AGAIN) {
        aios__mem_read_row(m, MEM_NEWEST, asks_texts(v), &r);
        if (aios__mem_sees(v, &r) && fits(v, &r))
            rows[(*n)++] = r.id;
    }
    if (rc >= 0)
        aios__sql_end(m->sql, MEM_NEWEST);
    return rc < 0 ? rc : AIOS_OK;
}

static int begin(aios__memdb *m, const aios_memory_find_args *a, aios__mem_view *v, aios_error *err)
{
    pthread_mutex_lock(&m->lock);
    int rc = aios__mem_view_make(m, a, v, err);
    pthread_mutex_unlock(&m->lock);
    return rc;
}

int aios__mem_list(void *self, const aios_memory_find_args *a, aios_error *err)
{
    aios__memdb *m = self;
    aios__mem_view v;
    page g = {0};
    int64_t rows[PAGE], from = INT64_MAX;
    uint32_t left = a->query->max_hits, n = PAGE;
    int rc = begin(m, a, &v, err);
    rc = rc ? rc : make_page(m, &g, err);
    while (!rc && left && n) {
        pthread_mutex_lock(&m->lock);
        rc = list_page(m, &v, from, left < PAGE ? left : PAGE, rows, &n, err);
        pthread_mutex_unlock(&m->lock);
        for (uint32_t i = 0; i < n && !rc; i++)
            rc = tell(m, a, &v, rows[i], 0, NULL, &g, err);
        left -= n;
        from = n ? rows[n - 1] : from;
    }
    aios__free(m->heap, g.p);
    return rc;
}

int aios__mem_count(void *self, const aios_memory_find_args *a, uint64_t *n_out, aios_error *err)
{
    aios__memdb *m = self;
    aios__mem_view v;
    int64_t rows[PAGE], from = INT64_MAX;
    uint32_t n = PAGE;
    int rc = begin(m, a, &v, err);
    while (!rc && n) {
        pthread_mutex_lock(&m->lock);
        rc = list_page(m, &v, from, PAGE, rows, &n, err);
        pthread_mutex_unlock(&m->lock);
        from = n ? rows[n - 1] : from;
        *n_out += n;
    }
    return rc;
}

int aios__mem_get(void *self, const aios_memory_find_args *a, aios_error *err)
{
    aios__memdb *m = self;
    aios__mem_view v;
    aios_query seen;
    aios_memory_find_args b = *a;
    page g = {0};
    int64_t row = 0;
    if (a->query) { /* what it is looked for by does not count */
        seen = *a->query;
        seen.kind = seen.tags_json = NULL;
        seen.since_us = seen.until_us = 0;
        b.query = &seen;
    }
    int rc = make_page(m, &g, err);
    pthread_mutex_lock(&m->lock);
    rc = rc ? rc : aios__mem_view_make(m, &b, &v, err);
    rc = rc ? rc : aios__mem_by_name(m, &b, &row, err);
    pthread_mutex_unlock(&m->lock);
    rc = rc ? rc : tell(m, &b, &v, row, 0, NULL, &g, err);
    aios__free(m->heap, g.p);
    return rc;
}

/* ---- search ------------------------------------------------------------------------------------------------------- */

typedef struct best {
    double score;
    int64_t row;
} best;

/* What one pass found. */
typedef struct search {
    aios__memdb *m;
    aios__mem_view view;
    uint32_t n_words;
    size_t stride;
    char *found;             /* of each: row, tokens, times that each word is in it */
    size_t n, cap;
    size_t refused;          /* with ENOMEM: what is to be asked for without the lock */
    uint64_t n_items, n_tokens; /* of all that are seen */
    uint64_t with[AIOS_MEMORY_MAX_TERMS]; /* of these, those with each word */
    aios__mem_wanted wanted;
    char expression[MAX_EXPRESSION];
} search;

/* Each word in quotes, which nothing in it can close; the scopes in theirs. */
static void write_expression(search *s, const aios__words *w)
{
    char word[AIOS__MEM_SCOPE + 1], *p = s->expression;
    const aios_query *q = s->view.q;
    p += sprintf(p, "text : (");
    for (uint32_t i = 0; i < w->n; i++)
        p += sprintf(p, "%s\"%.*s\"", i ? " OR " : "", (int)w->n_at[i], w->at[i]);
    p += sprintf(p, ")");
    for (uint32_t i = 0; i < q->n_scopes; i++) {
        aios__mem_scope_word(s->view.scopes[i], word);
        p += sprintf(p, "%s\"%s\"", i ? " OR " : " AND scope : (", word);
    }
    if (q->n_scopes)
        sprintf(p, ")");
}

static int add_stats(search *s, uint32_t which, int sign, aios_error *err)
{
    aios__memdb *m = s->m;
    int rc;
    while ((rc = aios__sql_next(m->sql, which, err)) == AIOS_AGAIN) {
        if (!sees_label(&s->view, aios__sql_int(m->sql, which, 0), aios__sql_int(m->sql, which, 1), aios__sql_int(m->sql, which, 2)))
            continue;
        s->n_items += (uint64_t)(sign * aios__sql_int(m->sql, which, 3));
        s->n_tokens += (uint64_t)(sign * aios__sql_int(m->sql, which, 4));
    }
    return rc;
}

/* How many items are seen, and how long they are together. */
static int count_seen(search *s, aios_error *err)
{
    const aios_query *q = s->view.q;
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < q->n_scopes && !rc; i++) {
        bool again = false;
        for (uint32_t k = 0; k < i; k++)
            again = again || s->view.scopes[k] == s->view.scopes[i];
        if (again)
            continue;
        aios__sql_bind(s->m->sql, MEM_STATS_OF, 1, s->view.scopes[i]);
        rc = add_stats(s, MEM_STATS_OF, 1, err);
    }
    if (!q->n_scopes)
        rc = add_stats(s, MEM_STATS, 1, err);
    aios__sql_bind(s->m->sql, MEM_EXPIRED, 1, s->view.now);
    return rc ? rc : add_stats(s, MEM_EXPIRED, -1, err);
}

static bool grow(search *s)
{
    if (s->n < s->cap)
        return true;
    size_t cap = s->cap ? s->cap * 2 : 256;
    char *p = aios__realloc_quietly(s->m->heap, AIOS_MEM_OTHER, s->found, cap * s->stride);
    if (!p) {
        s->refused = cap * s->stride;
        return false;
    }
    s->found = p;
    s->cap = cap;
    return true;
}

static int take_match(search *s, const aios__mem_row *r, aios_error *err)
{
    size_t n;
    const unsigned char *hits = aios__sql_bytes(s->m->sql, MEM_MATCH, 9, &n);
    if (!hits || n < s->n_words)
        return aios__sql_damaged(s->m->sql, "its index gives no counts", err);
    for (uint32_t i = 0; i < s->n_words; i++)
        s->with[i] += hits[i] > 0;
    if (!fits(&s->view, r))
        return AIOS_OK;
    if (!grow(s))
        return AIOS_ENOMEM;
    char *p = s->found + s->n++ * s->stride;
    memcpy(p, &r->id, sizeof r->id);
    memcpy(p + sizeof r->id, &r->tokens, sizeof r->tokens);
    memcpy(p + sizeof r->id + sizeof r->tokens, hits, s->n_words);
    return AIOS_OK;
}

static int match(search *s, aios_error *err)
{
    aios__mem_row r;
    int rc, code = AIOS_OK;
    aios__sql_bind_text(s->m->sql, MEM_MATCH, 1, s->expression, strlen(s->expression));
    while (!code && (rc = aios__sql_next(s->m->sql, MEM_MATCH, err)) == AIOS_AGAIN) {
        aios__mem_read_row(s->m, MEM_MATCH, asks_texts(&s->view), &r);
        if (aios__mem_sees(&s->view, &r))
            code = take_match(s, &r, err);
    }
    if (code)
        aios__sql_end(s->m->sql, MEM_MATCH);
    return code ? code : rc;
}

static double score(const search *s, const char *p, int64_t *row)
{
    int64_t tokens;
    double sum = 0;
    memcpy(row, p, sizeof *row);
    memcpy(&tokens, p + sizeof *row, sizeof tokens);
    const unsigned char *hits = (const unsigned char *)p + sizeof *row + sizeof tokens;
    double mean = s->n_tokens && s->n_items ? (double)s->n_tokens / (double)s->n_items : 1;
    double longer = BM25_K1 * (1 - BM25_B + BM25_B * (double)tokens / mean);
    for (uint32_t i = 0; i < s->n_words; i++) {
        double with = (double)s->with[i], all = (double)s->n_items;
        all = all < with ? with : all;
        sum += hits[i] ? log(1 + (all - with + 0.5) / (with + 0.5)) * hits[i] * (BM25_K1 + 1) / (hits[i] + longer) : 0;
    }
    return sum;
}

/* Best first; of two alike the newer. */
static int by_rank(const void *a, const void *b)
{
    const best *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return x->row < y->row ? 1 : x->row > y->row ? -1 : 0;
}

/* Keeps the worst of n at the top. */
static void sink(best *heap, uint32_t n, uint32_t i)
{
    for (uint32_t k = 2 * i + 1; k < n; i = k, k = 2 * i + 1) {
        if (k + 1 < n && by_rank(&heap[k + 1], &heap[k]) > 0)
            k++;
        if (by_rank(&heap[i], &heap[k]) >= 0)
            return;
        best t = heap[i];
        heap[i] = heap[k];
        heap[k] = t;
    }
}

static uint32_t choose(const search *s, best *out, uint32_t most)
{
    uint32_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        best b;
        b.score = score(s, s->found + i * s->stride, &b.row);
        if (n < most) {
            out[n++] = b;
            for (uint32_t k = n / 2; n == most && k-- > 0;)
                sink(out, n, k);
        } else if (by_rank(&b, &out[0]) < 0) {
            out[0] = b;
            sink(out, n, 0);
        }
    }
    qsort(out, n, sizeof *out, by_rank);
    return n;
}

static int find_once(search *s, const aios_memory_find_args *a, const aios__words *w, aios_error *err)
{
    s->n = s->refused = 0;
    s->n_items = s->n_tokens = 0;
    memset(s->with, 0, sizeof s->with);
    pthread_mutex_lock(&s->m->lock);
    int rc = aios__mem_view_make(s->m, a, &s->view, err);
    if (!rc)
        write_expression(s, w);
    rc = rc ? rc : aios__mem_want(s->m, a->query->text, a->query->n_text, &s->wanted, err);
    rc = rc ? rc : count_seen(s, err);
    rc = rc ? rc : match(s, err);
    pthread_mutex_unlock(&s->m->lock);
    return rc;
}

static int find_all(search *s, const aios_memory_find_args *a, const aios__words *w, aios_error *err)
{
    int rc;
    while ((rc = find_once(s, a, w, err)) == AIOS_ENOMEM && s->refused) {
        void *room = aios__alloc(s->m->heap, AIOS_MEM_OTHER, s->refused, err); /* asks whoever can give memory back, or says why not */
        aios__free(s->m->heap, room);
        if (!room)
            return aios__error_code(err, AIOS_ENOMEM);
    }
    return rc;
}

static int tell_best(search *s, const aios_memory_find_args *a, aios_error *err)
{
    best top[AIOS_MEMORY_MAX_HITS];
    page g;
    uint32_t n = choose(s, top, a->query->max_hits);
    aios__free(s->m->heap, s->found);
    s->found = NULL;
    int rc = make_page(s->m, &g, err);
    for (uint32_t i = 0; i < n && !rc; i++)
        rc = tell(s->m, a, &s->view, top[i].row, top[i].score, &s->wanted, &g, err);
    aios__free(s->m->heap, g.p);
    return rc;
}

int aios__mem_search(void *self, const aios_memory_find_args *a, aios_error *err)
{
    aios__words w;
    aios__memdb *m = self;
    search *s = aios__alloc(m->heap, AIOS_MEM_OTHER, sizeof *s, err);
    if (!s)
        return aios__error_code(err, AIOS_ENOMEM);
    aios__words_cut(a->query->text, a->query->n_text, &w);
    s->m = m;
    s->n_words = w.n;
    s->stride = 2 * sizeof(int64_t) + w.n;
    int rc = find_all(s, a, &w, err);
    rc = rc ? rc : tell_best(s, a, err);
    aios__free(m->heap, s->found);
    aios__free(m->heap, s);
    return rc;
}
