/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postgres: a store in a PostgreSQL database, for many processes on many machines at once. `postgres:` is followed by what libpq takes:
 * postgres://USER@HOST/DB, or postgres:host=/run/postgresql dbname=DB. Tables are in the schema that the connection creates in.
 */
#include "pg.h"

#include <aios/plugin/plugin.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "schema.h"

#define TEXT(s) ((pg_param){.value = (s)})

/* ---- open, close ---------------------------------------------------------------------------------------------------- */

static void free_store(pg_store *s)
{
    pg_pool_close(s);
    pthread_cond_destroy(&s->given_back);
    pthread_mutex_destroy(&s->lock);
    free(s->conninfo);
    free(s);
}

static int pg_open(const aios_store_open_args *args, void **self, aios_error *err)
{
    bool url = !strncmp(args->path, "//", 2);
    size_t n = strlen(args->path) + sizeof "postgres:";
    pg_store *s = calloc(1, sizeof *s);
    if (!s || !(s->conninfo = malloc(n))) {
        free(s);
        return pg_fail(err, AIOS_ENOMEM, 0, "postgres: no memory");
    }
    snprintf(s->conninfo, n, "%s%s", url ? "postgres:" : "", args->path);
    s->flags = args->flags;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->given_back, &attr);
    pthread_condattr_destroy(&attr);
    int rc = pg_pool_open(s, err);
    if (rc) {
        free_store(s);
        return rc;
    }
    *self = s;
    return AIOS_OK;
}

static void pg_close(void *self)
{
    free_store(self);
}

/* ---- commit --------------------------------------------------------------------------------------------------------- */

/* The arrays of a commit: numbers and names as text, data in the binary form of bytea[]. */
typedef struct arrays {
    char *text;                     /* all four, one behind the other */
    char *names, *wants, *kinds, *flags;
    char *data;
    size_t n_data;
} arrays;

static char *put_u32(char *p, uint32_t v)
{
    v = htonl(v);
    memcpy(p, &v, sizeof v);
    return p + sizeof v;
}

/* One dimension from 1, without NULLs: a header, then each element's length and bytes. */
static int make_data(const aios_store_commit_args *a, arrays *out)
{
    enum { BYTEA = 17 };
    size_t n = 5 * sizeof(uint32_t);
    for (uint32_t i = 0; i < a->n_writes; i++)
        n += sizeof(uint32_t) + a->writes[i].n_data;
    char *p = out->data = malloc(n);
    if (!p)
        return AIOS_ENOMEM;
    out->n_data = n;
    const uint32_t head[] = {1, 0, BYTEA, a->n_writes, 1};
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        p = put_u32(p, head[i]);
    for (uint32_t i = 0; i < a->n_writes; i++) {
        const aios_store_write *w = &a->writes[i];
        p = put_u32(p, (uint32_t)w->n_data);
        memcpy(p, w->data, w->n_data);
        p += w->n_data;
    }
    return AIOS_OK;
}

/* Writes {x,y,...}; field 0: names, 1: wanted numbers, 2: kinds, 3: flags. A name has no byte that would need an escape. */
static char *make_text(const aios_store_commit_args *a, int field, char *p)
{
    for (uint32_t i = 0; i < a->n_writes; i++) {
        const aios_store_write *w = &a->writes[i];
        const uint64_t numbers[] = {0, w->seq, w->kind, w->flags};
        *p++ = i ? ',' : '{';
        p += field ? sprintf(p, "%llu", (unsigned long long)numbers[field]) : sprintf(p, "\"%s\"", w->stream);
    }
    memcpy(p, "}", 2);
    return p + 2;
}

static int make_arrays(const aios_store_commit_args *a, arrays *out, aios_error *err)
{
    size_t n = 4 * sizeof "{}";
    for (uint32_t i = 0; i < a->n_writes; i++)
        n += strlen(a->writes[i].stream) + 3 + 3 * 22;
    char *p = out->text = malloc(n);
    if (!p || make_data(a, out))
        return pg_fail(err, AIOS_ENOMEM, 0, "postgres: no memory for a commit of %u writes", a->n_writes);
    char **const fields[] = {&out->names, &out->wants, &out->kinds, &out->flags};
    for (int i = 0; i < 4; i++) {
        *fields[i] = p;
        p = make_text(a, i, p);
    }
    return AIOS_OK;
}

