/* SPDX-License-Identifier: Apache-2.0 */
/* The in-memory store: a sorted array of streams of counted records. Under its lock nothing asks the host for memory. */
#include <stdatomic.h>

#include "store/store_priv.h"

enum { FEW_WRITES = 8 };

typedef struct record {
    _Atomic uint32_t refs;
    uint32_t kind;
    uint64_t seq;
    int64_t wall_us;
    size_t n;
    char data[];
} record;

typedef struct stream {
    uint64_t head, order;
    record **list;      /* those kept: list[first .. first + n) */
    size_t first, n, cap;
    size_t n_coming;    /* of the commit being prepared */
    char name[];
} stream;

typedef struct space {
    struct space *next;
    char *name;         /* NULL: private */
    aios__heap *heap;
    pthread_mutex_t lock;
    stream **list;      /* by name */
    size_t n, cap;
    uint64_t order;
    aios__claims claims;
} space;

/* ---- spaces --------------------------------------------------------------------------------------------------------- */

static void unref(const space *s, record *r)
{
    if (r && atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) == 1)
        aios__free(s->heap, r);
}

static void free_stream(const space *s, stream *t)
{
    for (size_t i = 0; i < t->n; i++)
        unref(s, t->list[t->first + i]);
    aios__free(s->heap, t->list);
    aios__free(s->heap, t);
}

static void free_space(space *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        free_stream(s, s->list[i]);
    aios__claims_free(&s->claims);
    pthread_mutex_destroy(&s->lock);
    aios__free(s->heap, s->list);
    aios__free(s->heap, s->name);
    aios__free(s->heap, s);
}

static void free_named(aios_ctx *ctx, void *p)
{
    AIOS__UNUSED(ctx);
    for (space *s = p, *next; s; s = next) {
        next = s->next;
        free_space(s);
    }
}

static int new_space(aios_ctx *ctx, const char *name, space **out, aios_error *err)
{
    aios__heap *h = aios__ctx_heap(ctx);
    space *s = aios__alloc(h, AIOS_MEM_OTHER, sizeof *s, err);
    if (!s)
        return aios__error_code(err, AIOS_ENOMEM);
    s->heap = h;
    s->name = *name ? aios__strndup(h, AIOS_MEM_OTHER, name, strlen(name), err) : NULL;
    int rc = *name && !s->name ? aios__error_code(err, AIOS_ENOMEM) : aios__claims_init(&s->claims, ctx, 0, err);
    if (!rc && pthread_mutex_init(&s->lock, NULL)) {
        aios__claims_free(&s->claims);
        rc = aios__fail(err, AIOS_ENOMEM, "the system has no room for another mutex");
    }
    if (rc) {
        aios__free(h, s->name);
        aios__free(h, s);
        return rc;
    }
    *out = s;
    return AIOS_OK;
}

static space *find_named(aios_ctx *ctx, const char *name)
{
    space *s = aios__ctx_slot(ctx, AIOS__SLOT_SPACES);
    while (s && strcmp(s->name, name))
        s = s->next;
    return s;
}

static int mem_open(const aios_store_open_args *args, void **self, aios_error *err)
{
    space *made = NULL, *s = NULL;
    int rc = new_space(args->ctx, args->path, &made, err);
    if (rc)
        return rc;
    if (made->name) {
        aios__ctx_lock(args->ctx);
        s = find_named(args->ctx, args->path);
        if (!s) {
            made->next = aios__ctx_slot(args->ctx, AIOS__SLOT_SPACES);
            aios__ctx_slot_set(args->ctx, AIOS__SLOT_SPACES, made, free_named);
        }
        aios__ctx_unlock(args->ctx);
        if (s)
            free_space(made);
    }
    *self = s ? s : made;
    return AIOS_OK;
}

/* A named one stays until the ctx goes. */
static void mem_close(void *self)
{
    space *s = self;
    if (!s->name)
        free_space(s);
}

/* ---- streams; all under the lock ------------------------------------------------------------------------------------ */

/* Index of the first stream that is not before name; `behind` also steps over name itself. */
static size_t place_of(const space *s, const char *name, bool behind)
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

static stream *find(const space *s, const char *name)
{
    size_t at = place_of(s, name, false);
    return at < s->n && !strcmp(s->list[at]->name, name) ? s->list[at] : NULL;
}

/* Room for `need` elements behind `used`. False: *refused is how many bytes were not to be had. */
static bool make_room(const space *s, void *list, size_t *cap, size_t used, size_t need, size_t *refused)
{
    if (used + need <= *cap)
        return true;
    size_t more = used + need + used / 2 + 4;
    void *p;
    memcpy(&p, list, sizeof p);
    *refused = more * sizeof(void *);
    p = aios__realloc_quietly(s->heap, AIOS_MEM_OTHER, p, *refused);
    if (!p)
        return false;
    memcpy(list, &p, sizeof p);
    *cap = more;
    return true;
}

