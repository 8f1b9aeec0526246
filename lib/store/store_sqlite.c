/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store in a file: streams are kept in memory as they are in the database, so that expectations are checked before anything is
 * written. Threads that commit at once queue up; one of them leads, and writes all that waits in one transaction with one sync.
 */
#include <stdio.h>

#include "store/sqlite_priv.h"

#define MAX_BATCH 256u
#define MAX_BATCH_BYTES ((size_t)32 << 20)
#define READ_ROOM ((size_t)128 << 10)
#define RECORD_ALIGN 16u

typedef struct stream {
    uint64_t id, first, head;      /* as committed; head 0: not yet */
    int64_t wall_us;
    uint64_t new_first, new_head;  /* in the transaction */
    int64_t new_wall_us;
    struct stream *next_touched;
    bool touched;
    char name[];
} stream;

/* A commit in the queue, on its thread's stack. */
typedef struct waiter {
    struct waiter *next;
    const aios_store_commit_args *args;
    aios_error *err;
    size_t n_bytes;
    size_t refused;  /* with ENOMEM: what its thread is to ask for, without the lock */
    int rc;
    bool done, leads;
    pthread_cond_t turn;
} waiter;

typedef struct store {
    aios_ctx *ctx;
    aios__heap *heap;
    aios__db *db;
    pthread_mutex_t lock;  /* of the database and the streams; held over a transaction */
    pthread_mutex_t queue_lock;
    waiter *queue, **queue_end;
    bool led;              /* somebody leads */
    stream **list;         /* by name */
    size_t n, cap;
    uint64_t last_id;
    stream *touched;
    aios__claims claims;
} store;

/* ---- streams in memory; under the lock ------------------------------------------------------------------------------ */

/* Index of the first stream that is not before name; `behind` also steps over name itself. */
static size_t place_of(const store *s, const char *name, bool behind)
{
    size_t lo = 0, hi = s->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int d = strcmp(s->list[mid]->name, name);
        if (d < 0 || (behind && !d))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static stream *find(const store *s, const char *name)
{
    size_t at = place_of(s, name, false);
    return at < s->n && !strcmp(s->list[at]->name, name) ? s->list[at] : NULL;
}

/* A stream with no record. NULL: *refused bytes were not to be had. */
static stream *insert(store *s, const char *name, size_t *refused)
{
    if (s->n == s->cap) {
        *refused = (s->cap + s->cap / 2 + 16) * sizeof *s->list;
        stream **bigger = aios__realloc_quietly(s->heap, AIOS_MEM_OTHER, s->list, *refused);
        if (!bigger)
            return NULL;
        s->list = bigger;
        s->cap += s->cap / 2 + 16;
    }
    size_t n_name = strlen(name) + 1;
    *refused = sizeof(stream) + n_name;
    stream *t = aios__realloc_quietly(s->heap, AIOS_MEM_OTHER, NULL, *refused);
    if (!t)
        return NULL;
    memset(t, 0, sizeof *t);
    memcpy(t->name, name, n_name);
    size_t at = place_of(s, name, false);
    memmove(s->list + at + 1, s->list + at, (s->n - at) * sizeof *s->list);
    s->list[at] = t;
    s->n++;
    return t;
}

static void drop(store *s, const char *name)
{
    size_t at = place_of(s, name, false);
    aios__free(s->heap, s->list[at]);
    memmove(s->list + at, s->list + at + 1, (--s->n - at) * sizeof *s->list);
}

static void touch(store *s, stream *t)
{
    if (t->touched)
        return;
    t->touched = true;
    t->new_first = t->first;
    t->new_head = t->head;
    t->new_wall_us = t->wall_us;
    t->next_touched = s->touched;
    s->touched = t;
}

/* Ends a transaction: what it did to the streams counts, or never was. */
static void settle(store *s, bool committed)
{
    for (stream *t = s->touched, *next; t; t = next) {
        next = t->next_touched;
        t->touched = false;
        if (committed) {
            t->first = t->new_first;
            t->head = t->new_head;
            t->wall_us = t->new_wall_us;
        }
        if (!t->head)
            drop(s, t->name);
    }
    s->touched = NULL;
}

/* ---- a transaction -------------------------------------------------------------------------------------------------- */

/* Numbers for all writes of a commit, or none: then the transaction is as it was before. */
static int take_numbers(store *s, waiter *w)
{
    const aios_store_commit_args *a = w->args;
    uint32_t i = 0;
    int rc = AIOS_OK;
    for (; i < a->n_writes; i++) {
        stream *t = find(s, a->writes[i].stream);
        if (!t && !(t = insert(s, a->writes[i].stream, &w->refused)))
            rc = AIOS_ENOMEM;
        if (rc)
            break;
        touch(s, t);
        if (a->writes[i].seq && a->writes[i].seq != t->new_head + 1) {
            rc = aios__store_conflict(&a->writes[i], t->new_head + 1, w->err);
            break;
        }
        a->seqs[i] = ++t->new_head;
    }
    while (rc && i > 0)
        find(s, a->writes[--i].stream)->new_head--;
    return rc;
}

static int write_records(store *s, waiter *w)
{
    const aios_store_commit_args *a = w->args;
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < a->n_writes && !rc; i++) {
        const aios_store_write *x = &a->writes[i];
        stream *t = find(s, x->stream);
        if (!t->id)
            t->id = ++s->last_id;
        rc = aios__db_add(s->db, t->id, a->seqs[i], a->wall_us, x, w->err);
        if (!rc && (x->flags & AIOS_WRITE_FORGET)) {
            t->new_first = a->seqs[i];
            rc = aios__db_forget(s->db, t->id, a->seqs[i], w->err);
        }
        if (!t->new_first)
            t->new_first = a->seqs[i];
        t->new_wall_us = a->wall_us;
    }
    return rc;
}

