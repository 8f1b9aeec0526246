/* SPDX-License-Identifier: Apache-2.0 */
/* Grammar of tool calls in some family's format. Of many tools each is compiled when it was chosen. */
#include "llm/grammar_calls.h"

#include <pthread.h>

#include "grammar/grammar_cache.h"
#include "grammar/json_push.h"

#define MAX_TOOLS 10000u
#define MAX_BYTES ((size_t)64 << 20)

typedef struct tool {
    const char *name, *schema;
    size_t n_schema;
} tool;

/* What is needed to make the grammar once more, with the arguments of a further tool in it. Belongs to the first of a family. */
typedef struct family {
    struct aios__lazy lazy;
    aios_ctx *ctx;
    aios__heap *heap;
    pthread_mutex_t lock;      /* guards live */
    aios_grammar **live;       /* grammars of the family that someone uses */
    uint32_t n_live, cap_live;
    const aios__call_format *f;
    uint32_t max_calls;
    tool *tools;
    uint32_t n_tools;
    char *bytes;               /* of names and schemas, each with its NUL */
    size_t n_bytes;
} family;

typedef struct calls {
    aios_grammar *g;
    const family *l;
    uint32_t *entries; /* of the set of names */
    uint32_t *args;    /* nodes, by tool */
    aios__buf text;
} calls;

/* ---- the frame ------------------------------------------------------------------------------------------------------- */

static int add_lit(calls *c, uint32_t *node, aios_error *err)
{
    return aios__grammar_lit(c->g, c->text.p ? c->text.p : "", c->text.n, node, err);
}

static int add_text(calls *c, const char *s, uint32_t *node, aios_error *err)
{
    return aios__grammar_lit(c->g, s, strlen(s), node, err);
}

/* A call's number. */
static int add_id(calls *c, uint32_t *node, aios_error *err)
{
    const char *text = c->l->f->id_text;
    uint32_t e;
    int rc = c->g->rx ? AIOS_OK : aios__rx_new(c->g->ctx, &c->g->rx, err);
    rc = rc ? rc : aios__rx_parse(c->g->rx, text, strlen(text), true, &e, err);
    rc = rc ? rc : aios__grammar_node(c->g, AIOS__G_RX, node, err);
    if (!rc)
        c->g->nodes[*node].a = e;
    return rc;
}

/* What stands in front of a tool's arguments: its name, and what follows a name. */
static int add_name(calls *c, const char *name, aios_error *err)
{
    const aios__call_format *f = c->l->f;
    aios__buf_clear(&c->text);
    if (!f->name_key) /* with the bracket no name is the beginning of another: what is not compiled yet begins behind it */
        return aios__buf_addf(&c->text, err, "%s%s%s", name, f->id_open ? f->id_open : f->mid, aios__args_open(f));
    int rc = aios__buf_add_json(&c->text, name, strlen(name), err);
    return rc ? rc : aios__buf_addf(&c->text, err, ", \"%s\": ", f->args_key);
}

/* The entry of tool i: its name, then its arguments. */
static int add_tool(calls *c, uint32_t i, uint32_t id, aios_error *err)
{
    uint32_t at, list[3] = {id}, next;
    int rc = aios__grammar_node(c->g, AIOS__G_LAZY, &c->args[i], err);
    if (rc)
        return rc;
    next = c->args[i];
    c->g->nodes[next].a = i;
    if (id) {
        list[2] = next;
        rc = add_text(c, c->l->f->mid, &list[1], err);
        rc = rc ? rc : aios__grammar_list(c->g, AIOS__G_SEQ, list, 3, &next, err);
    }
    rc = rc ? rc : add_name(c, c->l->tools[i].name, err);
    rc = rc ? rc : aios__grammar_bytes(c->g, c->text.p, c->text.n, &at, err);
    if (rc)
        return rc;
    uint32_t entry[3] = {at, (uint32_t)c->text.n, next};
    memcpy(c->entries + 3 * (size_t)i, entry, sizeof entry);
    return AIOS_OK;
}

