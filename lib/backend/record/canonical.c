/* SPDX-License-Identifier: Apache-2.0 */
/* Requests in one form: what is recorded, hashed and compared. Numbers of entries, deadlines and priorities do not count. */
#include <stdio.h>

#include "backend/record/record_priv.h"
#include "base/cachefile.h"

static const char *const roles[] = {"?", "system", "user", "assistant", "tool"};
static const char *const kinds[] = {"?", "text", "reasoning", "call", "result", "image", "audio", "data", "unknown"};

typedef struct writer {
    const aios__tape_args *args;
    aios__buf *out;
    aios__buf clean; /* a text, redacted */
    aios_error *err;
} writer;

static void put_text(writer *w, const char *key, const char *s, size_t n)
{
    if (!s)
        return;
    aios__buf_clear(&w->clean);
    aios__redact(w->args, s, n, &w->clean, w->err);
    aios__buf_addf(w->out, w->err, ",\"%s\":", key);
    aios__buf_add_json(w->out, w->clean.p ? w->clean.p : "", w->clean.n, w->err);
}

static void put_str(writer *w, const char *key, const char *s)
{
    put_text(w, key, s, s ? strlen(s) : 0);
}

static void put_uint(writer *w, const char *key, uint64_t v)
{
    if (v)
        aios__buf_addf(w->out, w->err, ",\"%s\":%llu", key, (unsigned long long)v);
}

static void put_real(writer *w, const char *key, float v)
{
    if (v == 0)
        return;
    aios__buf_addf(w->out, w->err, ",\"%s\":", key);
    aios__buf_add_real(w->out, (double)v, 9, w->err);
}

static void put_part(writer *w, const aios_part *p)
{
    bool bytes = p->kind >= AIOS_PART_IMAGE && p->kind <= AIOS_PART_DATA;
    aios__buf_addf(w->out, w->err, "{\"kind\":\"%s\"", kinds[p->kind > 0 && p->kind <= AIOS_PART_UNKNOWN ? p->kind : 0]);
    put_str(w, "name", p->name);
    put_str(w, "call_id", p->call_id);
    if (p->status)
        aios__buf_addf(w->out, w->err, ",\"status\":%d", p->status);
    put_str(w, "mime", p->mime);
    if (bytes) {
        char sum[AIOS__HASH_TEXT];
        aios__canonical_hash(p->text, p->n_text, sum);
        put_uint(w, "n_bytes", p->n_text);
        put_str(w, "hash", sum);
    } else {
        put_text(w, "text", p->text, p->n_text);
    }
    aios__buf_addc(w->out, '}', w->err);
}

static void put_entries(writer *w, const aios_transcript *t)
{
    aios__buf_adds(w->out, ",\"entries\":[", w->err);
    for (uint32_t i = 0; i < aios_transcript_count(t); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(t, i, &e);
        const char *role = roles[e.role > 0 && e.role <= AIOS_ROLE_TOOL ? e.role : 0];
        aios__buf_addf(w->out, w->err, "%s{\"role\":\"%s\",\"label\":%d", i ? "," : "", role, e.label.integrity);
        if (e.label.confidentiality)
            aios__buf_addf(w->out, w->err, ",\"confidentiality\":\"%llx\"", (unsigned long long)e.label.confidentiality);
        aios__buf_adds(w->out, ",\"parts\":[", w->err);
        for (uint32_t k = 0; k < e.n_parts; k++) {
            if (k)
                aios__buf_addc(w->out, ',', w->err);
            put_part(w, (const aios_part *)(const void *)((const char *)e.parts + k * e.part_stride));
        }
        aios__buf_adds(w->out, "]}", w->err);
    }
    aios__buf_addc(w->out, ']', w->err);
}

static void put_tools(writer *w, const aios_request *q)
{
    if (!q->n_tools)
        return;
    aios__buf_adds(w->out, ",\"tools\":[", w->err);
    for (uint32_t i = 0; i < q->n_tools; i++) {
        const aios_tool_def *t = &q->tools[i];
        aios__buf_addf(w->out, w->err, "%s{\"kind\":\"tool\"", i ? "," : "");
        put_str(w, "name", t->name);
        put_str(w, "description", t->description);
        put_str(w, "schema", t->schema_json);
        aios__buf_addc(w->out, '}', w->err);
    }
    aios__buf_addc(w->out, ']', w->err);
    if (q->tool_choice)
        aios__buf_addf(w->out, w->err, ",\"tool_choice\":%d", q->tool_choice);
    put_str(w, "tool_name", q->tool_name);
}

static void put_sampling(writer *w, const aios_sampling *s)
{
    static const aios_sampling none = {0};
    s = s ? s : &none;
    put_real(w, "temperature", s->temperature);
    put_real(w, "top_p", s->top_p);
    put_real(w, "min_p", s->min_p);
    put_real(w, "repeat_penalty", s->repeat_penalty);
    put_real(w, "frequency_penalty", s->frequency_penalty);
    put_real(w, "presence_penalty", s->presence_penalty);
    put_uint(w, "top_k", s->top_k);
    put_uint(w, "penalty_last_n", s->penalty_last_n);
    if (s->seed)
        aios__buf_addf(w->out, w->err, ",\"seed\":\"%llx\"", (unsigned long long)s->seed);
}