static int write_streams(store *s, aios_error *err)
{
    int rc = AIOS_OK;
    for (const stream *t = s->touched; t && !rc; t = t->next_touched) {
        aios__db_stream row = {.name = t->name, .id = t->id, .first = t->new_first, .head = t->new_head, .wall_us = t->new_wall_us};
        if (t->new_head != t->head)
            rc = aios__db_put(s->db, &row, !t->head, err);
    }
    return rc;
}

/* All of a batch whose numbers can be had, in one transaction. On failure nothing was written, and those are not done. */
static int write_batch(store *s, waiter *const *batch, uint32_t n, aios_error *err)
{
    uint32_t n_taken = 0;
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < n; i++) {
        batch[i]->rc = take_numbers(s, batch[i]);
        n_taken += !batch[i]->rc;
    }
    if (!n_taken) {
        settle(s, false);
        return AIOS_OK;
    }
    rc = aios__db_begin(s->db, err);
    bool begun = !rc;
    for (uint32_t i = 0; i < n && !rc; i++) {
        if (batch[i]->rc)
            continue;
        rc = write_records(s, batch[i]);
        if (rc)
            aios__error_copy(err, batch[i]->err);
    }
    rc = rc ? rc : write_streams(s, err);
    if (begun && rc)
        aios__db_rollback(s->db);
    rc = rc ? rc : aios__db_commit(s->db, err);
    settle(s, !rc);
    return rc;
}

/* What fails together is tried one by one, so that one commit does not hurt the others. */
static void run_batch(store *s, waiter *const *batch, uint32_t n)
{
    aios_error err = AIOS_INIT(aios_error);
    pthread_mutex_lock(&s->lock);
    int rc = write_batch(s, batch, n, &err);
    for (uint32_t i = 0; rc && i < n; i++) {
        int alone = n > 1 ? write_batch(s, &batch[i], 1, &err) : rc;
        if (alone) {
            batch[i]->rc = alone;
            aios__error_copy(batch[i]->err, &err);
        }
    }
    pthread_mutex_unlock(&s->lock);
}

/* ---- the queue ------------------------------------------------------------------------------------------------------ */