static int add_tools(calls *c, uint32_t *set, aios_error *err)
{
    uint32_t at, n = c->l->n_tools, id = 0;
    int rc = c->l->f->id_open ? add_id(c, &id, err) : AIOS_OK;
    for (uint32_t i = 0; !rc && i < n; i++)
        rc = add_tool(c, i, id, err);
    rc = rc ? rc : aios__grammar_words(c->g, c->entries, 3 * (size_t)n, &at, err);
    rc = rc ? rc : aios__grammar_sort(c->g, at, n, err);
    rc = rc ? rc : aios__grammar_node(c->g, AIOS__G_SET, set, err);
    if (rc)
        return rc;
    const uint32_t *e = c->g->words + at;
    for (uint32_t i = 1; i < n; i++)
        if (e[3 * i + 1] == e[3 * i - 2] && !memcmp(c->g->bytes + e[3 * i], c->g->bytes + e[3 * i - 3], e[3 * i + 1]))
            return aios__fail(err, AIOS_EEXIST, "two tools have the same name: %.*s", (int)e[3 * i + 1], c->g->bytes + e[3 * i]);
    c->g->nodes[*set].a = at;
    c->g->nodes[*set].b = n;
    return AIOS_OK;
}

/* What ends an object behind its arguments; its number may stand there. */
static int add_tail(calls *c, uint32_t *node, aios_error *err)
{
    const aios__call_format *f = c->l->f;
    uint32_t ends[2], list[3];
    aios__buf_clear(&c->text);
    int rc = aios__buf_addf(&c->text, err, "%s%s", f->name_key ? "}" : "", f->end);
    rc = rc ? rc : add_lit(c, &ends[0], err);
    if (rc || !f->id_key || f->id_first) {
        *node = ends[0];
        return rc;
    }
    aios__buf_clear(&c->text);
    rc = aios__buf_addf(&c->text, err, ", \"%s\": \"", f->id_key);
    rc = rc ? rc : add_lit(c, &list[0], err);
    rc = rc ? rc : add_id(c, &list[1], err);
    aios__buf_clear(&c->text);
    rc = rc ? rc : aios__buf_addf(&c->text, err, "\"}%s", f->end);
    rc = rc ? rc : add_lit(c, &list[2], err);
    rc = rc ? rc : aios__grammar_list(c->g, AIOS__G_SEQ, list, 3, &ends[1], err);
    return rc ? rc : aios__grammar_list(c->g, AIOS__G_ALT, ends, 2, node, err);
}

/* One call; what opens or parts the list stands in front of it. */
static int add_call(calls *c, const char *before, uint32_t set, uint32_t tail, uint32_t *call, aios_error *err)
{
    const aios__call_format *f = c->l->f;
    uint32_t list[5], n = 0;
    aios__buf_clear(&c->text);
    int rc = aios__buf_addf(&c->text, err, "%s%s", before, f->begin);
    if (f->name_key)
        rc = rc ? rc : aios__buf_addc(&c->text, '{', err);
    if (f->id_first) {
        rc = rc ? rc : aios__buf_addf(&c->text, err, "\"%s\": \"", f->id_key);
        rc = rc ? rc : add_lit(c, &list[n++], err);
        rc = rc ? rc : add_id(c, &list[n++], err);
        aios__buf_clear(&c->text);
        rc = rc ? rc : aios__buf_adds(&c->text, "\", ", err);
    }
    if (f->name_key)
        rc = rc ? rc : aios__buf_addf(&c->text, err, "\"%s\": ", f->name_key);
    if (c->text.n)
        rc = rc ? rc : add_lit(c, &list[n++], err);
    list[n++] = set;
    list[n++] = tail;
    return rc ? rc : aios__grammar_list(c->g, AIOS__G_SEQ, list, n, call, err);
}

static int add_root(calls *c, aios_error *err)
{
    const aios__call_format *f = c->l->f;
    uint32_t set, tail, first, more = 0, list[2], one;
    int rc = add_tools(c, &set, err);
    rc = rc ? rc : add_tail(c, &tail, err);
    rc = rc ? rc : add_call(c, f->open, set, tail, &first, err);
    if (f->between)
        rc = rc ? rc : add_call(c, f->between, set, tail, &more, err);
    rc = rc ? rc : aios__grammar_node(c->g, AIOS__G_REP, &list[0], err);
    rc = rc ? rc : add_text(c, f->close, &list[1], err);
    rc = rc ? rc : aios__grammar_list(c->g, AIOS__G_SEQ, list, f->close[0] ? 2 : 1, &one, err);
    if (rc)
        return rc;
    aios__gnode *n = &c->g->nodes[list[0]];
    n->a = first;
    n->b = f->between ? more : first;
    n->min = 1;
    n->max = !f->between ? 1 : c->l->max_calls ? c->l->max_calls : UINT64_MAX;
    c->g->root = one;
    return AIOS_OK;
}

