/* SPDX-License-Identifier: Apache-2.0 */
/* Tools over a memory. What is written has the label of its context, so that text which cannot be trusted comes back as such, in any later run. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "agent/agent_priv.h"
#include "base/put.h"
#include "memory/memory.h"

#define DEFAULT_HITS 5u
#define WHOLE_TEXT 1500u /* bytes; of longer ones the model sees the part that was found */
#define MAX_OUT ((size_t)1 << 20)

/* Of one tool; its texts lie behind it. */
typedef struct memory_tool {
    aios__heap *heap;
    aios_memory *m;
    aios_memory_tools o;
    const char *scopes[AIOS_MEMORY_MAX_SCOPES];
    uint32_t n_scopes;
} memory_tool;

/* ---- making them -------------------------------------------------------------------------------------------------- */

static void free_one(void *user)
{
    memory_tool *t = user;
    aios_memory_close(t->m);
    aios__free(t->heap, t);
}

static size_t scope_bytes(const char *s)
{
    return s ? strnlen(s, AIOS_MEMORY_MAX_NAME + 1) + 1 : 1;
}

static int make_one(aios_toolset *ts, aios_memory *m, const aios_memory_tools *o, memory_tool **out, aios_error *err)
{
    size_t n = scope_bytes(o->scope);
    for (uint32_t i = 0; i < o->n_scopes; i++)
        n += scope_bytes(o->scopes[i]);
    aios__heap *h = aios__ctx_heap(ts->ctx);
    memory_tool *t = aios__alloc(h, AIOS_MEM_OTHER, sizeof *t + n, err);
    if (!t)
        return aios__nomem(err);
    char *at = (char *)(t + 1);
    t->heap = h;
    t->m = aios_memory_ref(m);
    t->o = *o;
    for (uint32_t i = 0; i <= o->n_scopes; i++) {
        const char *s = i ? o->scopes[i - 1] : o->scope;
        t->scopes[t->n_scopes++] = memcpy(at, s ? s : "", scope_bytes(s));
        at += scope_bytes(s);
    }
    *out = t;
    return AIOS_OK;
}

static int read_options(const aios_memory_tools *src, aios_memory_tools *o, aios_error *err)
{
    int rc = aios__struct_in(o, sizeof *o, src, err);
    if (rc)
        return rc;
    if (o->flags & ~(uint32_t)(AIOS_MEMORY_TOOLS_READ_ONLY | AIOS_MEMORY_TOOLS_FORGET))
        return aios__fail(err, AIOS_EVERSION, "aios_toolset_add_memory: flags 0x%x are not known here: update libaios", o->flags);
    if (o->n_scopes >= AIOS_MEMORY_MAX_SCOPES)
        return aios__fail_need(err, AIOS_ELIMIT, AIOS_MEMORY_MAX_SCOPES - 1, o->n_scopes, "aios_toolset_add_memory: %u scopes, at most %d are taken beside its own",
                               o->n_scopes, AIOS_MEMORY_MAX_SCOPES - 1);
    if ((o->n_scopes && !o->scopes) || o->ttl_us < 0)
        return aios__fail(err, AIOS_EINVAL, "aios_toolset_add_memory: %s", o->ttl_us < 0 ? "ttl_us is negative" : "scopes is NULL");
    for (uint32_t i = 0; i <= o->n_scopes; i++)
        if (scope_bytes(i ? o->scopes[i - 1] : o->scope) > AIOS_MEMORY_MAX_NAME + 1)
            return aios__fail(err, AIOS_ELIMIT, "aios_toolset_add_memory: a scope has more than %d bytes", AIOS_MEMORY_MAX_NAME);
    if (o->min_integrity < AIOS_LABEL_UNTRUSTED || o->min_integrity > AIOS_LABEL_SYSTEM)
        return aios__fail(err, AIOS_EINVAL, "aios_toolset_add_memory: min_integrity %d is none of AIOS_LABEL_x", o->min_integrity);
    o->max_hits = o->max_hits ? o->max_hits : DEFAULT_HITS;
    return o->max_hits > AIOS_MEMORY_MAX_HITS ? aios__fail(err, AIOS_ELIMIT, "aios_toolset_add_memory: max_hits is above %d", AIOS_MEMORY_MAX_HITS) : AIOS_OK;
}