/* Takes the first of those that wait; under the lock of the queue. */
static uint32_t take_batch(store *s, waiter **batch)
{
    uint32_t n = 0;
    size_t n_bytes = 0;
    while (s->queue && n < MAX_BATCH && (!n || n_bytes + s->queue->n_bytes <= MAX_BATCH_BYTES)) {
        batch[n] = s->queue;
        n_bytes += batch[n++]->n_bytes;
        s->queue = s->queue->next;
    }
    if (!s->queue)
        s->queue_end = &s->queue;
    return n;
}

/* Writes what waits, itself included, then lets the next one lead. */
static void lead(store *s, waiter *me)
{
    waiter *batch[MAX_BATCH];
    while (!me->done) {
        uint32_t n = take_batch(s, batch);
        pthread_mutex_unlock(&s->queue_lock);
        run_batch(s, batch, n);
        pthread_mutex_lock(&s->queue_lock);
        for (uint32_t i = 0; i < n; i++) {
            batch[i]->done = true;
            if (batch[i] != me)
                pthread_cond_signal(&batch[i]->turn);
        }
    }
    s->led = s->queue;
    if (s->queue) {
        s->queue->leads = true;
        pthread_cond_signal(&s->queue->turn);
    }
}

static void wait_in_queue(store *s, waiter *me)
{
    pthread_mutex_lock(&s->queue_lock);
    me->next = NULL;
    *s->queue_end = me;
    s->queue_end = &me->next;
    me->leads = !s->led;
    s->led = true;
    while (!me->done && !me->leads)
        pthread_cond_wait(&me->turn, &s->queue_lock);
    if (!me->done)
        lead(s, me);
    pthread_mutex_unlock(&s->queue_lock);
}

static int sq_commit(void *self, const aios_store_commit_args *args, aios_error *err)
{
    store *s = self;
    waiter me = {.args = args, .err = err, .turn = PTHREAD_COND_INITIALIZER};
    for (uint32_t i = 0; i < args->n_writes; i++)
        me.n_bytes += args->writes[i].n_data;
    for (;;) {
        me.done = me.leads = false;
        me.refused = 0;
        wait_in_queue(s, &me);
        if (me.rc != AIOS_ENOMEM || !me.refused)
            break;
        void *room = aios__alloc(s->heap, AIOS_MEM_OTHER, me.refused, err); /* asks whoever can give memory back, or says why not */
        aios__free(s->heap, room);
        if (!room) {
            me.rc = aios__error_code(err, AIOS_ENOMEM);
            break;
        }
    }
    pthread_cond_destroy(&me.turn);
    return me.rc;
}

/* ---- open and close ------------------------------------------------------------------------------------------------- */

static int load_stream(void *user, const aios__db_stream *row, aios_error *err)
{
    store *s = user;
    size_t refused;
    stream *t;
    if (find(s, row->name))
        return aios__fail(err, AIOS_EFORMAT, "the store is damaged: it has stream %s twice", row->name);
    while (!(t = insert(s, row->name, &refused))) {
        void *room = aios__alloc(s->heap, AIOS_MEM_OTHER, refused, err);
        aios__free(s->heap, room);
        if (!room)
            return aios__error_code(err, AIOS_ENOMEM);
    }
    t->id = row->id;
    t->first = row->first;
    t->head = row->head;
    t->wall_us = row->wall_us;
    s->last_id = row->id > s->last_id ? row->id : s->last_id;
    return AIOS_OK;
}

static void free_store(store *s)
{
    if (s->db)
        aios__db_close(s->db);
    for (size_t i = 0; i < s->n; i++)
        aios__free(s->heap, s->list[i]);
    aios__free(s->heap, s->list);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->queue_lock);
    aios__free(s->heap, s);
}

static void sq_close(void *self)
{
    store *s = self;
    aios__claims_free(&s->claims);
    free_store(s);
}

