/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why no value can satisfy a schema, asked only once that is known: the innermost subschema without values that every value must meet, and
 * which of its keywords contradict each other, found by compiling them alone.
 */
#include <stdio.h>

#include "grammar/grammar_schema.h"

enum { ASKED_MAX = 1000, KEYWORDS_MAX = 12, TEXT_MAX = 4096 };

/** Subschemas that values must meet; node 0: not asked, or not without values. */
typedef struct asked {
    const comp *c;
    uint32_t *node, *list, n;
} asked;

typedef void visit(asked *a, uint32_t sub);

/* ---- what a value of a subschema must meet ------------------------------------------------------------------------ */

static bool is_void(const asked *a, uint32_t sub)
{
    return a->node[sub] && a->c->g->nodes[a->node[sub]].height == AIOS__G_ENDLESS;
}

static void go(asked *a, const aios__json *schema, visit *fn)
{
    uint32_t sub = schema ? aios__schema_sub(a->c->s, schema) : AIOS__NONE;
    if (sub != AIOS__NONE)
        fn(a, sub);
}

static void go_all(asked *a, const aios__json *list, size_t n, visit *fn)
{
    for (size_t i = 0; i < n && i < aios__json_count(list); i++)
        go(a, aios__json_at(list, i), fn);
}

static void go_required(asked *a, uint32_t sub, visit *fn)
{
    const aios__json *names = aios__schema_kw(a->c->s, sub, AIOS__KW_REQUIRED), *props = aios__schema_kw(a->c->s, sub, AIOS__KW_PROPERTIES);
    for (size_t i = 0; i < aios__json_count(names); i++) {
        size_t n;
        const char *name = aios__json_str(aios__json_at(names, i), &n);
        go(a, name ? aios__json_find(props, name, n) : NULL, fn);
    }
}

static void go_items(asked *a, uint32_t sub, visit *fn)
{
    const aios__schema *s = a->c->s;
    int64_t least = aios__json_int(aios__schema_kw(s, sub, AIOS__KW_MIN_ITEMS), 0);
    const aios__json *first = aios__schema_kw(s, sub, AIOS__KW_PREFIX_ITEMS), *items = aios__schema_kw(s, sub, AIOS__KW_ITEMS);
    if (least > 0)
        go_all(a, first, (size_t)least, fn);
    if (least > (int64_t)aios__json_count(first))
        go(a, items, fn);
    if (aios__json_int(aios__schema_kw(s, sub, AIOS__KW_MIN_CONTAINS), 1) > 0)
        go(a, aios__schema_kw(s, sub, AIOS__KW_CONTAINS), fn);
}

/* Alternatives count where none of them has values. */
static void go_any(asked *a, uint32_t sub, enum aios__kw kw, bool asking, visit *fn)
{
    const aios__json *list = aios__schema_kw(a->c->s, sub, kw);
    bool all = true;
    for (size_t i = 0; !asking && i < aios__json_count(list); i++) {
        uint32_t way = aios__schema_sub(a->c->s, aios__json_at(list, i));
        all = all && way != AIOS__NONE && is_void(a, way);
    }
    if (all)
        go_all(a, list, SIZE_MAX, fn);
}

static void go_on(asked *a, uint32_t sub, bool asking, visit *fn)
{
    if (a->c->s->subs[sub].ref != AIOS__NONE)
        fn(a, a->c->s->subs[sub].ref);
    go_all(a, aios__schema_kw(a->c->s, sub, AIOS__KW_ALL_OF), SIZE_MAX, fn);
    go_any(a, sub, AIOS__KW_ANY_OF, asking, fn);
    go_any(a, sub, AIOS__KW_ONE_OF, asking, fn);
    if (a->c->s->subs[sub].types == AIOS__T_OBJECT)
        go_required(a, sub, fn);
    if (a->c->s->subs[sub].types == AIOS__T_ARRAY)
        go_items(a, sub, fn);
}

/* ---- the innermost ------------------------------------------------------------------------------------------------ */

static void ask(asked *a, uint32_t sub)
{
    if (a->n == ASKED_MAX || a->node[sub])
        return;
    a->node[sub] = 1;
    a->list[a->n++] = sub;
}

