/* SPDX-License-Identifier: Apache-2.0 */
/* Values, and the arena that they live in until the rendering ends. */
#include "backend/gguf/tmpl_priv.h"

#include <stdio.h>

#define CHUNK ((size_t)16 << 10)
#define CHUNK_MAX ((size_t)512 << 10)

void *aios__tp_alloc(tp *s, size_t n)
{
    aios__tp_arena *a = s->arena;
    n = (n + 15) & ~(size_t)15;
    if (a->head && a->head->n - a->head->used >= n) {
        void *p = (char *)(a->head + 1) + a->head->used;
        a->head->used += n;
        return p;
    }
    size_t want = a->total / 2 < CHUNK ? CHUNK : a->total / 2 > CHUNK_MAX ? CHUNK_MAX : (a->total / 2 + 15) & ~(size_t)15;
    if (want < n)
        want = n;
    if (want > a->max - a->total)
        want = n;
    if (n > a->max - a->total) {
        aios__tp_limit(s, "the values need more than the %zu bytes allowed", a->max);
        return NULL;
    }
    aios__tp_chunk *c = aios__alloc(a->heap, AIOS_MEM_TEXT, sizeof *c + want, s->err);
    if (!c) {
        s->rc = s->err->code ? s->err->code : AIOS_ENOMEM;
        return NULL;
    }
    c->n = want;
    c->used = n;
    c->next = a->head;
    a->head = c;
    a->total += want;
    return c + 1;
}

void aios__tp_arena_free(aios__tp_arena *a)
{
    while (a->head) {
        aios__tp_chunk *c = a->head;
        a->head = c->next;
        aios__free(a->heap, c);
    }
}

static void place(const tp *s, uint32_t *line, uint32_t *col)
{
    *line = 1;
    *col = 1;
    for (size_t i = 0; s->t && i < s->t->n && i < s->pos; i++) {
        if (s->t->src[i] == '\n') {
            ++*line;
            *col = 1;
        } else if (((unsigned char)s->t->src[i] & 0xc0) != 0x80) {
            ++*col;
        }
    }
}

static int fail_at(tp *s, int code, const char *fmt, va_list ap)
{
    char msg[400];
    uint32_t line, col;
    vsnprintf(msg, sizeof msg, fmt, ap);
    msg[aios__utf8_whole(msg, strlen(msg))] = 0;
    place(s, &line, &col);
    return s->rc = aios__fail(s->err, code, "chat template, line %u column %u: %s", line, col, msg);
}

int aios__tp_fail(tp *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fail_at(s, AIOS_ETEMPLATE, fmt, ap);
    va_end(ap);
    return s->rc;
}

int aios__tp_limit(tp *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fail_at(s, AIOS_ELIMIT, fmt, ap);
    va_end(ap);
    return s->rc;
}

int aios__tp_burn(tp *s, uint64_t steps)
{
    if (s->fuel < steps)
        return aios__tp_limit(s, "it takes more steps than are allowed; a loop may not end");
    s->fuel -= steps;
    return 0;
}

int aios__tp_burn_bytes(tp *s, uint64_t bytes)
{
    return aios__tp_burn(s, bytes >> 5);
}

aios__tp_val aios__tp_str(const char *p, size_t n)
{
    return (aios__tp_val){.t = T_STR, .n = (uint32_t)n, .u.s = p};
}
aios__tp_val aios__tp_cstr(const char *p)
{
    return aios__tp_str(p, strlen(p));
}
aios__tp_val aios__tp_int(int64_t i)
{
    return (aios__tp_val){.t = T_INT, .u.i = i};
}
aios__tp_val aios__tp_real(double d)
{
    return (aios__tp_val){.t = T_REAL, .u.d = d};
}
aios__tp_val aios__tp_bool(bool b)
{
    return (aios__tp_val){.t = T_BOOL, .u.i = b};
}
aios__tp_val aios__tp_none(void)
{
    return (aios__tp_val){.t = T_NONE};
}
aios__tp_val aios__tp_undef(uint8_t sub, const char *p, size_t n)
{
    return (aios__tp_val){.t = T_UNDEF, .sub = sub, .n = (uint32_t)n, .u.s = p};
}

int aios__tp_copy(tp *s, const char *p, size_t n, aios__tp_val *out)
{
    TP_TRY(aios__tp_burn_bytes(s, n));
    char *q = aios__tp_alloc(s, n ? n : 1);
    if (!q)
        return s->rc;
    if (n)
        memcpy(q, p, n);
    *out = aios__tp_str(q, n);
    return 0;
}