static int sq_open(const aios_store_open_args *args, void **self, aios_error *err)
{
    store *s = aios__alloc(aios__ctx_heap(args->ctx), AIOS_MEM_OTHER, sizeof *s, err);
    if (!s)
        return aios__error_code(err, AIOS_ENOMEM);
    s->ctx = args->ctx;
    s->heap = aios__ctx_heap(args->ctx);
    s->queue_end = &s->queue;
    pthread_mutex_init(&s->lock, NULL); /* plain ones cannot fail here */
    pthread_mutex_init(&s->queue_lock, NULL);
    int rc = aios__db_open(args->ctx, args->path, args->flags, &s->db, err);
    rc = rc ? rc : aios__db_streams(s->db, load_stream, s, err);
    rc = rc ? rc : aios__claims_init(&s->claims, args->ctx, aios__db_opens(s->db) << 32, err);
    if (rc) {
        free_store(s);
        return rc;
    }
    *self = s;
    return AIOS_OK;
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

/* Records read under the lock and told without it: heads and data one behind the other. */
typedef struct page {
    char *p;
    size_t n, cap;
    size_t need; /* of a record that alone is larger than cap */
} page;

static size_t rounded(size_t n)
{
    return (n + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

static int keep(void *user, const aios_record *r)
{
    page *g = user;
    size_t n = rounded(sizeof *r) + rounded(r->n_data);
    if (g->n + n > g->cap) {
        g->need = g->n ? 0 : n;
        return AIOS_AGAIN;
    }
    memcpy(g->p + g->n, r, sizeof *r);
    memcpy(g->p + g->n + rounded(sizeof *r), r->data, r->n_data);
    g->n += n;
    return AIOS_OK;
}

static int tell(const page *g, const aios_store_read_args *a, uint64_t *next)
{
    int rc = AIOS_OK;
    for (size_t at = 0; at < g->n && !rc;) {
        aios_record r;
        memcpy(&r, g->p + at, sizeof r);
        r.stream = a->stream;
        r.data = g->p + at + rounded(sizeof r);
        at += rounded(sizeof r) + rounded(r.n_data);
        *next = r.seq + 1;
        rc = a->fn(a->user, &r);
    }
    return rc;
}

/* The next records of the range that the first call sets. AIOS_DONE: there are no more. */
static int fill(store *s, const aios_store_read_args *a, aios__db_stream *range, uint64_t *next, page *g, aios_error *err)
{
    pthread_mutex_lock(&s->lock);
    const stream *t = find(s, a->stream);
    bool begins = !range->id, same = t && t->id == range->id;
    int rc = AIOS_OK;
    if (begins && t) {
        *range = (aios__db_stream){.name = a->stream, .id = t->id, .first = t->first, .head = t->head};
        *next = a->from > t->first ? a->from : t->first;
    } else if (begins) {
        rc = AIOS_DONE;
    } else if (!same || t->first > *next) {
        rc = aios__fail(err, AIOS_ECONFLICT, "stream %s: the records from %llu on went while they were read: read it again", a->stream, (unsigned long long)*next);
    }
    g->n = 0;
    if (!rc && *next > range->head)
        rc = AIOS_DONE;
    rc = rc ? rc : aios__db_read(s->db, range, *next, range->head, keep, g, err);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static int sq_read(void *self, const aios_store_read_args *a, aios_error *err)
{
    store *s = self;
    aios__db_stream range = {.id = 0};
    uint64_t next = 0;
    page g = {.cap = READ_ROOM};
    int rc = AIOS_AGAIN;
    while (rc == AIOS_AGAIN) {
        void *p = g.p && !g.need ? g.p : aios__realloc(s->heap, AIOS_MEM_OTHER, g.p, g.need ? g.need : g.cap, err);
        if (!p) {
            rc = aios__error_code(err, AIOS_ENOMEM);
            break;
        }
        g.p = p;
        g.cap = g.need ? g.need : g.cap;
        g.need = 0;
        rc = fill(s, a, &range, &next, &g, err);
        int told = tell(&g, a, &next); /* what is whole comes before what is not */
        rc = told ? told : rc;
        if (told == AIOS_AGAIN)
            rc = AIOS_DONE; /* any state of the caller's ends the reading */
    }
    aios__free(s->heap, g.p);
    return rc;
}

static int sq_head(void *self, const char *name, uint64_t *seq, aios_error *err)
{
    store *s = self;
    AIOS__UNUSED(err);
    pthread_mutex_lock(&s->lock);
    const stream *t = find(s, name);
    *seq = t ? t->head : 0;
    pthread_mutex_unlock(&s->lock);
    return AIOS_OK;
}

static bool next_stream(store *s, const char *prefix, bool behind, char *name, aios_stream *out)
{
    pthread_mutex_lock(&s->lock);
    size_t at = place_of(s, name, behind);
    const stream *t = at < s->n && !strncmp(s->list[at]->name, prefix, strlen(prefix)) ? s->list[at] : NULL;
    if (t) {
        memcpy(name, t->name, strlen(t->name) + 1);
        *out = (aios_stream){.struct_size = sizeof *out, .name = name, .first = t->first, .head = t->head, .order = t->id, .written_us = t->wall_us};
    }
    pthread_mutex_unlock(&s->lock);
    return t;
}

static int sq_list(void *self, const aios_store_list_args *a, aios_error *err)
{
    char name[AIOS_STORE_MAX_NAME + 1];
    aios_stream out;
    int rc = AIOS_OK;
    AIOS__UNUSED(err);
    memcpy(name, a->prefix, strlen(a->prefix) + 1);
    for (bool behind = false; !rc && next_stream(self, a->prefix, behind, name, &out); behind = true)
        rc = a->fn(a->user, &out);
    return rc;
}

static int sq_remove(void *self, const char *name, aios_error *err)
{
    store *s = self;
    pthread_mutex_lock(&s->lock);
    const stream *t = find(s, name);
    int rc = t ? aios__db_begin(s->db, err) : aios__fail(err, AIOS_ENOENT, "the store has no stream %s", name);
    if (!rc) {
        aios__db_stream row = {.name = t->name, .id = t->id, .first = t->first, .head = t->head};
        rc = aios__db_forget(s->db, t->id, t->head + 1, err);
        rc = rc ? rc : aios__db_drop(s->db, &row, err);
        if (rc)
            aios__db_rollback(s->db);
        rc = rc ? rc : aios__db_commit(s->db, err);
        if (!rc)
            drop(s, name);
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static int sq_check(void *self, aios_error *err)
{
    store *s = self;
    pthread_mutex_lock(&s->lock);
    int rc = aios__db_check(s->db, err);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static void sq_info(void *self, aios_store_info *out)
{
    store *s = self;
    pthread_mutex_lock(&s->lock);
    out->n_syncs = aios__db_syncs(s->db);
    pthread_mutex_unlock(&s->lock);
}

/* ---- claims: of this process, since no other has the file open ------------------------------------------------------ */

static int sq_claim(void *self, const aios_store_claim_args *args, aios_store_claim_out *out, aios_error *err)
{
    store *s = self;
    return aios__claims_take(&s->claims, sq_list, s, args, out, err);
}

static void sq_claim_release(void *self, void *handle)
{
    store *s = self;
    aios__claims_drop(&s->claims, handle);
}

int aios__store_sqlite_init(aios_ctx *ctx, aios_error *err)
{
    static const aios_store_ops ops = {
        .struct_size = sizeof ops,
        .name = "sqlite",
        .open = sq_open,
        .close = sq_close,
        .commit = sq_commit,
        .read = sq_read,
        .head = sq_head,
        .list = sq_list,
        .remove = sq_remove,
        .check = sq_check,
        .info = sq_info,
        .claim = sq_claim,
        .claim_renew = aios__claims_renew,
        .claim_release = sq_claim_release,
        .flags = AIOS_STORE_OPS_SLOW,
    };
    return aios_store_register(ctx, &ops, NULL, err);
}
