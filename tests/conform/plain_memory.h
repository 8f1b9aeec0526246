/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A memory that looks at everything with each query: the reference of what is seen and how it is scored, for words of ASCII letters, and what the
 * wrapper does for one without the optional slots.
 */
#ifndef AIOS_TEST_PLAIN_MEMORY_H
#define AIOS_TEST_PLAIN_MEMORY_H

#include <aios/plugin/memory.h>
#include <ctype.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>

enum { PLAIN_MOST = 4096 };

typedef struct plain_item {
    aios_item it;            /* its texts are malloc'd */
    bool there;
} plain_item;

typedef struct plain_memory {
    plain_item list[PLAIN_MOST];
    int n;
    pthread_mutex_t lock;
} plain_memory;

static inline int plain_mem_open(const aios_memory_open_args *args, void **self, aios_error *err)
{
    (void)args, (void)err;
    plain_memory *m = calloc(1, sizeof *m);
    pthread_mutex_init(&m->lock, NULL);
    *self = m;
    return 0;
}

static inline void plain_mem_drop(plain_item *p)
{
    const char *all[] = {p->it.text, p->it.scope, p->it.kind, p->it.tags_json, p->it.source, p->it.key};
    for (size_t i = 0; p->there && i < sizeof all / sizeof *all; i++)
        free((void *)(uintptr_t)all[i]);
    p->there = false;
}

static inline void plain_mem_close(void *self)
{
    plain_memory *m = self;
    for (int i = 0; i < m->n; i++)
        plain_mem_drop(&m->list[i]);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static inline bool plain_mem_alive(const plain_item *p, int64_t now)
{
    return p->there && (!p->it.expires_us || p->it.expires_us > now);
}

static inline plain_item *plain_mem_keyed(plain_memory *m, const char *key, int64_t now)
{
    for (int i = 0; key && i < m->n; i++)
        if (plain_mem_alive(&m->list[i], now) && m->list[i].it.key && !strcmp(m->list[i].it.key, key))
            return &m->list[i];
    return NULL;
}

static inline int plain_mem_add(void *self, const aios_memory_add_args *a, aios_error *err)
{
    plain_memory *m = self;
    (void)err;
    pthread_mutex_lock(&m->lock);
    for (uint32_t i = 0; i < a->n_items; i++) {
        aios_item it = a->items[i];
        plain_item *old = plain_mem_keyed(m, it.key, a->wall_us);
        it.created_us = old ? old->it.created_us : a->wall_us;
        it.updated_us = a->wall_us;
        a->ids[i] = old ? old->it.id : a->ids[i];
        if (old && !(it.flags & AIOS_ITEM_REPLACE))
            continue;
        if (old)
            plain_mem_drop(old);
        it.id = a->ids[i];
        it.text = strndup(it.text, it.n_text);
        it.scope = strdup(it.scope);
        it.kind = strdup(it.kind);
        it.tags_json = strdup(it.tags_json);
        it.source = strdup(it.source);
        it.key = it.key ? strdup(it.key) : NULL;
        m->list[m->n++] = (plain_item){it, true};
    }
    pthread_mutex_unlock(&m->lock);
    return 0;
}

static inline bool plain_mem_sees(const aios_memory_find_args *a, const plain_item *p)
{
    const aios_query *q = a->query;
    if (!plain_mem_alive(p, a->wall_us))
        return false;
    if (!q)
        return true;
    bool mine = q->flags & AIOS_QUERY_ANY_SCOPE;
    for (uint32_t i = 0; i < q->n_scopes; i++)
        mine = mine || !strcmp(q->scopes[i], p->it.scope);
    return mine && !(p->it.label.confidentiality & ~q->readers) && p->it.label.integrity >= q->min_integrity;
}

/* Tags of the tests have no text with a comma in it. */
static inline bool plain_mem_fits(const aios_query *q, const plain_item *p)
{
    char want[256], *end;
    if ((q->kind && strcmp(q->kind, p->it.kind)) || (q->since_us && p->it.updated_us < q->since_us) || (q->until_us && p->it.updated_us >= q->until_us))
        return false;
    if (!q->tags_json || !strcmp(q->tags_json, "{}"))
        return true;
    snprintf(want, sizeof want, "%s", q->tags_json + 1);
    want[strlen(want) - 1] = 0;
    for (char *s = strtok_r(want, ",", &end); s; s = strtok_r(NULL, ",", &end))
        if (!strstr(p->it.tags_json, s))
            return false;
    return true;
}

/* How often a word of lower-case letters is in a text; n_words: how many it has. */
static inline int plain_mem_times(const char *text, const char *word, int *n_words)
{
    int times = 0;
    *n_words = 0;
    for (const char *p = text; *p;) {
        size_t n = 0;
        while (isalnum((unsigned char)p[n]))
            n++;
        *n_words += n > 0;
        times += n == strlen(word) && !strncasecmp(p, word, n);
        p += n ? n : 1;
    }
    return times;
}

static inline double plain_mem_score(const plain_memory *m, const aios_memory_find_args *a, const plain_item *p)
{
    char text[AIOS_MEMORY_MAX_QUERY + 1], seen[64][32], *end;
    int n_seen = 0, n_words, of_item;
    double sum = 0;
    snprintf(text, sizeof text, "%s", a->query->text);
    for (char *c = text; *c; c++)
        *c = isalnum((unsigned char)*c) ? *c : ' ';
    for (char *w = strtok_r(text, " ", &end); w; w = strtok_r(NULL, " ", &end)) {
        double all = 0, with = 0, tokens = 0;
        bool again = false;
        for (int i = 0; i < n_seen; i++)
            again = again || !strcasecmp(seen[i], w);
        if (again)
            continue;
        snprintf(seen[n_seen++], sizeof seen[0], "%s", w);
        for (int i = 0; i < m->n; i++) {
            if (!plain_mem_sees(a, &m->list[i]))
                continue;
            all++;
            with += plain_mem_times(m->list[i].it.text, w, &n_words) > 0;
            tokens += n_words;
        }
        int times = plain_mem_times(p->it.text, w, &of_item);
        if (times)
            sum += log(1 + (all - with + 0.5) / (with + 0.5)) * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * of_item / (tokens / all)));
    }
    return sum;
}