/* ---- arguments --------------------------------------------------------------------------------------------------------- */

/* The nodes of tool i's arguments take the place of what stood for them. */
static int add_args(calls *c, uint32_t i, aios_error *err)
{
    uint32_t args, at;
    const tool *t = &c->l->tools[i];
    aios_error why = AIOS_INIT(aios_error);
    int rc = aios__grammar_args(c->g, c->l->f, t->name, t->schema, &args, &why);
    if (rc == AIOS_ESCHEMA)
        return aios__fail(err, rc, "tool %.64s: %.400s", t->name, why.msg);
    if (rc)
        return aios__error_copy(err, &why);
    rc = aios__grammar_words(c->g, &args, 1, &at, err);
    if (rc)
        return rc;
    aios__gnode *n = &c->g->nodes[c->args[i]];
    *n = (aios__gnode){.kind = AIOS__G_SEQ, .a = at, .b = 1};
    return AIOS_OK;
}

static int fail_tool(const family *l, const tool *t, aios_error *err)
{
    aios_error why = AIOS_INIT(aios_error);
    aios__fail(&why, AIOS_ESCHEMA, "no arguments can satisfy its schema");
    aios__grammar_schema_why(l->ctx, false, t->schema, t->n_schema, &why);
    return aios__fail(err, AIOS_ESCHEMA, "tool %.64s: %s", t->name, why.msg);
}

/* A tool that cannot be called is told by its name, and does not drop out beside others. */
static int finish(calls *c, const uint32_t *done, uint32_t n, bool all, aios_error *err)
{
    int rc = aios__grammar_finish(c->g, err);
    for (uint32_t i = 0; (!rc || rc == AIOS_ESCHEMA) && i < n; i++) {
        uint32_t at = all ? i : done[i];
        if (c->g->nodes[c->args[at]].height == AIOS__G_ENDLESS)
            return fail_tool(c->l, c->l->tools + at, err);
    }
    return rc;
}

/* Those of `done`, a list of tools, or of all of them, are compiled. */
static int build(family *l, const uint32_t *done, uint32_t n_done, bool all, aios_grammar **out, aios_error *err)
{
    calls c = {.g = aios__grammar_new(l->ctx, err), .l = l};
    if (!c.g)
        return aios__oom(err);
    aios__buf_init(&c.text, l->heap, AIOS_MEM_SCRATCH, 0);
    c.entries = aios__alloc_array(l->heap, AIOS_MEM_SCRATCH, l->n_tools, 4 * sizeof *c.entries, err);
    c.args = c.entries ? c.entries + 3 * (size_t)l->n_tools : NULL;
    int rc = !c.entries ? aios__oom(err) : l->f->compact ? AIOS_OK : aios__grammar_spaced(c.g, err);
    rc = rc ? rc : add_root(&c, err);
    c.g->n_shared = c.g->n_nodes;
    for (uint32_t i = 0; !rc && i < (all ? l->n_tools : n_done); i++)
        rc = add_args(&c, all ? i : done[i], err);
    rc = rc ? rc : finish(&c, done, all ? l->n_tools : n_done, all, err);
    aios__buf_free(&c.text);
    aios__free(l->heap, c.entries);
    if (rc)
        aios_grammar_free(c.g);
    else
        *out = c.g;
    return rc;
}

/* ---- families of grammars ------------------------------------------------------------------------------------------------ */

static void lazy_free(family *l)
{
    aios__free(l->heap, l->live);
    aios__free(l->heap, l->tools);
    aios__free(l->heap, l->bytes);
    pthread_mutex_destroy(&l->lock);
    aios__free(l->heap, l);
}

static aios_grammar *lazy_leave(aios_grammar *g)
{
    family *l = (family *)(void *)g->lazy; /* its first member */
    if (!g->parent) {
        lazy_free(l);
        return NULL;
    }
    pthread_mutex_lock(&l->lock);
    for (uint32_t i = 0; i < l->n_live; i++)
        if (l->live[i] == g)
            l->live[i--] = l->live[--l->n_live];
    pthread_mutex_unlock(&l->lock);
    aios__free(g->heap, g->done); /* nobody finds it any more */
    return g->parent;
}