static void follow(asked *a, uint32_t sub)
{
    if (!a->n && is_void(a, sub))
        a->list[a->n++] = sub;
}

/* Goes inwards as long as something is without values there; *again: it came back to what it was in. */
static uint32_t innermost(asked *a, bool *again)
{
    uint32_t at = 0;
    *again = false;
    for (uint32_t steps = 0; steps <= ASKED_MAX; steps++) {
        a->n = 0;
        go_on(a, at, false, follow);
        if (!a->n)
            return at;
        at = a->list[0];
    }
    *again = true;
    return at;
}

/* ---- its keywords ------------------------------------------------------------------------------------------------- */

typedef struct words {
    const char *key[KEYWORDS_MAX];
    const aios__json *v[KEYWORDS_MAX];
    uint32_t n;
} words;

/* Keywords of letters; a reference is no keyword to be tried alone, for it may lead back. */
static bool words_of(const aios__json *schema, words *k)
{
    const char *key;
    const aios__json *v;
    k->n = 0;
    for (void *it = aios__json_iter(schema, NULL, &key, &v); it; it = aios__json_iter(schema, it, &key, &v)) {
        if (key[strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")] || !strcmp(key, "type"))
            continue;
        if (k->n == KEYWORDS_MAX)
            return false;
        k->key[k->n] = key;
        k->v[k->n++] = v;
    }
    return true;
}

static int write_word(aios__buf *b, const char *key, const aios__json *v, aios_error *err)
{
    int rc = v ? aios__buf_add(b, b->n > 1 ? ",\"" : "\"", b->n > 1 ? 2 : 1, err) : AIOS_OK;
    rc = rc || !v ? rc : aios__buf_add(b, key, strlen(key), err);
    rc = rc || !v ? rc : aios__buf_add(b, "\":", 2, err);
    return rc || !v ? rc : aios__json_write(v, b, err);
}

/* What all trials together have used of the steps of one schema. */
typedef struct costs {
    aios__rx *rx;
    uint64_t work;
} costs;

/* Nothing satisfies a schema of these. */
static bool contradicts(const comp *c, const aios__buf *text, costs *spent)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_grammar *g = text->n > TEXT_MAX ? NULL : aios__grammar_new(c->g->ctx, &err);
    if (!g)
        return false;
    g->complete = c->g->complete;
    g->rx = spent->rx;
    aios__rx_making(g->rx);
    g->work = spent->work;
    bool made = !aios__grammar_schema(g, text->p, text->n, false, &g->root, &err);
    bool is = made && aios__grammar_finish(g, &err) == AIOS_ESCHEMA;
    spent->rx = g->rx;
    spent->work = g->work;
    g->rx = NULL;
    aios_grammar_free(g);
    return is;
}

/* Keywords i and j, which may be one, with the type or without. */
static bool try_words(const comp *c, const aios__json *schema, const words *k, uint32_t i, uint32_t j, bool typed, costs *spent)
{
    aios_error err = AIOS_INIT(aios_error);
    aios__buf b;
    aios__buf_init(&b, c->g->heap, AIOS_MEM_SCRATCH, 0);
    int rc = aios__buf_add(&b, "{", 1, &err);
    rc = rc ? rc : write_word(&b, "$schema", aios__json_get(aios__json_root(c->s->docs[0]), "$schema"), &err);
    rc = rc ? rc : write_word(&b, "type", typed ? aios__json_get(schema, "type") : NULL, &err);
    rc = rc ? rc : write_word(&b, k->key[i], k->v[i], &err);
    rc = rc ? rc : write_word(&b, k->key[j], i == j ? NULL : k->v[j], &err);
    rc = rc ? rc : aios__buf_add(&b, "}", 1, &err);
    rc = rc ? rc : aios__buf_add(&b, "", 1, &err); /* strstr needs an end */
    bool is = !rc && !strstr(b.p, "Ref\"") && !strstr(b.p, "\"$ref\"");
    b.n -= is;
    is = is && contradicts(c, &b, spent);
    aios__buf_free(&b);
    return is;
}

/* The first keyword, or else the first two, that leave no value; false: none were found. */
static bool name_few(const comp *c, const aios__json *schema, const words *k, costs *spent, char *out, size_t n)
{
    for (uint32_t i = 0; i < k->n; i++) {
        bool alone = try_words(c, schema, k, i, i, false, spent);
        if (alone || try_words(c, schema, k, i, i, true, spent)) {
            snprintf(out, n, alone ? "\"%.40s\" leaves none" : "\"%.40s\" contradicts \"type\"", k->key[i]);
            return true;
        }
    }
    for (uint32_t i = 0; i < k->n; i++)
        for (uint32_t j = i + 1; j < k->n; j++)
            if (try_words(c, schema, k, i, j, true, spent)) {
                snprintf(out, n, "\"%.40s\" and \"%.40s\" contradict each other", k->key[i], k->key[j]);
                return true;
            }
    return false;
}

static void name_words(const comp *c, uint32_t sub, char *out, size_t n)
{
    const aios__json *schema = c->s->subs[sub].json;
    costs spent = {0};
    words k;
    if (aios__json_type(schema) == AIOS__JSON_FALSE)
        snprintf(out, n, "it is false");
    else if (!words_of(schema, &k) || !name_few(c, schema, &k, &spent, out, n))
        snprintf(out, n, "its keywords contradict each other");
    aios__rx_free(spent.rx);
}

/* ---- the answer --------------------------------------------------------------------------------------------------- */

static int ask_all(comp *c, asked *a, aios_error *err)
{
    int rc = AIOS_OK;
    ask(a, 0);
    for (uint32_t i = 0; i < a->n; i++)
        go_on(a, a->list[i], true, ask);
    for (uint32_t i = 0; !rc && i < a->n; i++) {
        aios__comp_clear(c);
        rc = aios__comp_add(c, c->s->subs[a->list[i]].json, false, err);
        rc = rc ? rc : aios__comp_node(c, &a->node[a->list[i]], err);
    }
    return rc ? rc : aios__comp_fill(c, err);
}

/* Some part of it has values, but nested too deep for one more level. */
static void note_deep(asked *a, uint32_t sub)
{
    uint32_t node = a->node[sub], h = node ? a->c->g->nodes[node].height : 0;
    a->n |= h >= AIOS__G_DEPTH - 1 && h != AIOS__G_ENDLESS;
}

static int tell(asked *a, aios_error *err)
{
    bool again;
    char room[200], why[160];
    const comp *c = a->c;
    uint32_t at = innermost(a, &again);
    at = again && c->s->subs[at].ref != AIOS__NONE ? c->s->subs[at].ref : at;
    const char *path = aios__schema_path(c->s, at, room, sizeof room);
    if (again)
        return aios__fail(err, AIOS_ESCHEMA, "schema %s: no value can satisfy it: every value would have to contain another of itself", path);
    a->n = 0;
    go_on(a, at, true, note_deep);
    if (a->n)
        return aios__fail(err, AIOS_ESCHEMA, "schema %s: only values nested deeper than %d can satisfy it", path, AIOS__G_DEPTH);
    name_words(c, at, why, sizeof why);
    return aios__fail(err, AIOS_ESCHEMA, "schema %s: no value can satisfy it: %s", path, why);
}

int aios__comp_why(comp *c, aios_error *err)
{
    aios_error own = AIOS_INIT(aios_error);
    uint32_t last = 0, n = c->s->n_subs;
    asked a = {.c = c, .node = aios__alloc_array(c->g->heap, AIOS_MEM_SCRATCH, n, sizeof *a.node, &own)};
    a.list = a.node ? aios__alloc_array(c->g->heap, AIOS_MEM_SCRATCH, n, sizeof *a.list, &own) : NULL;
    int rc = a.list ? ask_all(c, &a, &own) : aios__oom(&own);
    rc = rc ? rc : aios__grammar_heights(c->g, &last, &own);
    rc = rc ? err->code : tell(&a, err);
    aios__free(c->g->heap, a.node);
    aios__free(c->g->heap, a.list);
    return rc;
}