static void put_bounds(writer *w, const aios_request *q)
{
    put_str(w, "schema", q->schema_json);
    if (q->grammar) {
        uint64_t sum[2];
        aios__grammar_source(q->grammar, sum);
        aios__buf_addf(w->out, w->err, ",\"grammar\":\"%016llx%016llx\"", (unsigned long long)sum[0], (unsigned long long)sum[1]);
    }
    for (size_t i = 0; q->stop && q->stop[i]; i++) {
        char key[16];
        snprintf(key, sizeof key, "stop%zu", i);
        put_str(w, key, q->stop[i]);
    }
    put_uint(w, "max_tokens", q->max_tokens);
    put_uint(w, "max_reasoning", q->max_reasoning);
    put_uint(w, "max_repairs", q->max_repairs);
    put_real(w, "min_margin", q->min_margin);
    put_uint(w, "n_top", q->n_top);
    put_uint(w, "flags", q->flags & ~(uint32_t)AIOS_REQUEST_SNAPSHOTS);
}

int aios__canonical(const aios__tape_args *a, aios__heap *h, const aios_request *q, aios__buf *out, aios_error *err)
{
    aios__buf raw;
    aios__json_doc *doc = NULL;
    aios__buf_init(&raw, h, AIOS_MEM_TEXT, 0);
    writer w = {.args = a, .out = &raw, .err = err};
    aios__buf_init(&w.clean, h, AIOS_MEM_TEXT, 0);
    aios__buf_addf(&raw, err, "{\"version\":1");
    put_text(&w, "raw", q->raw, q->n_raw);
    if (q->transcript)
        put_entries(&w, q->transcript);
    put_tools(&w, q);
    put_sampling(&w, q->sampling);
    put_bounds(&w, q);
    int rc = aios__buf_addc(&raw, '}', err);
    rc = rc ? rc : w.clean.failed;
    rc = rc ? rc : aios__json_parse_exact(h, raw.p, raw.n, &doc, err); /* as it reads back from a file */
    rc = rc ? rc : aios__json_write(aios__json_root(doc), out, err);
    aios__json_free(doc);
    aios__buf_free(&raw);
    aios__buf_free(&w.clean);
    return rc;
}

void aios__canonical_hash(const char *s, size_t n, char out[AIOS__HASH_TEXT])
{
    snprintf(out, AIOS__HASH_TEXT, "%016llx%016llx", (unsigned long long)aios__sum64(1, s, n), (unsigned long long)aios__sum64(2, s, n));
}

/* ---- differences -------------------------------------------------------------------------------------------------- */

static void quote(aios__heap *h, const aios__json *v, char *out, size_t n)
{
    aios__buf b;
    aios__buf_init(&b, h, AIOS_MEM_TEXT, 0);
    if (!v || aios__json_write(v, &b, NULL))
        snprintf(out, n, "nothing");
    else
        snprintf(out, n, "%.*s%s", (int)aios__utf8_whole(b.p, b.n < 60 ? b.n : 60), b.p, b.n > 60 ? "..." : "");
    aios__buf_free(&b);
}

/* The first member or element that is not equal; false: there is none such to go down to. */
static bool go_down(const aios__json **a, const aios__json **b, char *path, size_t room)
{
    const char *key;
    const aios__json *v;
    if (aios__json_type(*a) != aios__json_type(*b))
        return false;
    if (aios__json_type(*a) == AIOS__JSON_ARRAY) {
        for (size_t i = 0; i < aios__json_count(*a) || i < aios__json_count(*b); i++) {
            const aios__json *x = aios__json_at(*a, i), *y = aios__json_at(*b, i);
            if (x && y && aios__json_equal(x, y))
                continue;
            snprintf(path, room, "[%zu]", i);
            *a = x;
            *b = y;
            return true;
        }
        return false;
    }
    const aios__json *both[] = {*a, *b};
    for (int side = 0; side < 2; side++)
        for (void *it = aios__json_iter(both[side], NULL, &key, &v); it; it = aios__json_iter(both[side], it, &key, &v)) {
            const aios__json *x = aios__json_get(both[0], key), *y = aios__json_get(both[1], key);
            if (x && y && aios__json_equal(x, y))
                continue;
            snprintf(path, room, ".%s", key);
            *a = x;
            *b = y;
            return true;
        }
    return false;
}

void aios__canonical_differ(aios__heap *h, const aios__json *a, const aios__json *b, char *out, size_t n)
{
    char path[128] = "", x[80], y[80];
    size_t at = 0, from = 0;
    while (a && b && at < sizeof path - 1 && go_down(&a, &b, path + at, sizeof path - at))
        at = strlen(path);
    const char *s = aios__json_str(a, NULL), *t = aios__json_str(b, NULL);
    while (s && t && s[from] && s[from] == t[from])
        from++;
    if (s && t && from > 8) {
        while (from && ((unsigned char)s[from] & 0xc0) == 0x80)
            from--;
        snprintf(x, sizeof x, "\"...%.*s\"", (int)aios__utf8_whole(s + from, strnlen(s + from, 40)), s + from);
        snprintf(y, sizeof y, "\"...%.*s\"", (int)aios__utf8_whole(t + from, strnlen(t + from, 40)), t + from);
    } else {
        quote(h, a, x, sizeof x);
        quote(h, b, y, sizeof y);
    }
    snprintf(out, n, "%s: recorded %s, asked %s", path[0] == '.' ? path + 1 : path, x, y);
}
