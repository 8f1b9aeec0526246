/* SPDX-License-Identifier: Apache-2.0 */
/* Calls as a model of some family would have written them: for prompts without a template that knows tools, and as examples. */
#include "llm/call_format.h"

#include <string.h>

#include "base/json.h"
#include "grammar/json_push.h"

typedef struct writer {
    const aios__call_format *f;
    aios__buf *out;
    aios__buf json, tmp; /* arguments as JSON; scratch */
} writer;

static int fail_quote(const char *what, aios_error *err)
{
    return aios__fail(err, AIOS_EFORMAT, "an argument has the text %s in it, which ends it in this model's format", what);
}

/* ---- key=value, {key:value} ------------------------------------------------------------------------------------------- */

static int write_plain(const writer *w, const char *s, size_t n, aios_error *err)
{
    static const char *const words[][2] = {{"true", "True"}, {"false", "False"}, {"null", "None"}};
    for (size_t i = 0; w->f->args == AIOS__ARGS_PYTHON && i < AIOS__ARRAY_LEN(words); i++)
        if (n == strlen(words[i][0]) && !memcmp(s, words[i][0], n))
            return aios__buf_adds(w->out, words[i][1], err);
    return aios__buf_add(w->out, s, n, err);
}

/* A string or key of JSON, its quotes at s[0] and s[n - 1]. */
static int write_text(writer *w, const char *s, size_t n, bool key, bool top, aios_error *err)
{
    if (w->f->args == AIOS__ARGS_PYTHON && !(key && top))
        return aios__buf_add(w->out, s, n, err);
    aios__buf_clear(&w->tmp);
    int rc = aios__push_unescape(s + 1, n - 2, &w->tmp, err);
    if (key)
        return rc ? rc : aios__buf_add(w->out, w->tmp.p, w->tmp.n, err);
    if (!rc && w->tmp.n && memmem(w->tmp.p, w->tmp.n, w->f->quote, strlen(w->f->quote)))
        return fail_quote(w->f->quote, err);
    rc = rc ? rc : aios__buf_adds(w->out, w->f->quote, err);
    rc = rc ? rc : aios__buf_add(w->out, w->tmp.p, w->tmp.n, err);
    return rc ? rc : aios__buf_adds(w->out, w->f->quote, err);
}

static int write_loose(writer *w, aios_error *err)
{
    aios__push push = {0};
    bool python = w->f->args == AIOS__ARGS_PYTHON;
    int rc = AIOS_OK;
    size_t from = 0;
    for (size_t i = 0; !rc && i < w->json.n; i++) {
        uint16_t before = push.depth;
        char c = w->json.p[i];
        int flags = aios__push_byte(&push, (uint8_t)c);
        bool top = before == 0 || push.depth == 0, token = flags & (AIOS__PUSH_KEY | AIOS__PUSH_TEXT | AIOS__PUSH_PLAIN);
        if (flags & AIOS__PUSH_BEFORE)
            rc = write_plain(w, w->json.p + from, i - from, err);
        if (token && flags & AIOS__PUSH_BEGIN)
            from = i;
        if (rc || (token && !(flags & AIOS__PUSH_END)))
            continue;
        if (flags & AIOS__PUSH_PLAIN)
            rc = write_plain(w, w->json.p + from, i + 1 - from, err);
        else if (token)
            rc = write_text(w, w->json.p + from, i + 1 - from, flags & AIOS__PUSH_KEY, push.depth == 1, err);
        else if (python)
            rc = aios__buf_adds(w->out, top ? (c == '{' ? "(" : ")") : c == ':' && push.depth == 1 ? "=" : (char[]){c, 0}, err);
        else
            rc = aios__buf_addc(w->out, c, err);
        if (!rc && !w->f->compact && (c == ',' || (c == ':' && push.depth > 1)))
            rc = aios__buf_addc(w->out, ' ', err);
    }
    return rc;
}

/* ---- tags ------------------------------------------------------------------------------------------------------------------ */

static int write_tags(writer *w, const aios__json *args, aios_error *err)
{
    const aios__call_format *f = w->f;
    const char *key, *close = f->p_close + strspn(f->p_close, "\n");
    const aios__json *v;
    int rc = AIOS_OK;
    for (void *it = aios__json_iter(args, NULL, &key, &v); !rc && it; it = aios__json_iter(args, it, &key, &v)) {
        size_t n = 0, n_close = strcspn(close, "\n");
        const char *text = aios__json_str(v, &n);
        rc = aios__buf_addf(w->out, err, "%s%s%s", f->p_open, key, text || !f->p_mid_json ? f->p_mid : f->p_mid_json);
        aios__buf_clear(&w->tmp);
        rc = rc ? rc : text ? aios__buf_add(&w->tmp, text, n, err) : aios__json_write_as(v, !f->compact, &w->tmp, err);
        if (!rc && w->tmp.n && memmem(w->tmp.p, w->tmp.n, close, n_close))
            return fail_quote(f->p_close, err);
        rc = rc ? rc : aios__buf_add(w->out, w->tmp.p, w->tmp.n, err);
        rc = rc ? rc : aios__buf_adds(w->out, f->p_close, err);
    }
    return rc;
}

