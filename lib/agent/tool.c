/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "agent/agent_priv.h"

#define MAX_TOOLS 512u
#define MAX_SCHEMA ((size_t)1 << 20)
static const char any_object[] = "{\"type\":\"object\"}";

static void free_tool(aios__heap *h, aios__tool *t)
{
    if (!t)
        return;
    aios__schema_free(t->schema);
    aios__free(h, (void *)(uintptr_t)t->pub.name);
    aios__free(h, (void *)(uintptr_t)t->pub.description);
    aios__free(h, (void *)(uintptr_t)t->pub.schema_json);
    aios__free(h, t);
}

int aios_toolset_new(aios_ctx *ctx, aios_toolset **out, aios_error *err)
{
    if (!ctx || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_toolset_new: %s is NULL", ctx ? "ts" : "ctx");
    *out = NULL;
    aios_toolset *ts = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_OTHER, sizeof *ts, err);
    if (!ts)
        return aios__nomem(err);
    atomic_init(&ts->refs, 1);
    ts->ctx = aios__ctx_ref(ctx);
    *out = ts;
    return AIOS_OK;
}

aios_toolset *aios__toolset_ref(aios_toolset *ts)
{
    if (ts)
        atomic_fetch_add_explicit(&ts->refs, 1, memory_order_relaxed);
    return ts;
}

void aios_toolset_free(aios_toolset *ts)
{
    if (!ts || atomic_fetch_sub_explicit(&ts->refs, 1, memory_order_acq_rel) != 1)
        return;
    aios_ctx *ctx = ts->ctx;
    aios__heap *h = aios__ctx_heap(ctx);
    for (uint32_t i = 0; i < ts->n; i++) {
        if (ts->tools[i]->pub.release)
            ts->tools[i]->pub.release(ts->tools[i]->pub.user);
        free_tool(h, ts->tools[i]);
    }
    aios_toolset_free(ts->base);
    aios__free(h, ts->tools);
    aios__free(h, ts);
    aios_ctx_free(ctx);
}

static int check_tool(const aios_toolset *ts, const aios_tool *t, aios_error *err)
{
    if (!aios__tool_name_ok(t->name))
        return aios__fail(err, AIOS_EINVAL, "tool name \"%.80s\": it must match [A-Za-z0-9_.-]{1,64}", t->name ? t->name : "");
    if (!t->fn)
        return aios__fail(err, AIOS_EINVAL, "tool %s: fn is NULL", t->name);
    if (t->description && !aios__utf8_valid(t->description, strlen(t->description)))
        return aios__fail(err, AIOS_EINVAL, "tool %s: the description is not valid UTF-8", t->name);
    if (t->effect < AIOS_EFFECT_UNSAFE || t->effect > AIOS_EFFECT_KEYED)
        return aios__fail(err, AIOS_EINVAL, "tool %s: effect %d is none of AIOS_EFFECT_x", t->name, t->effect);
    if (t->flags & ~(uint32_t)(AIOS_TOOL_ANY_THREAD | AIOS_TOOL_TRUSTED | AIOS_TOOL_HANDLE))
        return aios__fail(err, AIOS_EINVAL, "tool %s: flags 0x%x has bits that are no AIOS_TOOL_x", t->name, t->flags);
    if (t->timeout_ns < 0)
        return aios__fail(err, AIOS_EINVAL, "tool %s: timeout_ns is negative", t->name);
    if (t->schema_json && strlen(t->schema_json) > MAX_SCHEMA)
        return aios__fail_need(err, AIOS_ESCHEMA, MAX_SCHEMA, strlen(t->schema_json), "tool %s: the schema is larger than %zu bytes", t->name, MAX_SCHEMA);
    if (aios__toolset_find(ts, t->name))
        return aios__fail(err, AIOS_EEXIST, "a tool named %s is in the set already", t->name);
    if (ts->n >= MAX_TOOLS)
        return aios__fail_need(err, AIOS_ELIMIT, MAX_TOOLS, ts->n + 1, "a set holds at most %u tools", MAX_TOOLS);
    return AIOS_OK;
}

static int dup_str(aios__heap *h, const char *s, const char **out, aios_error *err)
{
    *out = s ? aios__strndup(h, AIOS_MEM_TEXT, s, strlen(s), err) : NULL;
    return s && !*out ? aios__nomem(err) : AIOS_OK;
}

static int copy_tool(aios_ctx *ctx, const aios_tool *src, aios__tool **out, aios_error *err)
{
    aios__heap *h = aios__ctx_heap(ctx);
    const char *schema = src->schema_json ? src->schema_json : any_object;
    aios_error why = AIOS_INIT(aios_error);
    aios__tool *t = aios__alloc(h, AIOS_MEM_OTHER, sizeof *t, err);
    if (!t)
        return aios__nomem(err);
    t->pub = *src;
    t->pub.name = t->pub.description = t->pub.schema_json = NULL;
    int rc = dup_str(h, src->name, &t->pub.name, err);
    if (!rc)
        rc = dup_str(h, src->description, &t->pub.description, err);
    if (!rc)
        rc = dup_str(h, schema, &t->pub.schema_json, err);
    if (!rc) {
        rc = aios__schema_new(ctx, schema, strlen(schema), &t->schema, &why);
        if (rc)
            aios__fail_need(err, rc, why.have, why.need, "tool %s: %s", src->name, why.msg);
    }
    if (rc) {
        free_tool(h, t);
        return rc;
    }
    *out = t;
    return AIOS_OK;
}