/* ---- what a call may see ------------------------------------------------------------------------------------------ */

static aios_query view_of(const memory_tool *t, const aios_call *c)
{
    aios_query q = AIOS_INIT(aios_query);
    q.scopes = t->scopes;
    q.n_scopes = t->n_scopes;
    q.readers = c->context.confidentiality | t->o.readers;
    q.min_integrity = t->o.min_integrity;
    q.max_hits = t->o.max_hits;
    return q;
}

static const char *text_of(const aios__json_doc *args, const char *key)
{
    return aios__json_str(aios__json_get(aios__json_root(args), key), NULL);
}

/* What is said is ours but for the values that it was called with, and what is found. */
static int set_label(aios_call *c, aios_label of_found)
{
    aios_label l = aios__label_join(of_found, (aios_label){AIOS_LABEL_USER, 0, c->base.confidentiality});
    if (c->filled)
        l = aios__label_join(l, c->base);
    return aios_call_set_label(c, &l);
}

/* Runs a tool's body over its arguments; what it writes, or why it failed, is the result. */
static int run(void *user, aios_call *c, int (*body)(memory_tool *t, aios_call *c, const aios__json_doc *args, aios__buf *out, aios_error *err))
{
    memory_tool *t = user;
    aios__json_doc *doc;
    aios_error err = AIOS_INIT(aios_error);
    aios__buf out;
    size_t n;
    const char *args = aios__call_text(c, &n);
    int rc = aios__json_parse(t->heap, args, n, &doc, &err);
    if (rc)
        return rc;
    aios__buf_init(&out, t->heap, AIOS_MEM_TEXT, MAX_OUT);
    set_label(c, (aios_label){AIOS_LABEL_SYSTEM, 0, 0});
    rc = body(t, c, doc, &out, &err);
    aios__json_free(doc);
    aios_call_finish(c, rc, rc ? err.msg : out.p, rc ? strlen(err.msg) : out.n);
    aios__buf_free(&out);
    return AIOS_OK;
}

/* ---- recall ------------------------------------------------------------------------------------------------------- */

typedef struct recalled {
    aios__buf *out;
    aios_label label; /* join of what was found */
    uint32_t n;
} recalled;

static int put_id(aios__buf *out, const char *key, uint64_t id)
{
    char hex[24];
    int n = snprintf(hex, sizeof hex, "%016llx", (unsigned long long)id);
    return aios__put_str(out, key, hex, (size_t)n, NULL);
}