/* Takes a reference, unless the last one has gone already. */
static bool keep(aios_grammar *g)
{
    int refs = __atomic_load_n(&g->refs, __ATOMIC_ACQUIRE);
    while (refs && !__atomic_compare_exchange_n(&g->refs, &refs, refs + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        ;
    return refs > 0;
}

/* One that someone has made of g and uses. Under the lock. */
static aios_grammar *find_live(const family *l, const aios_grammar *g, uint32_t i)
{
    for (uint32_t k = 0; k < l->n_live; k++)
        if (l->live[k]->parent == g && l->live[k]->done[l->live[k]->n_done - 1] == i && keep(l->live[k]))
            return l->live[k];
    return NULL;
}

/* Under the lock. */
static int make_child(family *l, aios_grammar *g, uint32_t i, aios_grammar **out, aios_error *err)
{
    aios_grammar *child = NULL;
    uint32_t *done = aios__alloc_array(l->heap, AIOS_MEM_OTHER, g->n_done + 1, sizeof *done, err);
    if (!done)
        return aios__oom(err);
    if (g->n_done)
        memcpy(done, g->done, g->n_done * sizeof *done);
    done[g->n_done] = i;
    int rc = aios__grow(l->heap, &l->live, &l->cap_live, (size_t)l->n_live + 1, UINT32_MAX, sizeof *l->live, "grammars of calls", err);
    rc = rc ? rc : build(l, done, g->n_done + 1, false, &child, err);
    if (rc) {
        aios__free(l->heap, done);
        return rc;
    }
    __atomic_add_fetch(&g->refs, 1, __ATOMIC_ACQ_REL);
    child->parent = g;
    child->lazy = &l->lazy;
    child->done = done;
    child->n_done = g->n_done + 1;
    l->live[l->n_live++] = child;
    *out = child;
    return AIOS_OK;
}

static int resolve(aios_walk *w, uint32_t node, aios_error *err)
{
    aios_grammar *g = w->g, *child;
    family *l = (family *)(void *)g->lazy; /* its first member */
    uint32_t i = g->nodes[node].a;
    pthread_mutex_lock(&l->lock);
    child = find_live(l, g, i);
    int rc = child ? AIOS_OK : make_child(l, g, i, &child, err);
    pthread_mutex_unlock(&l->lock);
    if (rc)
        return rc;
    w->g = child;
    aios__walk_forget(w);
    aios_grammar_free(g); /* the child keeps it */
    return AIOS_OK;
}

/* ---- from tools -------------------------------------------------------------------------------------------------------------- */

static const aios_tool_def *tool_at(const aios_tool_def *tools, size_t stride, uint32_t i)
{
    return (const aios_tool_def *)(const void *)((const char *)tools + i * stride);
}

static const char any_object[] = "{\"type\":\"object\"}";

static size_t put(char *to, const char *s, size_t n)
{
    memcpy(to, s, n + 1);
    return n + 1;
}

/* Copies the tools, or the one that has that name. */
static int copy_tools(family *l, const aios_tool_def *tools, size_t stride, uint32_t n, const char *only, size_t *n_schemas, aios_error *err)
{
    size_t total = 0, at = 0;
    *n_schemas = 0;
    for (uint32_t i = 0; i < n; i++) {
        const aios_tool_def *t = tool_at(tools, stride, i);
        if (!t->name || !*t->name)
            return aios__fail(err, AIOS_EINVAL, "tool %u has no name", i);
        total += strlen(t->name) + strlen(t->schema_json ? t->schema_json : any_object) + 2;
    }
    if (total > MAX_BYTES)
        return aios__fail_need(err, AIOS_ELIMIT, MAX_BYTES, total, "the tools have %zu bytes of names and schemas, more than the %zu allowed", total, MAX_BYTES);
    l->tools = aios__alloc_array(l->heap, AIOS_MEM_OTHER, n ? n : 1, sizeof *l->tools, err);
    l->bytes = l->tools ? aios__alloc(l->heap, AIOS_MEM_OTHER, total ? total : 1, err) : NULL;
    if (!l->bytes)
        return aios__oom(err);
    for (uint32_t i = 0; i < n; i++) {
        const aios_tool_def *t = tool_at(tools, stride, i);
        const char *schema = t->schema_json ? t->schema_json : any_object;
        if (only && strcmp(only, t->name))
            continue;
        tool *to = &l->tools[l->n_tools++];
        to->name = l->bytes + at;
        at += put(l->bytes + at, t->name, strlen(t->name));
        to->schema = l->bytes + at;
        to->n_schema = strlen(schema);
        at += put(l->bytes + at, schema, to->n_schema);
        *n_schemas += to->n_schema;
    }
    l->n_bytes = at;
    if (l->n_tools)
        return AIOS_OK;
    return only ? aios__fail(err, AIOS_ENOENT, "no tool is called %.64s: name one of the tools given", only)
                : aios__fail(err, AIOS_EINVAL, "no tools are given, so there is nothing to call");
}

/* What can be said of schemas without compiling them: they are JSON, and objects. */
static int check_schemas(const family *l, aios_error *err)
{
    for (uint32_t i = 0; i < l->n_tools; i++) {
        const tool *t = &l->tools[i];
        aios__push push = {0};
        size_t at = 0;
        while (at < t->n_schema && aios__push_byte(&push, (uint8_t)t->schema[at]) >= 0)
            at++;
        if (at < t->n_schema || !aios__push_whole(&push))
            return aios__fail(err, AIOS_ESCHEMA, "tool %.64s: the schema is not JSON from byte %zu on", t->name, at);
        char first = t->schema[strspn(t->schema, " \n\r\t")];
        if (first != '{' && first != 't')
            return aios__fail(err, AIOS_ESCHEMA, "tool %.64s: the schema is no object", t->name);
    }
    return AIOS_OK;
}

static int make(family *l, bool lazy, aios_grammar **out, aios_error *err)
{
    int rc = lazy ? check_schemas(l, err) : AIOS_OK;
    rc = rc ? rc : build(l, NULL, 0, !lazy, out, err);
    if (!rc && lazy)
        (*out)->lazy = &l->lazy;
    return rc;
}

/* What makes grammars of calls equal: the row of the family, how many calls, the tools. */
static int make_key(const family *l, aios__buf *key, aios_error *err)
{
    int rc = aios__buf_add(key, l->f, sizeof *l->f, err);
    rc = rc ? rc : aios__buf_add(key, &l->max_calls, sizeof l->max_calls, err);
    return rc ? rc : aios__buf_add(key, l->bytes, l->n_bytes, err);
}

/* As it was kept, or made. *lazy: the grammar has taken l. */
static int recall_or_make(family *l, bool *lazy, aios_grammar **out, aios_error *err)
{
    aios__buf buf;
    aios__buf_init(&buf, l->heap, AIOS_MEM_SCRATCH, 0);
    int rc = make_key(l, &buf, err);
    const aios__gkey key = {AIOS__KEY_CALLS, buf.p, buf.n};
    *out = rc ? NULL : aios__grammar_recall(l->ctx, key);
    if (*out)
        *lazy = false;
    else if (!rc && !(rc = make(l, *lazy, out, err)))
        aios__grammar_keep(*out, key);
    aios__buf_free(&buf);
    return rc;
}

int aios__grammar_calls(aios_ctx *ctx, const aios_tool_def *tools, size_t stride, uint32_t n_tools, const char *only_name, const aios__call_format *f,
                        uint32_t max_calls, aios_grammar **out, aios_error *err)
{
    aios_error local = AIOS_INIT(aios_error);
    size_t n_schemas;
    err = err ? err : &local;
    *out = NULL;
    if (n_tools > MAX_TOOLS)
        return aios__fail_need(err, AIOS_ELIMIT, MAX_TOOLS, n_tools, "%u tools are more than the %u allowed", n_tools, MAX_TOOLS);
    aios__heap *h = aios__ctx_heap(ctx);
    family *l = aios__alloc(h, AIOS_MEM_OTHER, sizeof *l, err);
    if (!l)
        return aios__oom(err);
    *l = (family){.lazy = {resolve, lazy_leave}, .ctx = ctx, .heap = h, .f = f, .max_calls = max_calls};
    if (pthread_mutex_init(&l->lock, NULL)) {
        aios__free(h, l);
        return aios__fail(err, AIOS_ENOMEM, "the system has no room for another mutex");
    }
    int rc = copy_tools(l, tools, stride, n_tools, only_name, &n_schemas, err);
    bool lazy = n_schemas > AIOS__CALLS_EAGER;
    rc = rc ? rc : recall_or_make(l, &lazy, out, err);
    if (rc || !lazy)
        lazy_free(l);
    return rc;
}