/* The failure of a write whose number is another's. */
static int fail_conflict(const aios_store_commit_args *a, const PGresult *r, aios_error *err)
{
    unsigned long at = strtoul(PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY), NULL, 10);
    const char *detail = PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL);
    uint64_t next = detail ? strtoull(detail, NULL, 10) : 0;
    if (at >= a->n_writes)
        return pg_fail(err, AIOS_EPROTO, 0, "postgres: the server names write %lu of %u", at, a->n_writes);
    const aios_store_write *w = &a->writes[at];
    pg_fail(err, AIOS_ECONFLICT, 0, "stream %s: the next record is number %llu, not %llu: another writer came first", w->stream, (unsigned long long)next,
            (unsigned long long)w->seq);
    if (err) {
        err->have = next;
        err->need = w->seq;
    }
    return AIOS_ECONFLICT;
}

/* Reads {1,2,...}. */
static int read_seqs(const char *s, uint64_t *seqs, uint32_t n, aios_error *err)
{
    for (uint32_t i = 0; i < n; i++) {
        char *end;
        if (*s != (i ? ',' : '{'))
            return pg_fail(err, AIOS_EPROTO, 0, "postgres: the server gave %u numbers for %u writes", i, n);
        seqs[i] = strtoull(s + 1, &end, 10);
        s = end;
    }
    return AIOS_OK;
}