static void *grow(tp *s, void *old, uint32_t n, uint32_t cap, size_t size)
{
    void *p = aios__tp_alloc(s, (size_t)cap * size);
    if (p && n)
        memcpy(p, old, (size_t)n * size);
    return p;
}

int aios__tp_list_new(tp *s, uint8_t t, uint32_t cap, aios__tp_val *out)
{
    aios__tp_list *l = aios__tp_alloc(s, sizeof *l);
    if (!l)
        return s->rc;
    *l = (aios__tp_list){.cap = cap};
    if (cap && !(l->v = aios__tp_alloc(s, cap * sizeof *l->v)))
        return s->rc;
    *out = (aios__tp_val){.t = t, .u.l = l};
    return 0;
}

int aios__tp_list_add(tp *s, aios__tp_list *l, aios__tp_val v)
{
    TP_TRY(aios__tp_burn(s, 1));
    if (l->n == l->cap) {
        uint32_t cap = l->cap ? 2 * l->cap : 8;
        void *p = grow(s, l->v, l->n, cap, sizeof *l->v);
        if (!p)
            return s->rc;
        l->v = p;
        l->cap = cap;
    }
    l->v[l->n++] = v;
    return 0;
}

int aios__tp_list_load(tp *s, aios__tp_list *l)
{
    const aios__json *src = l->src;
    if (!src)
        return 0;
    l->src = NULL;
    size_t n = aios__json_count(src);
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        aios__tp_val v = aios__tp_from_json(s, aios__json_at(src, i), &rc);
        if (!rc)
            rc = aios__tp_list_add(s, l, v);
    }
    return rc;
}

static uint32_t hash_bytes(const void *p, size_t n)
{
    const unsigned char *q = p;
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ q[i]) * 16777619u;
    return h ^ h >> 15;
}

/* Equal keys hash equally: numbers by their value, containers by their length. */
static int hash_key(tp *s, aios__tp_val k, uint32_t *h)
{
    double d;
    switch (k.t) {
    case T_STR:
        *h = hash_bytes(k.u.s, k.n);
        return 0;
    case T_INT: case T_BOOL: case T_REAL:
        d = aios__tp_num(k);
        *h = d == 0 ? 7 : hash_bytes(&d, sizeof d);
        return 0;
    case T_TUPLE:
        *h = k.u.l->n + 77;
        return 0;
    case T_LIST: case T_DICT:
        return aios__tp_fail(s, "unhashable type: '%s'", aios__tp_type(k));
    default:
        *h = k.t;
        return 0;
    }
}

static int reindex(tp *s, aios__tp_dict *m)
{
    uint32_t slots = m->slots ? m->slots * 2 : 32;
    while (slots < m->n * 2 + 2)
        slots *= 2;
    uint32_t *idx = aios__tp_alloc(s, slots * sizeof *idx);
    if (!idx)
        return s->rc;
    memset(idx, 0, slots * sizeof *idx);
    for (uint32_t i = 0; i < m->n; i++) {
        uint32_t h = 0;
        TP_TRY(hash_key(s, m->k[i], &h));
        h &= slots - 1;
        while (idx[h])
            h = (h + 1) & (slots - 1);
        idx[h] = i + 1;
    }
    m->idx = idx;
    m->slots = slots;
    return aios__tp_burn(s, m->n);
}

int aios__tp_dict_new(tp *s, uint8_t t, uint32_t cap, aios__tp_val *out)
{
    aios__tp_dict *m = aios__tp_alloc(s, sizeof *m);
    if (!m)
        return s->rc;
    *m = (aios__tp_dict){.cap = cap};
    if (cap && (!(m->k = aios__tp_alloc(s, cap * sizeof *m->k)) || !(m->v = aios__tp_alloc(s, cap * sizeof *m->v))))
        return s->rc;
    *out = (aios__tp_val){.t = t, .u.m = m};
    return 0;
}

static bool same_str(aios__tp_val a, aios__tp_val b)
{
    return a.n == b.n && (a.u.s == b.u.s || !memcmp(a.u.s, b.u.s, a.n));
}

static int key_equal(tp *s, aios__tp_val a, aios__tp_val b, bool *out)
{
    if (a.t == T_STR || b.t == T_STR) {
        *out = a.t == b.t && same_str(a, b);
        return 0;
    }
    return aios__tp_equal(s, a, b, out);
}