/* The stream of a write, made with no record if it is not there. NULL: *refused bytes were not to be had. */
static stream *stream_for(space *s, const char *name, size_t *refused)
{
    stream *t = find(s, name);
    if (t)
        return t;
    if (!make_room(s, &s->list, &s->cap, s->n, 1, refused))
        return NULL;
    size_t n_name = strlen(name) + 1;
    *refused = sizeof *t + n_name;
    t = aios__realloc_quietly(s->heap, AIOS_MEM_OTHER, NULL, *refused);
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

static void remove_at(space *s, size_t at)
{
    free_stream(s, s->list[at]);
    memmove(s->list + at, s->list + at + 1, (--s->n - at) * sizeof *s->list);
}

/* ---- commit --------------------------------------------------------------------------------------------------------- */

/* Checks all writes and makes all room, so that what follows cannot fail. ENOMEM with *refused: ask for it without the lock. */
static int prepare(space *s, const aios_store_commit_args *a, size_t *refused, aios_error *err)
{
    for (uint32_t i = 0; i < a->n_writes; i++) {
        const aios_store_write *w = &a->writes[i];
        stream *t = stream_for(s, w->stream, refused);
        if (!t)
            return AIOS_ENOMEM;
        uint64_t next = t->head + t->n_coming + 1;
        if (w->seq && w->seq != next) {
            *refused = 0;
            return aios__store_conflict(w, next, err);
        }
        if (t->first) {
            memmove(t->list, t->list + t->first, t->n * sizeof *t->list);
            t->first = 0;
        }
        if (!make_room(s, &t->list, &t->cap, t->n + t->n_coming, 1, refused))
            return AIOS_ENOMEM;
        t->n_coming++;
    }
    return AIOS_OK;
}

static void forget(const space *s, stream *t)
{
    while (t->n) {
        unref(s, t->list[t->first++]);
        t->n--;
    }
    t->first = 0;
}

static void publish(space *s, const aios_store_commit_args *a, record **made)
{
    for (uint32_t i = 0; i < a->n_writes; i++) {
        stream *t = find(s, a->writes[i].stream);
        if (!t->head)
            t->order = ++s->order;
        if (a->writes[i].flags & AIOS_WRITE_FORGET)
            forget(s, t);
        made[i]->seq = a->seqs[i] = ++t->head;
        t->list[t->first + t->n++] = made[i];
        made[i] = NULL;
    }
}

/* Ends what prepare began, whether it came to anything or not. */
static void tidy(space *s, const aios_store_commit_args *a)
{
    for (uint32_t i = 0; i < a->n_writes; i++) {
        size_t at = place_of(s, a->writes[i].stream, false);
        stream *t = at < s->n ? s->list[at] : NULL;
        if (!t || strcmp(t->name, a->writes[i].stream))
            continue;
        t->n_coming = 0;
        if (!t->head)
            remove_at(s, at);
    }
}

static int make_records(const space *s, const aios_store_commit_args *a, record **made, aios_error *err)
{
    for (uint32_t i = 0; i < a->n_writes; i++) {
        const aios_store_write *w = &a->writes[i];
        made[i] = aios__realloc(s->heap, AIOS_MEM_OTHER, NULL, sizeof **made + w->n_data, err);
        if (!made[i])
            return aios__error_code(err, AIOS_ENOMEM);
        atomic_init(&made[i]->refs, 1);
        made[i]->kind = w->kind;
        made[i]->wall_us = a->wall_us;
        made[i]->n = w->n_data;
        memcpy(made[i]->data, w->data, w->n_data);
    }
    return AIOS_OK;
}

static int try_commit(space *s, const aios_store_commit_args *a, record **made, size_t *refused, aios_error *err)
{
    pthread_mutex_lock(&s->lock);
    int rc = prepare(s, a, refused, err);
    if (!rc)
        publish(s, a, made);
    tidy(s, a);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static int mem_commit(void *self, const aios_store_commit_args *a, aios_error *err)
{
    space *s = self;
    record *few[FEW_WRITES] = {NULL}, **made = few;
    if (a->n_writes > FEW_WRITES)
        made = aios__alloc_array(s->heap, AIOS_MEM_OTHER, a->n_writes, sizeof *made, err);
    if (!made)
        return aios__error_code(err, AIOS_ENOMEM);
    int rc = make_records(s, a, made, err);
    while (!rc) {
        size_t refused = 0;
        rc = try_commit(s, a, made, &refused, err);
        if (rc != AIOS_ENOMEM || !refused)
            break;
        void *room = aios__alloc(s->heap, AIOS_MEM_OTHER, refused, err); /* asks whoever can give memory back, or says why not */
        rc = room ? AIOS_OK : aios__error_code(err, AIOS_ENOMEM);
        aios__free(s->heap, room);
    }
    for (uint32_t i = 0; i < a->n_writes; i++)
        unref(s, made[i]);
    if (made != few)
        aios__free(s->heap, made);
    return rc;
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

/* Index of the first record to read; n if there is none. */
static size_t start_of(const stream *t, uint64_t from)
{
    uint64_t oldest = t->head - t->n + 1;
    return from <= oldest ? 0 : from - oldest < t->n ? (size_t)(from - oldest) : t->n;
}

/* References to the records from `from` on, so that they stay while they are read. */
static int hold(space *s, const aios_store_read_args *a, record ***out, size_t *n, aios_error *err)
{
    pthread_mutex_lock(&s->lock);
    const stream *t = find(s, a->stream);
    size_t most = t ? t->n - start_of(t, a->from) : 0;
    pthread_mutex_unlock(&s->lock);
    *n = 0;
    *out = NULL;
    if (!most)
        return AIOS_OK;
    record **list = aios__alloc_array(s->heap, AIOS_MEM_OTHER, most, sizeof *list, err);
    if (!list)
        return aios__error_code(err, AIOS_ENOMEM);
    pthread_mutex_lock(&s->lock);
    t = find(s, a->stream);
    for (size_t i = t ? start_of(t, a->from) : 0; t && i < t->n && *n < most; i++) {
        record *r = t->list[t->first + i];
        atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
        list[(*n)++] = r;
    }
    pthread_mutex_unlock(&s->lock);
    *out = list;
    return AIOS_OK;
}

static int mem_read(void *self, const aios_store_read_args *a, aios_error *err)
{
    space *s = self;
    record **list;
    size_t n;
    int rc = hold(s, a, &list, &n, err);
    for (size_t i = 0; i < n && !rc; i++) {
        const record *r = list[i];
        aios_record out = {.struct_size = sizeof out, .stream = a->stream, .seq = r->seq, .wall_us = r->wall_us, .kind = r->kind, .data = r->data, .n_data = r->n};
        rc = a->fn(a->user, &out);
    }
    for (size_t i = 0; i < n; i++)
        unref(s, list[i]);
    aios__free(s->heap, list);
    return rc;
}

static int mem_head(void *self, const char *name, uint64_t *seq, aios_error *err)
{
    space *s = self;
    AIOS__UNUSED(err);
    pthread_mutex_lock(&s->lock);
    const stream *t = find(s, name);
    *seq = t ? t->head : 0;
    pthread_mutex_unlock(&s->lock);
    return AIOS_OK;
}

/* Copies what is told of the first stream behind `name` (or at it, for the first) below prefix; false: there is none. */
static bool next_stream(space *s, const char *prefix, bool behind, char *name, aios_stream *out)
{
    pthread_mutex_lock(&s->lock);
    size_t at = place_of(s, name, behind);
    const stream *t = at < s->n && !strncmp(s->list[at]->name, prefix, strlen(prefix)) ? s->list[at] : NULL;
    if (t) {
        memcpy(name, t->name, strlen(t->name) + 1);
        *out = (aios_stream){.struct_size = sizeof *out, .name = name, .first = t->head - t->n + 1, .head = t->head, .order = t->order,
                             .written_us = t->list[t->first + t->n - 1]->wall_us};
    }
    pthread_mutex_unlock(&s->lock);
    return t;
}

static int mem_list(void *self, const aios_store_list_args *a, aios_error *err)
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

static int mem_remove(void *self, const char *name, aios_error *err)
{
    space *s = self;
    pthread_mutex_lock(&s->lock);
    size_t at = place_of(s, name, false);
    bool found = at < s->n && !strcmp(s->list[at]->name, name);
    if (found)
        remove_at(s, at);
    pthread_mutex_unlock(&s->lock);
    return found ? AIOS_OK : aios__fail(err, AIOS_ENOENT, "the store has no stream %s", name);
}

/* ---- claims --------------------------------------------------------------------------------------------------------- */

static int mem_claim(void *self, const aios_store_claim_args *args, aios_store_claim_out *out, aios_error *err)
{
    space *s = self;
    return aios__claims_take(&s->claims, mem_list, s, args, out, err);
}

static void mem_claim_release(void *self, void *handle)
{
    space *s = self;
    aios__claims_drop(&s->claims, handle);
}

int aios__store_memory_init(aios_ctx *ctx, aios_error *err)
{
    static const aios_store_ops ops = {
        .struct_size = sizeof ops,
        .name = "memory",
        .open = mem_open,
        .close = mem_close,
        .commit = mem_commit,
        .read = mem_read,
        .head = mem_head,
        .list = mem_list,
        .remove = mem_remove,
        .claim = mem_claim,
        .claim_renew = aios__claims_renew,
        .claim_release = mem_claim_release,
    };
    return aios_store_register(ctx, &ops, NULL, err);
}