static void put_day(aios__buf *out, int64_t us)
{
    char day[64];
    struct tm tm;
    time_t s = (time_t)(us / 1000000);
    if (gmtime_r(&s, &tm) && tm.tm_year >= 70 && tm.tm_year < 8100) {
        int n = snprintf(day, sizeof day, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
        aios__put_str(out, "day", day, (size_t)n, NULL);
    }
}

static int recall_one(void *user, const aios_hit *h)
{
    static const char *const sure[] = {"untrusted", "tool", "user", "system"};
    recalled *r = user;
    const aios_item *it = h->item;
    bool whole = it->n_text <= WHOLE_TEXT || !h->n_snippet;
    aios__put_comma(r->out, NULL);
    aios__buf_addc(r->out, '{', NULL);
    put_id(r->out, "id", it->id);
    aios__put_str(r->out, "from", sure[it->label.integrity & 3], strlen(sure[it->label.integrity & 3]), NULL);
    put_day(r->out, it->updated_us);
    if (*it->kind)
        aios__put_str(r->out, "kind", it->kind, strlen(it->kind), NULL);
    aios__put_str(r->out, whole ? "text" : "part", whole ? it->text : h->snippet, whole ? it->n_text : h->n_snippet, NULL);
    r->label = aios__label_join(r->label, it->label);
    r->n++;
    return aios__buf_addc(r->out, '}', NULL);
}

static int recall(memory_tool *t, aios_call *c, const aios__json_doc *args, aios__buf *out, aios_error *err)
{
    aios_query q = view_of(t, c);
    recalled r = {out, {AIOS_LABEL_SYSTEM, 0, 0}, 0};
    q.text = text_of(args, "query");
    q.n_text = q.text ? strlen(q.text) : 0;
    aios__buf_adds(out, "{\"found\":[", err);
    int rc = aios_memory_search(t->m, &q, recall_one, &r, err);
    rc = rc ? rc : aios__buf_adds(out, "]}", err);
    int said = set_label(c, r.label); /* of a failure too: it says something of what was found */
    return rc ? rc : said ? aios__fail(err, said, "recall: what was found cannot be labelled") : AIOS_OK;
}

static int recall_fn(void *user, aios_call *c)
{
    return run(user, c, recall);
}

/* ---- remember ----------------------------------------------------------------------------------------------------- */

static void key_of(const aios_call *c, char out[64])
{
    snprintf(out, 64, "call/%s", c->key);
}

static int tell_remembered(uint64_t id, aios__buf *out, aios_error *err)
{
    aios__buf_addc(out, '{', err);
    put_id(out, "remembered", id);
    return aios__buf_addc(out, '}', err);
}

static int remember(memory_tool *t, aios_call *c, const aios__json_doc *args, aios__buf *out, aios_error *err)
{
    aios_item it = AIOS_INIT(aios_item);
    char key[64], source[AIOS__RUN_ID + 8] = "";
    const aios_env *env = aios__ctx_env(c->hub->ctx);
    uint64_t id;
    key_of(c, key);
    if (c->run)
        snprintf(source, sizeof source, "run/%s", c->run->id);
    it.text = text_of(args, "text");
    it.n_text = it.text ? strlen(it.text) : 0;
    it.kind = text_of(args, "kind");
    it.scope = t->scopes[0];
    it.source = source;
    it.key = c->key[0] ? key : NULL;
    it.label = c->context;
    it.label.integrity = it.label.integrity < AIOS_LABEL_USER ? it.label.integrity : AIOS_LABEL_USER; /* the model has said it */
    it.expires_us = t->o.ttl_us ? env->wall_us(env->user) + t->o.ttl_us : 0;
    int rc = aios_memory_add(t->m, &it, 1, sizeof it, &id, err);
    return rc ? rc : tell_remembered(id, out, err);
}

static int remember_fn(void *user, aios_call *c)
{
    return run(user, c, remember);
}

/* It is there, or it never was: the key came with it in one commit. */
static int find_remembered(memory_tool *t, aios_call *c, const aios__json_doc *args, aios__buf *out, aios_error *err)
{
    char key[64];
    uint64_t id;
    AIOS__UNUSED(args);
    key_of(c, key);
    int rc = aios_memory_find(t->m, key, &id, err);
    return rc ? rc : tell_remembered(id, out, err);
}

static int remember_reconcile(void *user, aios_call *c)
{
    return run(user, c, find_remembered);
}

/* ---- forget ------------------------------------------------------------------------------------------------------- */

static uint64_t id_of(const aios__json_doc *args)
{
    const char *s = text_of(args, "id");
    return s ? strtoull(s, NULL, 16) : 0;
}

static int take_label(void *user, const aios_hit *h)
{
    *(aios_label *)user = h->item->label;
    return AIOS_OK;
}

static int forget(memory_tool *t, aios_call *c, const aios__json_doc *args, aios__buf *out, aios_error *err)
{
    aios_query q = view_of(t, c);
    aios_label l = {0};
    uint64_t id = id_of(args);
    int rc = aios_memory_get(t->m, id, &q, take_label, &l, err);
    if (!rc && l.integrity > c->context.integrity)
        return aios__fail(err, AIOS_EDENIED, "forget: the conversation holds text that is less trusted than this memory");
    rc = rc ? rc : aios_memory_remove(t->m, id, &q, err);
    return rc ? rc : aios__buf_adds(out, "{\"forgotten\":true}", err);
}

static int forget_fn(void *user, aios_call *c)
{
    return run(user, c, forget);
}

static int find_forgotten(memory_tool *t, aios_call *c, const aios__json_doc *args, aios__buf *out, aios_error *err)
{
    aios_label l;
    AIOS__UNUSED(c);
    int rc = aios_memory_get(t->m, id_of(args), NULL, take_label, &l, err);
    if (!rc)
        return aios__fail(err, AIOS_ENOENT, "forget: it is there");
    return rc == AIOS_ENOENT ? aios__buf_adds(out, "{\"forgotten\":true}", err) : rc;
}

static int forget_reconcile(void *user, aios_call *c)
{
    return run(user, c, find_forgotten);
}

/* ---- the set ------------------------------------------------------------------------------------------------------ */

static const struct row {
    const char *name, *description, *schema;
    int32_t effect;
    uint32_t unless, only; /* flags without which, and with which, it is added */
    aios_tool_fn *fn, *reconcile;
} rows[] = {
    {"recall", "Searches what was remembered in earlier conversations. Give the words that it would have.",
     "{\"type\":\"object\",\"properties\":{\"query\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":1000}},\"required\":[\"query\"],"
     "\"additionalProperties\":false}",
     AIOS_EFFECT_READ, 0, 0, recall_fn, NULL},
    {"remember", "Keeps a short text for later conversations: one fact, in words that it will be looked for by.",
     "{\"type\":\"object\",\"properties\":{\"text\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":8000},"
     "\"kind\":{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9_.-]{1,64}$\"}},\"required\":[\"text\"],\"additionalProperties\":false}",
     AIOS_EFFECT_LOCAL, AIOS_MEMORY_TOOLS_READ_ONLY, 0, remember_fn, remember_reconcile},
    {"forget", "Removes something that was remembered, by the id that recall gave.",
     "{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"string\",\"pattern\":\"^[0-9a-f]{16}$\"}},\"required\":[\"id\"],\"additionalProperties\":false}",
     AIOS_EFFECT_LOCAL, AIOS_MEMORY_TOOLS_READ_ONLY, AIOS_MEMORY_TOOLS_FORGET, forget_fn, forget_reconcile},
};

