/* SPDX-License-Identifier: Apache-2.0 */
/* Grammar of tool calls: the model's own format around {"name": "x", "arguments": {...}}. */
#include "llm/grammar_priv.h"

#define MAX_TOOLS 10000u

typedef struct calls {
    aios_grammar *g;
    const aios_tool_def *tools;
    size_t stride;
    uint32_t n_tools;
    const char *only_name;
    const aios__call_format *f;
    uint32_t *entries, n_entries; /* of the set of names */
    aios__buf text;
} calls;

static const aios_tool_def *tool_at(const calls *c, uint32_t i)
{
    return (const aios_tool_def *)((const char *)c->tools + i * c->stride);
}

/* Adds the entry `name", "arguments": ` followed by the tool's arguments. */
static int add_tool(calls *c, const aios_tool_def *t, aios_error *err)
{
    uint32_t args, at;
    const char *schema = t->schema_json ? t->schema_json : "{\"type\":\"object\"}";
    aios_error why = AIOS_INIT(aios_error);
    int rc = aios__grammar_schema(c->g, schema, strlen(schema), true, &args, &why);
    if (rc == AIOS_ESCHEMA)
        return aios__fail(err, rc, "tool %.64s: %.400s", t->name, why.msg);
    if (rc)
        return aios__error_copy(err, &why);
    aios__buf_clear(&c->text);
    rc = aios__buf_add_json(&c->text, t->name, strlen(t->name), err);
    if (!rc)
        rc = aios__buf_adds(&c->text, ", ", err);
    if (!rc)
        rc = aios__buf_add_json(&c->text, c->f->args_key, strlen(c->f->args_key), err);
    if (!rc)
        rc = aios__buf_adds(&c->text, ": ", err);
    if (!rc)
        rc = aios__grammar_bytes(c->g, c->text.p, c->text.n, &at, err);
    if (rc)
        return rc;
    uint32_t entry[3] = {at, (uint32_t)c->text.n, args};
    memcpy(c->entries + c->n_entries, entry, sizeof entry);
    c->n_entries += 3;
    return AIOS_OK;
}

static int add_tools(calls *c, uint32_t *set, aios_error *err)
{
    uint32_t at;
    int rc = AIOS_OK;
    for (uint32_t i = 0; !rc && i < c->n_tools; i++) {
        const aios_tool_def *t = tool_at(c, i);
        if (!t->name || !*t->name)
            rc = aios__fail(err, AIOS_EINVAL, "tool %u has no name", i);
        else if (!c->only_name || !strcmp(c->only_name, t->name))
            rc = add_tool(c, t, err);
    }
    if (!rc && !c->n_entries)
        rc = c->only_name ? aios__fail(err, AIOS_ENOENT, "no tool is called %.64s: name one of the tools given", c->only_name)
                          : aios__fail(err, AIOS_EINVAL, "no tools are given, so there is nothing to call");
    if (!rc)
        rc = aios__grammar_words(c->g, c->entries, c->n_entries, &at, err);
    if (!rc)
        rc = aios__grammar_sort(c->g, at, c->n_entries / 3, err);
    if (!rc)
        rc = aios__grammar_node(c->g, AIOS__G_SET, set, err);
    if (rc)
        return rc;
    const uint32_t *e = c->g->words + at;
    for (uint32_t i = 1; i < c->n_entries / 3; i++)
        if (e[3 * i + 1] == e[3 * i - 2] && !memcmp(c->g->bytes + e[3 * i], c->g->bytes + e[3 * i - 3], e[3 * i + 1]))
            return aios__fail(err, AIOS_EEXIST, "two tools have the same name: %.*s", (int)e[3 * i + 1], c->g->bytes + e[3 * i]);
    c->g->nodes[*set].a = at;
    c->g->nodes[*set].b = c->n_entries / 3;
    return AIOS_OK;
}

/* prefix, then {"name": , then the set, then the end of a call. */
static int add_call(calls *c, const char *prefix, const char *open, uint32_t set, uint32_t *call, aios_error *err)
{
    uint32_t list[3] = {0, set, 0};
    aios__buf_clear(&c->text);
    int rc = aios__buf_addf(&c->text, err, "%s%s{", prefix, open);
    if (!rc)
        rc = aios__buf_add_json(&c->text, c->f->name_key, strlen(c->f->name_key), err);
    if (!rc)
        rc = aios__buf_adds(&c->text, ": ", err);
    if (!rc)
        rc = aios__grammar_lit(c->g, c->text.p, c->text.n, &list[0], err);
    aios__buf_clear(&c->text);
    if (!rc)
        rc = aios__buf_addf(&c->text, err, "}%s", c->f->close);
    if (!rc)
        rc = aios__grammar_lit(c->g, c->text.p, c->text.n, &list[2], err);
    return rc ? rc : aios__grammar_list(c->g, AIOS__G_SEQ, list, 3, call, err);
}

static int build(calls *c, uint32_t max_calls, bool skip_open, aios_error *err)
{
    uint32_t set, first, more;
    int rc = add_tools(c, &set, err);
    if (!rc)
        rc = add_call(c, "", skip_open ? "" : c->f->open, set, &first, err);
    if (!rc)
        rc = add_call(c, c->f->between, c->f->open, set, &more, err);
    if (!rc)
        rc = aios__grammar_node(c->g, AIOS__G_REP, &c->g->root, err);
    if (rc)
        return rc;
    aios__gnode *n = &c->g->nodes[c->g->root];
    n->a = first;
    n->b = more;
    n->min = 1;
    n->max = max_calls ? max_calls : UINT64_MAX;
    return aios__grammar_finish(c->g, err);
}

int aios__grammar_calls(aios_ctx *ctx, const aios_tool_def *tools, size_t stride, uint32_t n_tools, const char *only_name,
                        const aios__call_format *f, uint32_t max_calls, bool skip_open, aios_grammar **out, aios_error *err)
{
    aios_error local = AIOS_INIT(aios_error);
    err = err ? err : &local;
    *out = NULL;
    if (n_tools > MAX_TOOLS)
        return aios__fail_need(err, AIOS_ELIMIT, MAX_TOOLS, n_tools, "%u tools are more than the %u allowed", n_tools, MAX_TOOLS);
    aios_grammar *g = aios__grammar_new(ctx, err);
    if (!g)
        return aios__oom(err);
    calls c = {.g = g, .tools = tools, .stride = stride, .n_tools = n_tools, .only_name = only_name, .f = f};
    aios__buf_init(&c.text, g->heap, AIOS_MEM_SCRATCH, 0);
    c.entries = aios__alloc_array(g->heap, AIOS_MEM_SCRATCH, n_tools, 3 * sizeof *c.entries, err);
    int rc = c.entries ? build(&c, max_calls, skip_open, err) : aios__oom(err);
    aios__buf_free(&c.text);
    aios__free(g->heap, c.entries);
    if (rc) {
        aios_grammar_free(g);
        return rc;
    }
    *out = g;
    return AIOS_OK;
}
