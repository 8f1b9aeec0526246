/* SPDX-License-Identifier: Apache-2.0 */
/* Messages as the OpenAI chat API writes them, to a transcript and tool definitions. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define MAX_PARTS 64

typedef struct entry_builder {
    aios_part parts[MAX_PARTS];
    char *owned[MAX_PARTS];
    uint32_t n, n_owned;
} entry_builder;

static aios_part *add_part(entry_builder *b, int32_t kind, const char *text, size_t n)
{
    if (b->n == MAX_PARTS)
        return NULL;
    aios_part *p = &b->parts[b->n++];
    *p = (aios_part)AIOS_INIT(aios_part);
    p->kind = kind;
    p->text = text;
    p->n_text = n;
    return p;
}

static void add_content(entry_builder *b, json_t *content, int32_t kind)
{
    size_t i;
    json_t *part;
    if (json_is_string(content) && (json_string_length(content) || kind == AIOS_PART_RESULT))
        add_part(b, kind, json_string_value(content), json_string_length(content));
    json_array_foreach(content, i, part) {
        json_t *text = json_object_get(part, "text");
        if (json_is_string(text))
            add_part(b, kind, json_string_value(text), json_string_length(text));
    }
}

static void add_calls(entry_builder *b, json_t *calls)
{
    size_t i;
    json_t *call;
    json_array_foreach(calls, i, call) {
        json_t *fn = json_object_get(call, "function");
        json_t *args = json_object_get(fn ? fn : call, "arguments");
        char *owned = json_is_string(args) ? NULL : json_dumps(args, JSON_COMPACT | JSON_ENCODE_ANY);
        const char *text = owned ? owned : json_string_value(args);
        aios_part *p = add_part(b, AIOS_PART_CALL, text ? text : "{}", AIOS_CSTR);
        if (p) {
            p->name = json_string_value(json_object_get(fn ? fn : call, "name"));
            p->call_id = json_string_value(json_object_get(call, "id"));
        }
        if (owned && b->n_owned < MAX_PARTS)
            b->owned[b->n_owned++] = owned;
        else
            free(owned);
    }
}

static const struct {
    const char *name;
    int32_t role, label;
} roles[] = {
    {"system", AIOS_ROLE_SYSTEM, AIOS_LABEL_SYSTEM},
    {"developer", AIOS_ROLE_SYSTEM, AIOS_LABEL_SYSTEM},
    {"user", AIOS_ROLE_USER, AIOS_LABEL_USER},
    {"assistant", AIOS_ROLE_ASSISTANT, AIOS_LABEL_UNTRUSTED},
    {"tool", AIOS_ROLE_TOOL, AIOS_LABEL_UNTRUSTED},
};

static int add_message(aios_transcript *t, json_t *msg, size_t index)
{
    const char *name = json_string_value(json_object_get(msg, "role"));
    aios_error err = AIOS_INIT(aios_error);
    aios_entry e = AIOS_INIT(aios_entry);
    entry_builder b = {.n = 0};
    for (size_t i = 0; name && i < sizeof roles / sizeof *roles; i++)
        if (!strcmp(name, roles[i].name)) {
            e.role = roles[i].role;
            e.label.integrity = roles[i].label;
        }
    if (!e.role)
        return cli_usage("message %zu has no role system, user, assistant or tool", index);
    add_content(&b, json_object_get(msg, "content"), e.role == AIOS_ROLE_TOOL ? AIOS_PART_RESULT : AIOS_PART_TEXT);
    add_calls(&b, json_object_get(msg, "tool_calls"));
    if (e.role == AIOS_ROLE_TOOL && b.n) {
        b.parts[0].name = json_string_value(json_object_get(msg, "name"));
        b.parts[0].call_id = json_string_value(json_object_get(msg, "tool_call_id"));
    }
    if (!b.n)
        add_part(&b, AIOS_PART_TEXT, "", 0);
    e.parts = b.parts;
    e.n_parts = b.n;
    e.part_stride = sizeof *b.parts;
    int rc = aios_transcript_add(t, &e, &err) ? cli_fail("message", &err) : 0;
    for (uint32_t i = 0; i < b.n_owned; i++)
        free(b.owned[i]);
    return rc;
}

/* Tool definitions borrow from doc, which gets the schema texts as extra members. */
static int read_tools(json_t *list, aios_tool_def **tools, uint32_t *n_tools)
{
    size_t i;
    json_t *tool;
    if (!json_array_size(list))
        return 0;
    *tools = calloc(json_array_size(list), sizeof **tools);
    if (!*tools)
        return cli_no_memory();
    json_array_foreach(list, i, tool) {
        json_t *fn = json_object_get(tool, "function"), *at = fn ? fn : tool;
        json_t *schema = json_object_get(at, "parameters");
        char *text = schema ? json_dumps(schema, JSON_COMPACT) : NULL;
        json_object_set_new(at, "schema text", json_string(text ? text : "{\"type\":\"object\"}"));
        free(text);
        (*tools)[i] = (aios_tool_def)AIOS_INIT(aios_tool_def);
        (*tools)[i].name = json_string_value(json_object_get(at, "name"));
        (*tools)[i].description = json_string_value(json_object_get(at, "description"));
        (*tools)[i].schema_json = json_string_value(json_object_get(at, "schema text"));
    }
    *n_tools = (uint32_t)json_array_size(list);
    return 0;
}

int cli_messages(aios_ctx *ctx, const char *s, size_t n, aios_transcript **t, json_t **doc, aios_tool_def **tools, uint32_t *n_tools)
{
    json_error_t je;
    aios_error err = AIOS_INIT(aios_error);
    size_t i;
    json_t *msg;
    *doc = json_loadb(s, n, JSON_REJECT_DUPLICATES, &je);
    json_t *list = json_is_array(*doc) ? *doc : json_object_get(*doc, "messages");
    if (!json_is_array(list))
        return cli_usage("the input must be a JSON array of messages or {\"messages\":[...],\"tools\":[...]}%s%s", *doc ? "" : ": ",
                         *doc ? "" : je.text);
    if (aios_transcript_new(ctx, t, &err))
        return cli_fail(NULL, &err);
    json_array_foreach(list, i, msg) {
        int rc = add_message(*t, msg, i);
        if (rc)
            return rc;
    }
    return read_tools(json_is_object(*doc) ? json_object_get(*doc, "tools") : NULL, tools, n_tools);
}