static bool is_due(const struct row *r, uint32_t flags)
{
    return !(flags & r->unless) && (flags & r->only) == r->only;
}

static int add_row(aios_toolset *ts, aios_memory *m, const aios_memory_tools *o, const struct row *r, aios_error *err)
{
    aios_tool t = AIOS_INIT(aios_tool);
    memory_tool *user = NULL;
    int rc = make_one(ts, m, o, &user, err);
    if (rc)
        return rc;
    t.name = r->name;
    t.description = r->description;
    t.schema_json = r->schema;
    t.flags = AIOS_TOOL_TRUSTED;
    t.effect = r->effect;
    t.fn = r->fn;
    t.reconcile = r->reconcile;
    t.user = user;
    t.release = free_one;
    rc = aios_toolset_add(ts, &t, err);
    if (rc)
        free_one(user);
    return rc;
}

int aios_toolset_add_memory(aios_toolset *ts, aios_memory *m, const aios_memory_tools *options, aios_error *err)
{
    aios_memory_tools o;
    aios_memory_info info = AIOS_INIT(aios_memory_info);
    if (!ts || !m)
        return aios__fail(err, AIOS_EINVAL, "aios_toolset_add_memory: %s is NULL", ts ? "m" : "ts");
    int rc = read_options(options, &o, err);
    if (!rc && !aios_memory_info_get(m, &info) && info.flags & AIOS_MEMORY_READ_ONLY && !(o.flags & AIOS_MEMORY_TOOLS_READ_ONLY))
        return aios__fail(err, AIOS_ESTATE, "aios_toolset_add_memory: the memory was opened READ_ONLY: AIOS_MEMORY_TOOLS_READ_ONLY leaves out what writes");
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows) && !rc; i++)
        if (is_due(&rows[i], o.flags) && aios__toolset_find(ts, rows[i].name))
            rc = aios__fail(err, AIOS_EEXIST, "a tool named %s is in the set already", rows[i].name);
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows) && !rc; i++)
        if (is_due(&rows[i], o.flags))
            rc = add_row(ts, m, &o, &rows[i], err);
    return rc;
}