int aios_toolset_add(aios_toolset *ts, const aios_tool *tool, aios_error *err)
{
    aios_tool in;
    if (!ts || !tool)
        return aios__fail(err, AIOS_EINVAL, "aios_toolset_add: %s is NULL", ts ? "tool" : "ts");
    if (atomic_load(&ts->n_runs))
        return aios__fail(err, AIOS_EBUSY, "an agent is running with this toolset: add tools before it starts or after it ends");
    int rc = aios__struct_in(&in, sizeof in, tool, err);
    if (!rc)
        rc = check_tool(ts, &in, err);
    if (rc)
        return rc;
    if (ts->n == ts->cap) {
        uint32_t cap = ts->cap ? ts->cap * 2 : 8;
        aios__tool **p = aios__realloc(aios__ctx_heap(ts->ctx), AIOS_MEM_OTHER, ts->tools, cap * sizeof(*p), err);
        if (!p)
            return aios__nomem(err);
        ts->tools = p;
        ts->cap = cap;
    }
    aios__tool *t = NULL;
    rc = copy_tool(ts->ctx, &in, &t, err);
    if (!rc)
        ts->tools[ts->n++] = t;
    return rc;
}

uint32_t aios_toolset_count(const aios_toolset *ts)
{
    return ts ? aios_toolset_count(ts->base) + ts->n : 0;
}

const aios__tool *aios__toolset_get(const aios_toolset *ts, uint32_t i)
{
    uint32_t n = aios_toolset_count(ts->base);
    return i < n ? aios__toolset_get(ts->base, i) : ts->tools[i - n];
}

void aios__toolset_hold(aios_toolset *ts, int n)
{
    for (; ts; ts = ts->base)
        atomic_fetch_add(&ts->n_runs, (uint32_t)n);
}

int aios_toolset_at(const aios_toolset *ts, uint32_t i, aios_tool *out)
{
    if (!ts || !out || i >= aios_toolset_count(ts))
        return AIOS_EINVAL;
    return aios__struct_out(out, &aios__toolset_get(ts, i)->pub, sizeof *out);
}

const aios__tool *aios__toolset_find(const aios_toolset *ts, const char *name)
{
    for (; ts; ts = ts->base)
        for (uint32_t i = 0; i < ts->n; i++)
            if (!strcmp(ts->tools[i]->pub.name, name))
                return ts->tools[i];
    return NULL;
}

static int unknown_tool(const aios_toolset *ts, const char *name, aios_error *err)
{
    char names[300] = "";
    size_t n = 0;
    for (uint32_t i = 0; i < aios_toolset_count(ts); i++) {
        int k = snprintf(names + n, sizeof names - n, "%s%s", i ? ", " : "", aios__toolset_get(ts, i)->pub.name);
        if (k < 0 || (size_t)k >= sizeof names - n)
            break;
        n += (size_t)k;
    }
    return aios__fail(err, AIOS_ENOENT, "there is no tool named \"%.64s\"; the tools are: %s", name, n ? names : "none");
}

static int check_args(const aios__tool *tool, const aios__json *root, aios_error *err)
{
    aios_error why = AIOS_INIT(aios_error);
    if (aios__json_type(root) != AIOS__JSON_OBJECT)
        return aios__fail(err, AIOS_ESCHEMA, "the arguments must be a JSON object");
    int rc = aios__schema_check(tool->schema, root, &why);
    return rc ? aios__fail(err, rc, "the arguments do not fit the schema: %s", why.msg) : AIOS_OK;
}

int aios__toolset_check(const aios_toolset *ts, const char *name, const char *args, size_t n, const aios__json_doc *doc, const aios__tool **tool,
                        aios_error *err)
{
    *tool = aios__toolset_find(ts, name);
    if (!*tool)
        return unknown_tool(ts, name, err);
    if (n > AIOS__MAX_ARGS)
        return aios__fail_need(err, AIOS_ESCHEMA, AIOS__MAX_ARGS, n, "the arguments have %zu bytes, at most %d are allowed", n, AIOS__MAX_ARGS);
    if (doc)
        return check_args(*tool, aios__json_root(doc), err);
    aios__json_doc *mine;
    aios_error why = AIOS_INIT(aios_error);
    int rc = aios__json_parse(aios__ctx_heap(ts->ctx), args, n, &mine, &why);
    if (rc == AIOS_EFORMAT)
        return aios__fail(err, AIOS_ESCHEMA, "the arguments are not valid JSON: %s", why.msg);
    if (rc)
        return aios__error_copy(err, &why), rc;
    rc = check_args(*tool, aios__json_root(mine), err);
    aios__json_free(mine);
    return rc;
}