static inline int plain_mem_tell(const aios_memory_find_args *a, const plain_item *p, double score)
{
    aios_hit h = {.struct_size = sizeof h, .item = &p->it, .score = score, .snippet = score > 0 ? p->it.text : ""};
    h.n_snippet = strlen(h.snippet);
    return a->fn(a->user, &h);
}

/* The best first, the newer of two alike; without a text the newest. The tests call nothing from callbacks of this one while others write. */
static inline int plain_mem_search(void *self, const aios_memory_find_args *a, aios_error *err)
{
    plain_memory *m = self;
    double last = INFINITY;
    int last_at = PLAIN_MOST, rc = 0;
    (void)err;
    for (uint32_t k = 0; !rc && k < a->query->max_hits; k++) {
        double best = -1;
        int at = -1;
        for (int i = 0; i < m->n; i++) {
            if (!plain_mem_sees(a, &m->list[i]) || !plain_mem_fits(a->query, &m->list[i]))
                continue;
            double s = a->query->text ? plain_mem_score(m, a, &m->list[i]) : 0;
            if ((s > last || (s == last && i >= last_at)) || (a->query->text && s <= 0) || s < best)
                continue;
            best = s;
            at = i;
        }
        if (at < 0)
            break;
        last = best;
        last_at = at;
        rc = plain_mem_tell(a, &m->list[at], best);
    }
    return rc;
}

static inline plain_item *plain_mem_by_id(plain_memory *m, const aios_memory_find_args *a)
{
    for (int i = 0; i < m->n; i++)
        if (m->list[i].it.id == a->id && plain_mem_sees(a, &m->list[i]))
            return &m->list[i];
    return NULL;
}

static inline int plain_mem_get(void *self, const aios_memory_find_args *a, aios_error *err)
{
    plain_item *p = plain_mem_by_id(self, a);
    (void)err;
    return p ? plain_mem_tell(a, p, 0) : AIOS_ENOENT;
}

static inline int plain_mem_remove(void *self, const aios_memory_find_args *a, aios_error *err)
{
    plain_item *p = plain_mem_by_id(self, a);
    (void)err;
    if (!p)
        return AIOS_ENOENT;
    plain_mem_drop(p);
    return 0;
}

static inline int plain_mem_find(void *self, const char *key, int64_t now, uint64_t *id, aios_error *err)
{
    plain_item *p = plain_mem_keyed(self, key, now);
    (void)err;
    *id = p ? p->it.id : 0;
    return p ? 0 : AIOS_ENOENT;
}

static inline int plain_memory_register(aios_ctx *ctx, aios_error *err)
{
    aios_memory_ops ops = AIOS_INIT(aios_memory_ops);
    ops.name = "plain";
    ops.open = plain_mem_open;
    ops.close = plain_mem_close;
    ops.add = plain_mem_add;
    ops.search = plain_mem_search;
    ops.list = plain_mem_search;
    ops.get = plain_mem_get;
    ops.find = plain_mem_find;
    ops.remove = plain_mem_remove;
    return aios_memory_register(ctx, &ops, NULL, err);
}

#endif