int aios__tp_dict_find(tp *s, aios__tp_dict *m, aios__tp_val k, aios__tp_val **v)
{
    bool eq = false;
    uint32_t h = 0, probes = 0;
    *v = NULL;
    TP_TRY(aios__tp_dict_load(s, m));
    TP_TRY(hash_key(s, k, &h));
    if (!m->idx) {
        for (uint32_t i = 0; i < m->n && !*v; i++) {
            TP_TRY(key_equal(s, m->k[i], k, &eq));
            if (eq)
                *v = &m->v[i];
        }
        return 0;
    }
    for (h &= m->slots - 1; m->idx[h] && !*v; h = (h + 1) & (m->slots - 1)) {
        TP_TRY(key_equal(s, m->k[m->idx[h] - 1], k, &eq));
        if (eq)
            *v = &m->v[m->idx[h] - 1];
        probes++;
    }
    return probes > 4 ? aios__tp_burn(s, probes) : 0;
}

static int dict_append(tp *s, aios__tp_dict *m, aios__tp_val k, aios__tp_val v)
{
    TP_TRY(aios__tp_burn(s, 1));
    if (m->n == m->cap) {
        uint32_t cap = m->cap ? 2 * m->cap : 8;
        void *nk = grow(s, m->k, m->n, cap, sizeof *m->k), *nv = nk ? grow(s, m->v, m->n, cap, sizeof *m->v) : NULL;
        if (!nv)
            return s->rc;
        m->k = nk;
        m->v = nv;
        m->cap = cap;
    }
    m->k[m->n] = k;
    m->v[m->n++] = v;
    if (m->n <= 8)
        return 0;
    if (!m->idx || m->n * 2 > m->slots)
        return reindex(s, m);
    uint32_t h = 0;
    TP_TRY(hash_key(s, k, &h));
    for (h &= m->slots - 1; m->idx[h];)
        h = (h + 1) & (m->slots - 1);
    m->idx[h] = m->n;
    return 0;
}

int aios__tp_dict_set(tp *s, aios__tp_dict *m, aios__tp_val k, aios__tp_val v)
{
    aios__tp_val *old;
    TP_TRY(aios__tp_dict_find(s, m, k, &old));
    if (old) {
        *old = v;
        return 0;
    }
    return dict_append(s, m, k, v);
}

int aios__tp_dict_load(tp *s, aios__tp_dict *m)
{
    const aios__json *src = m->src, *v;
    const char *key;
    int rc = 0;
    if (!src)
        return 0;
    m->src = NULL;
    for (void *it = aios__json_iter(src, NULL, &key, &v); it && !rc; it = aios__json_iter(src, it, &key, &v)) {
        aios__tp_val x = aios__tp_from_json(s, v, &rc);
        if (!rc)
            rc = dict_append(s, m, aios__tp_cstr(key), x);
    }
    return rc;
}

aios__tp_val aios__tp_from_json(tp *s, const aios__json *j, int *rc)
{
    aios__tp_val v = aios__tp_none();
    size_t n = 0;
    switch (aios__json_type(j)) {
    case AIOS__JSON_NULL:
        break;
    case AIOS__JSON_FALSE:
        return aios__tp_bool(false);
    case AIOS__JSON_TRUE:
        return aios__tp_bool(true);
    case AIOS__JSON_INT:
        return aios__tp_int(aios__json_int(j, 0));
    case AIOS__JSON_REAL:
        return aios__tp_real(aios__json_real(j, 0));
    case AIOS__JSON_STRING: {
        const char *p = aios__json_str(j, &n);
        return aios__tp_str(p, n);
    }
    case AIOS__JSON_ARRAY:
        *rc = aios__tp_list_new(s, T_LIST, 0, &v);
        if (!*rc)
            v.u.l->src = j;
        break;
    case AIOS__JSON_OBJECT:
        *rc = aios__tp_dict_new(s, T_DICT, 0, &v);
        if (!*rc)
            v.u.m->src = j;
        break;
    }
    return v;
}

const char *aios__tp_type(aios__tp_val v)
{
    static const char *const names[] = {
        [T_UNDEF] = "Undefined", [T_NONE] = "NoneType", [T_BOOL] = "bool", [T_INT] = "int", [T_REAL] = "float", [T_STR] = "str",
        [T_LIST] = "list", [T_TUPLE] = "tuple", [T_DICT] = "dict", [T_RANGE] = "range", [T_VIEW] = "dict view", [T_GEN] = "generator",
        [T_NS] = "Namespace", [T_LOOP] = "LoopContext", [T_MACRO] = "Macro", [T_FUNC] = "function", [T_METHOD] = "method",
        [T_CYCLER] = "Cycler", [T_JOINER] = "Joiner", [T_ABSENT] = "nothing",
    };
    return names[v.t];
}