static int pg_commit(void *self, const aios_store_commit_args *a, aios_error *err)
{
    pg_store *s = self;
    arrays v = {0};
    PGresult *r = NULL;
    char wall[24];
    bool sent = false;
    if (s->unsure)
        return pg_fail(err, AIOS_EIO, EIO, "postgres: the connection was lost in an earlier commit, and whether that is there is not known: open the store anew");
    snprintf(wall, sizeof wall, "%lld", (long long)a->wall_us);
    int rc = make_arrays(a, &v, err);
    const pg_param p[] = {TEXT(v.names), TEXT(v.wants), TEXT(v.kinds), TEXT(v.flags), {v.data, (int)v.n_data, true}, TEXT(wall)};
    if (!rc)
        rc = pg_query(s, "commit", "select aios_commit($1, $2, $3, $4, $5, $6)", p, 6, 1, &r, &sent, err);
    const char *state = r ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
    if (rc && state && !strcmp(state, PG_CONFLICT))
        rc = fail_conflict(a, r, err);
    else if (rc && sent)
        s->unsure = true;
    rc = rc ? rc : read_seqs(PQntuples(r) ? PQgetvalue(r, 0, 0) : "", a->seqs, a->n_writes, err);
    if (!rc && !(s->flags & AIOS_STORE_RELAXED))
        s->n_syncs++;
    PQclear(r);
    free(v.text);
    free(v.data);
    return rc;
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

enum { PAGE_ROWS = 256, PAGE_BYTES = 4 << 20 };

typedef struct reading {
    char stream_id[24], from[24], last[24];
    uint64_t next, head;
} reading;

/* Where the stream begins and ends now; *there false: there is none. */
static int begin_reading(pg_store *s, const aios_store_read_args *a, reading *q, bool *there, aios_error *err)
{
    PGresult *r;
    bool sent;
    const pg_param p[] = {TEXT(a->stream)};
    int rc = pg_query(s, "read", "select id, first, head from aios_stream where name = $1", p, 1, 3, &r, &sent, err);
    *there = !rc && PQntuples(r) == 1;
    if (*there) {
        uint64_t first = (uint64_t)pg_int(r, 0, 1);
        snprintf(q->stream_id, sizeof q->stream_id, "%lld", (long long)pg_int(r, 0, 0));
        q->head = (uint64_t)pg_int(r, 0, 2);
        q->next = a->from > first ? a->from : first;
    }
    PQclear(r);
    return rc;
}

/* How many of the next records make up a page: at least one, if it is there. */
static int size_page(pg_store *s, reading *q, aios_error *err)
{
    PGresult *r;
    bool sent;
    size_t bytes = 0;
    snprintf(q->from, sizeof q->from, "%llu", (unsigned long long)q->next);
    snprintf(q->last, sizeof q->last, "%llu", (unsigned long long)(q->head - q->next < PAGE_ROWS ? q->head : q->next + PAGE_ROWS - 1));
    const pg_param p[] = {TEXT(q->stream_id), TEXT(q->from), TEXT(q->last)};
    int rc = pg_query(s, "read", "select octet_length(data) from aios_record where stream = $1 and seq between $2 and $3 order by seq", p, 3, 1, &r, &sent, err);
    int rows = rc ? 0 : PQntuples(r), n = 0;
    while (n < rows && (!n || bytes < PAGE_BYTES))
        bytes += (size_t)pg_int(r, n++, 0);
    PQclear(r);
    snprintf(q->last, sizeof q->last, "%llu", (unsigned long long)(q->next + (uint64_t)n - 1));
    return rc || n ? rc : pg_fail(err, AIOS_ECONFLICT, 0, "records from %s on went while the stream was read: read it again", q->from);
}

/* Calls fn for the rows of a page; they must have the numbers that are next. */
static int pass_page(const aios_store_read_args *a, reading *q, const PGresult *r, aios_error *err)
{
    int rc = AIOS_OK;
    for (int i = 0; i < PQntuples(r) && !rc; i++) {
        size_t n = 0;
        if ((uint64_t)pg_int(r, i, 0) != q->next)
            return pg_fail(err, AIOS_ECONFLICT, 0, "stream %s: record %llu went while it was read: read it again", a->stream, (unsigned long long)q->next);
        unsigned char *data = PQunescapeBytea((const unsigned char *)PQgetvalue(r, i, 3), &n);
        if (!data)
            return pg_fail(err, AIOS_ENOMEM, 0, "postgres: no memory for a record of %d bytes", PQgetlength(r, i, 3));
        aios_record out = {.struct_size = sizeof out, .stream = a->stream, .seq = q->next++, .wall_us = pg_int(r, i, 1), .kind = (uint32_t)pg_int(r, i, 2),
                           .data = data, .n_data = n};
        rc = a->fn(a->user, &out);
        PQfreemem(data);
    }
    return rc;
}

static int pg_read(void *self, const aios_store_read_args *a, aios_error *err)
{
    reading q = {0};
    bool there, sent;
    int rc = begin_reading(self, a, &q, &there, err);
    while (!rc && there && q.next <= q.head) {
        PGresult *r = NULL;
        uint64_t at = q.next;
        rc = size_page(self, &q, err);
        const pg_param p[] = {TEXT(q.stream_id), TEXT(q.from), TEXT(q.last)};
        if (!rc)
            rc = pg_query(self, "read", "select seq, wall_us, kind, data from aios_record where stream = $1 and seq between $2 and $3 order by seq", p, 3, 4, &r,
                          &sent, err);
        rc = rc ? rc : pass_page(a, &q, r, err);
        if (!rc && q.next == at)
            rc = pg_fail(err, AIOS_ECONFLICT, 0, "stream %s: record %llu went while it was read: read it again", a->stream, (unsigned long long)at);
        PQclear(r);
    }
    return rc;
}

static int pg_head(void *self, const char *stream, uint64_t *seq, aios_error *err)
{
    PGresult *r;
    bool sent;
    const pg_param p[] = {TEXT(stream)};
    int rc = pg_query(self, "head", "select head from aios_stream where name = $1", p, 1, 1, &r, &sent, err);
    *seq = !rc && PQntuples(r) ? (uint64_t)pg_int(r, 0, 0) : 0;
    PQclear(r);
    return rc;
}

static int pass_streams(const aios_store_list_args *a, const PGresult *r, char *last, size_t cap)
{
    int rc = AIOS_OK;
    for (int i = 0; i < PQntuples(r) && !rc; i++) {
        snprintf(last, cap, "%s", PQgetvalue(r, i, 0));
        aios_stream out = {.struct_size = sizeof out, .name = last, .first = (uint64_t)pg_int(r, i, 1), .head = (uint64_t)pg_int(r, i, 2),
                           .order = (uint64_t)pg_int(r, i, 3), .written_us = pg_int(r, i, 4)};
        rc = a->fn(a->user, &out);
    }
    return rc;
}

static int pg_list(void *self, const aios_store_list_args *a, aios_error *err)
{
    char last[AIOS_STORE_MAX_NAME + 1] = "";
    for (;;) {
        PGresult *r;
        bool sent;
        const pg_param p[] = {TEXT(a->prefix), TEXT(last)};
        int rc = pg_query(self, "list", "select name, first, head, id, written_us from aios_stream where name >= $1 and name < $1 || '~' and name > $2"
                          " order by name limit 256", p, 2, 5, &r, &sent, err);
        int n = rc ? 0 : PQntuples(r);
        rc = rc ? rc : pass_streams(a, r, last, sizeof last);
        PQclear(r);
        if (rc || n < PAGE_ROWS)
            return rc;
    }
}

static int pg_remove(void *self, const char *stream, aios_error *err)
{
    PGresult *r;
    bool sent;
    const pg_param p[] = {TEXT(stream)};
    int rc = pg_query(self, "remove", "with claims as (delete from aios_claim where name = $1 and until <= clock_timestamp())"
                      " delete from aios_stream where name = $1 returning 1", p, 1, 1, &r, &sent, err);
    if (!rc && !PQntuples(r))
        rc = pg_fail(err, AIOS_ENOENT, 0, "the store has no stream %s", stream);
    PQclear(r);
    return rc;
}

static void pg_info(void *self, aios_store_info *out)
{
    pg_store *s = self;
    out->n_syncs = s->n_syncs;
}

/* ---- claims --------------------------------------------------------------------------------------------------------- */

typedef struct held {
    char name[AIOS_STORE_MAX_NAME + 1], epoch[24], ttl_us[24];
} held;

static void name_holder(char *out, size_t n)
{
    char host[65] = "";
    gethostname(host, sizeof host - 1);
    snprintf(out, n, "process %ld of %s", (long)getpid(), host);
}

/* What aios_claim_take gave: name, epoch, and of one that has it its holder and since when. */
static int read_claim(const aios_store_claim_args *a, const PGresult *r, held *h, aios_error *err)
{
    if (PQgetisnull(r, 0, 0))
        return pg_fail(err, AIOS_ENOENT, 0, "nothing below \"%s\" is left to claim", a->name);
    if (PQgetisnull(r, 0, 1))
        return pg_fail(err, AIOS_EBUSY, 0, "\"%s\" is claimed by %s since %s UTC: wait for its release, or until it is no more renewed", a->name,
                       PQgetvalue(r, 0, 2), PQgetvalue(r, 0, 3));
    snprintf(h->name, sizeof h->name, "%s", PQgetvalue(r, 0, 0));
    snprintf(h->epoch, sizeof h->epoch, "%s", PQgetvalue(r, 0, 1));
    return AIOS_OK;
}

static int pg_claim(void *self, const aios_store_claim_args *a, aios_store_claim_out *out, aios_error *err)
{
    char holder[96];
    PGresult *r = NULL;
    bool sent;
    held *h = calloc(1, sizeof *h);
    if (!h)
        return pg_fail(err, AIOS_ENOMEM, 0, "postgres: no memory");
    name_holder(holder, sizeof holder);
    snprintf(h->ttl_us, sizeof h->ttl_us, "%lld", (long long)(a->ttl_ns / 1000));
    const pg_param p[] = {TEXT(a->name), TEXT(a->flags & AIOS_CLAIM_ANY ? "t" : "f"), TEXT(h->ttl_us), TEXT(holder)};
    int rc = pg_query(self, "claim", "select r_name, r_epoch, r_holder, r_since from aios_claim_take($1, $2, $3, $4)", p, 4, 4, &r, &sent, err);
    if (!rc && PQntuples(r) != 1)
        rc = pg_fail(err, AIOS_EPROTO, 0, "claim: the server gave %d rows in place of 1", PQntuples(r));
    rc = rc ? rc : read_claim(a, r, h, err);
    PQclear(r);
    if (rc) {
        free(h);
        return rc;
    }
    out->handle = h;
    out->epoch = strtoull(h->epoch, NULL, 10);
    snprintf(out->name, sizeof out->name, "%s", h->name);
    return AIOS_OK;
}

static int pg_claim_renew(void *self, void *handle, aios_error *err)
{
    held *h = handle;
    PGresult *r;
    bool sent;
    const pg_param p[] = {TEXT(h->name), TEXT(h->epoch), TEXT(h->ttl_us)};
    int rc = pg_query(self, "renew", "update aios_claim set until = clock_timestamp() + $3 * interval '1 microsecond' where name = $1 and epoch = $2 returning 1",
                      p, 3, 1, &r, &sent, err);
    if (!rc && !PQntuples(r))
        rc = pg_fail(err, AIOS_ECONFLICT, 0, "the claim of \"%s\" ended, and it is another's now", h->name);
    PQclear(r);
    return rc;
}

static void pg_claim_release(void *self, void *handle)
{
    held *h = handle;
    PGresult *r;
    bool sent;
    const pg_param p[] = {TEXT(h->name), TEXT(h->epoch)};
    pg_query(self, "release", "select aios_claim_free($1, $2)", p, 2, 1, &r, &sent, NULL);
    PQclear(r);
    free(h);
}

static int init(aios_ctx *ctx, aios_error *err)
{
    static const aios_store_ops ops = {
        .struct_size = sizeof ops,
        .name = "postgres",
        .open = pg_open,
        .close = pg_close,
        .commit = pg_commit,
        .read = pg_read,
        .head = pg_head,
        .list = pg_list,
        .remove = pg_remove,
        .info = pg_info,
        .claim = pg_claim,
        .claim_renew = pg_claim_renew,
        .claim_release = pg_claim_release,
        .flags = AIOS_STORE_OPS_SLOW,
    };
    return aios_store_register(ctx, &ops, NULL, err);
}

AIOS_API extern const aios_plugin aios_plugin_entry;
const aios_plugin aios_plugin_entry = {.struct_size = sizeof(aios_plugin), .abi = AIOS_PLUGIN_ABI, .name = "store_postgres", .init = init};