/* ---- a call ----------------------------------------------------------------------------------------------------------------- */

static int write_args(writer *w, const aios__json *args, aios_error *err)
{
    switch (w->f->args) {
    case AIOS__ARGS_JSON:
        return aios__buf_add(w->out, w->json.p, w->json.n, err);
    case AIOS__ARGS_TAGS:
        return write_tags(w, args, err);
    default:
        return write_loose(w, err);
    }
}

static int write_id(const writer *w, const char *id, aios_error *err)
{
    int rc = aios__buf_addf(w->out, err, "\"%s\": ", w->f->id_key);
    return rc ? rc : aios__buf_add_json(w->out, id, strlen(id), err);
}

static int write_object(writer *w, const aios__call_piece *c, const aios__json *args, aios_error *err)
{
    const aios__call_format *f = w->f;
    bool id = f->id_key && c->id;
    int rc = aios__buf_addc(w->out, '{', err);
    if (!rc && id && f->id_first) {
        rc = write_id(w, c->id, err);
        rc = rc ? rc : aios__buf_adds(w->out, ", ", err);
    }
    rc = rc ? rc : aios__buf_addf(w->out, err, "\"%s\": ", f->name_key);
    rc = rc ? rc : aios__buf_add_json(w->out, c->name, strlen(c->name), err);
    rc = rc ? rc : aios__buf_addf(w->out, err, ", \"%s\": ", f->args_key);
    rc = rc ? rc : write_args(w, args, err);
    if (!rc && id && !f->id_first) {
        rc = aios__buf_adds(w->out, ", ", err);
        rc = rc ? rc : write_id(w, c->id, err);
    }
    return rc ? rc : aios__buf_addc(w->out, '}', err);
}

static int write_call(writer *w, const aios__call_piece *c, aios_error *err)
{
    const aios__call_format *f = w->f;
    aios__json_doc *doc = NULL;
    int rc = aios__json_parse(w->out->heap, c->args, c->n_args, &doc, err);
    const aios__json *args = rc ? NULL : aios__json_root(doc);
    if (!rc && aios__json_type(args) != AIOS__JSON_OBJECT)
        rc = aios__fail(err, AIOS_EFORMAT, "the arguments of a call to %s are no JSON object", c->name);
    aios__buf_clear(&w->json);
    rc = rc ? rc : aios__json_write_as(args, f->args == AIOS__ARGS_JSON && !f->compact, &w->json, err);
    rc = rc ? rc : aios__buf_adds(w->out, f->begin, err);
    if (f->name_key) {
        rc = rc ? rc : write_object(w, c, args, err);
    } else {
        rc = rc ? rc : aios__buf_adds(w->out, c->name, err);
        if (!rc && f->id_open && c->id)
            rc = aios__buf_addf(w->out, err, "%s%s", f->id_open, c->id);
        rc = rc ? rc : aios__buf_adds(w->out, f->mid, err);
        rc = rc ? rc : write_args(w, args, err);
    }
    rc = rc ? rc : aios__buf_adds(w->out, f->end, err);
    aios__json_free(doc);
    return rc;
}

int aios__calls_write(aios__heap *h, const aios__call_format *f, const aios__call_piece *calls, size_t n, aios__buf *out, aios_error *err)
{
    writer w = {.f = f, .out = out};
    aios__buf_init(&w.json, h, AIOS_MEM_TEXT, 0);
    aios__buf_init(&w.tmp, h, AIOS_MEM_TEXT, 0);
    int rc = n ? aios__buf_adds(out, f->open, err) : AIOS_OK;
    for (size_t i = 0; !rc && i < n; i++) {
        rc = i ? aios__buf_adds(out, f->between ? f->between : "\n", err) : AIOS_OK;
        rc = rc ? rc : write_call(&w, &calls[i], err);
    }
    rc = rc || !n ? rc : aios__buf_adds(out, f->close, err);
    aios__buf_free(&w.json);
    aios__buf_free(&w.tmp);
    return rc;
}