int aios__tp_undefined(tp *s, aios__tp_val v)
{
    if (v.sub == UNDEF_HINT)
        return aios__tp_fail(s, "%.*s", (int)v.n, v.u.s);
    if (v.sub == UNDEF_NAME)
        return aios__tp_fail(s, "'%.*s' is undefined", (int)v.n, v.u.s);
    return aios__tp_fail(s, "'%s object' has no attribute '%.*s'", aios__tp_type((aios__tp_val){.t = (uint8_t)(v.sub - UNDEF_ATTR)}), (int)v.n, v.u.s);
}

bool aios__tp_has_len(aios__tp_val v)
{
    return aios__tp_is(v, TBIT(T_UNDEF) | TBIT(T_STR) | TBIT(T_LIST) | TBIT(T_TUPLE) | TBIT(T_DICT) | TBIT(T_RANGE) | TBIT(T_VIEW) | TBIT(T_LOOP));
}

int aios__tp_len(tp *s, aios__tp_val v, int64_t *n)
{
    *n = 0;
    switch (v.t) {
    case T_UNDEF:
        return 0;
    case T_STR:
        *n = (int64_t)aios__tp_utf8_len(v.u.s, v.n);
        return aios__tp_burn_bytes(s, v.n);
    case T_LIST: case T_TUPLE: case T_VIEW:
        TP_TRY(aios__tp_list_load(s, v.u.l));
        *n = v.u.l->n;
        return 0;
    case T_DICT:
        TP_TRY(aios__tp_dict_load(s, v.u.m));
        *n = v.u.m->n;
        return 0;
    case T_RANGE:
        *n = v.u.r->n;
        return 0;
    case T_LOOP:
        *n = v.u.loop->n;
        return 0;
    default:
        return aios__tp_fail(s, "object of type '%s' has no len()", aios__tp_type(v));
    }
}

int aios__tp_truth(tp *s, aios__tp_val v, bool *out)
{
    int64_t n = 1;
    if (v.t == T_NONE)
        n = 0;
    else if (v.t == T_BOOL || v.t == T_INT)
        n = v.u.i != 0;
    else if (v.t == T_REAL)
        n = v.u.d != 0;
    else if (v.t == T_STR)
        n = v.n != 0;
    else if (aios__tp_has_len(v))
        TP_TRY(aios__tp_len(s, v, &n));
    *out = n != 0;
    return 0;
}

static int chars(tp *s, aios__tp_val v, aios__tp_val **items, uint32_t *n)
{
    size_t count = aios__tp_utf8_len(v.u.s, v.n), at = 0;
    TP_TRY(aios__tp_burn(s, count));
    aios__tp_val *a = aios__tp_alloc(s, count * sizeof *a + 1);
    if (!a)
        return s->rc;
    for (size_t i = 0; i < count; i++) {
        size_t k = aios__tp_utf8_off(v.u.s + at, v.n - at, 1);
        a[i] = aios__tp_str(v.u.s + at, k);
        at += k;
    }
    *items = a;
    *n = (uint32_t)count;
    return 0;
}

static int numbers(tp *s, const aios__tp_range *r, aios__tp_val **items, uint32_t *n)
{
    TP_TRY(aios__tp_burn(s, (uint64_t)r->n));
    aios__tp_val *a = aios__tp_alloc(s, (size_t)r->n * sizeof *a + 1);
    if (!a)
        return s->rc;
    for (int64_t i = 0; i < r->n; i++)
        a[i] = aios__tp_int(r->start + i * r->step);
    *items = a;
    *n = (uint32_t)r->n;
    return 0;
}

int aios__tp_items(tp *s, aios__tp_val v, aios__tp_val **items, uint32_t *n)
{
    *items = NULL;
    *n = 0;
    switch (v.t) {
    case T_UNDEF:
        return 0;
    case T_STR:
        return chars(s, v, items, n);
    case T_LIST: case T_TUPLE: case T_VIEW:
        TP_TRY(aios__tp_list_load(s, v.u.l));
        *items = v.u.l->v;
        *n = v.u.l->n;
        return 0;
    case T_GEN:
        *items = v.u.l->v + v.u.l->pos;
        *n = v.u.l->n - v.u.l->pos;
        v.u.l->pos = v.u.l->n;
        return 0;
    case T_DICT:
        TP_TRY(aios__tp_dict_load(s, v.u.m));
        *items = v.u.m->k;
        *n = v.u.m->n;
        return 0;
    case T_RANGE:
        return numbers(s, v.u.r, items, n);
    default:
        return aios__tp_fail(s, "'%s' object is not iterable", aios__tp_type(v));
    }
}
