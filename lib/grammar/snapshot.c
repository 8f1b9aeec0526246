/* SPDX-License-Identifier: Apache-2.0 */
/* What is sure of a JSON text is copied once; what would close it is written behind it anew each time, and not counted. */
#include <aios/snapshot.h>

#include <stdio.h>

#include "grammar/array.h"
#include "grammar/json_push.h"

/* A container that is open. */
typedef struct level {
    uint32_t n_path;  /* of its own path */
    uint32_t n_items;
} level;

struct aios_snapshot {
    aios_ctx *ctx;
    aios__heap *heap;
    aios__push push;
    aios__buf out;     /* what is sure, without blanks */
    aios__buf tail;    /* what has come behind it */
    aios__buf path;
    aios__buf key, tmp;
    level levels[AIOS__PUSH_DEPTH];
    uint64_t n_taken;
    bool in_text, complete, failed, over;
};

int aios_snapshot_new(aios_ctx *ctx, aios_snapshot **out, aios_error *err)
{
    if (!ctx || !out)
        return aios__fail(err, AIOS_EINVAL, "a snapshot needs a ctx and a place to put it");
    *out = NULL;
    aios__heap *h = aios__ctx_heap(ctx);
    aios_snapshot *s = aios__alloc(h, AIOS_MEM_TEXT, sizeof *s, err);
    if (!s)
        return aios__oom(err);
    s->ctx = aios__ctx_ref(ctx);
    s->heap = h;
    aios__buf *bufs[] = {&s->out, &s->tail, &s->path, &s->key, &s->tmp};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(bufs); i++)
        aios__buf_init(bufs[i], h, AIOS_MEM_TEXT, 0);
    *out = s;
    return AIOS_OK;
}

void aios_snapshot_free(aios_snapshot *s)
{
    if (!s)
        return;
    aios_ctx *ctx = s->ctx;
    aios__buf *bufs[] = {&s->out, &s->tail, &s->path, &s->key, &s->tmp};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(bufs); i++)
        aios__buf_free(bufs[i]);
    aios__free(s->heap, s);
    aios_ctx_free(ctx);
}

void aios_snapshot_reset(aios_snapshot *s)
{
    if (!s)
        return;
    aios__buf *bufs[] = {&s->out, &s->tail, &s->path, &s->key, &s->tmp};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(bufs); i++)
        aios__buf_clear(bufs[i]);
    s->push = (aios__push){0};
    s->n_taken = 0;
    s->in_text = s->complete = s->failed = s->over = false;
}

/* ---- the way to what grows ------------------------------------------------------------------------------------------------ */

/* Adds the member or item that begins in the innermost container. */
static int add_segment(aios_snapshot *s, level *up, bool object, aios_error *err)
{
    if (!object)
        return aios__buf_addf(&s->path, err, "/%u", up->n_items);
    aios__buf_clear(&s->tmp);
    int rc = aios__push_unescape(s->key.p ? s->key.p : "", s->key.n, &s->tmp, err);
    rc = rc ? rc : aios__buf_addc(&s->path, '/', err);
    for (size_t i = 0; !rc && i < s->tmp.n; i++) {
        char c = s->tmp.p[i];
        rc = c == '~' ? aios__buf_adds(&s->path, "~0", err) : c == '/' ? aios__buf_adds(&s->path, "~1", err) : aios__buf_addc(&s->path, c, err);
    }
    return rc;
}

static void cut_path(aios_snapshot *s, size_t n)
{
    s->path.n = n;
    if (s->path.p)
        s->path.p[n] = 0;
}

/* A value has ended in the innermost container, or the root has. */
static void end_value(aios_snapshot *s)
{
    if (!s->push.depth) {
        s->complete = true;
        return;
    }
    level *up = &s->levels[s->push.depth - 1];
    up->n_items++;
    cut_path(s, up->n_path);
}

/* ---- bytes ------------------------------------------------------------------------------------------------------------------ */

/* What has come behind the sure part is sure, and c with it. */
static int settle(aios_snapshot *s, char c, aios_error *err)
{
    int rc = s->tail.n ? aios__buf_add(&s->out, s->tail.p, s->tail.n, err) : AIOS_OK;
    aios__buf_clear(&s->tail);
    return rc || !c ? rc : aios__buf_addc(&s->out, c, err);
}

/* A string or container begins; depth: where it stands. */
static int begin_value(aios_snapshot *s, char c, unsigned depth, aios_error *err)
{
    level *up = depth ? &s->levels[depth - 1] : NULL;
    bool object = depth && (s->push.objects[(depth - 1) / 8] >> (depth - 1) % 8 & 1);
    int rc = up ? add_segment(s, up, object, err) : AIOS_OK;
    s->in_text = c == '"';
    if (!s->in_text)
        s->levels[depth] = (level){.n_path = (uint32_t)s->path.n};
    return rc ? rc : settle(s, c, err);
}

static int take_key(aios_snapshot *s, char c, int flags, aios_error *err)
{
    if (flags & AIOS__PUSH_BEGIN)
        aios__buf_clear(&s->key);
    else if (!(flags & AIOS__PUSH_END) && aios__buf_addc(&s->key, c, err))
        return aios__oom(err);
    return aios__buf_addc(&s->tail, c, err);
}

static int take_text(aios_snapshot *s, char c, int flags, aios_error *err)
{
    if (flags & AIOS__PUSH_BEGIN)
        return begin_value(s, c, s->push.depth, err);
    if (!(flags & (AIOS__PUSH_WHOLE | AIOS__PUSH_END)))
        return aios__buf_addc(&s->tail, c, err);
    if (flags & AIOS__PUSH_END) {
        s->in_text = false;
        end_value(s);
    }
    return settle(s, c, err);
}

static int take(aios_snapshot *s, char c, aios_error *err)
{
    uint32_t before = s->push.depth;
    int flags = aios__push_byte(&s->push, (uint8_t)c), rc = AIOS_OK;
    if (flags < 0) {
        s->failed = true;
        aios__fail(err, AIOS_EFORMAT, "byte %llu of the text is not JSON, or nests deeper than %d", (unsigned long long)s->n_taken, AIOS__PUSH_DEPTH);
        if (err)
            err->have = s->n_taken;
        return AIOS_EFORMAT;
    }
    s->n_taken++;
    if (flags & AIOS__PUSH_BEFORE) {
        rc = settle(s, 0, err);
        if (before)
            s->levels[before - 1].n_items++;
        s->complete = !before;
    }
    if (rc || flags & AIOS__PUSH_BLANK)
        return rc;
    if (flags & AIOS__PUSH_KEY)
        return take_key(s, c, flags, err);
    if (flags & AIOS__PUSH_TEXT)
        return take_text(s, c, flags, err);
    if (flags & AIOS__PUSH_PLAIN) {
        if (!(flags & AIOS__PUSH_END))
            return aios__buf_addc(&s->tail, c, err);
        end_value(s);
        return settle(s, c, err);
    }
    if (flags & AIOS__PUSH_BEGIN)
        return begin_value(s, c, s->push.depth - 1u, err);
    if (flags & AIOS__PUSH_END) {
        end_value(s);
        return settle(s, c, err);
    }
    return aios__buf_addc(&s->tail, c, err); /* , or : */
}

int aios_snapshot_add(aios_snapshot *s, const char *p, size_t n, aios_error *err)
{
    if (!s || (!p && n))
        return aios__fail(err, AIOS_EINVAL, "a snapshot and a text are needed");
    n = n == AIOS_CSTR ? strlen(p) : n;
    if (s->failed)
        return aios__fail(err, AIOS_EFORMAT, "the text has left JSON before: reset the snapshot");
    if (s->over)
        return aios__fail(err, AIOS_EINVAL, "the text was ended before: reset the snapshot for another one");
    int rc = AIOS_OK;
    for (size_t i = 0; !rc && i < n; i++)
        rc = take(s, p[i], err);
    s->failed |= rc != AIOS_OK;
    return rc;
}

int aios_snapshot_end(aios_snapshot *s, aios_error *err)
{
    if (!s)
        return aios__fail(err, AIOS_EINVAL, "no snapshot");
    if (s->failed || !aios__push_whole(&s->push))
        return aios__fail(err, AIOS_EFORMAT, "the text is over, but the JSON value is not");
    s->complete = s->over = true;
    return settle(s, 0, err);
}

/* ---- the view ---------------------------------------------------------------------------------------------------------------- */

int aios_snapshot_get(aios_snapshot *s, aios_snapshot_view *out, aios_error *err)
{
    if (!s || !out)
        return aios__fail(err, AIOS_EINVAL, "a snapshot and a place for its view are needed");
    uint32_t depth = s->push.depth;
    aios_snapshot_view v = AIOS_INIT(aios_snapshot_view);
    if (!s->out.n)
        return AIOS_AGAIN;
    int rc = aios__buf_reserve(&s->out, depth + 2u, err);
    rc = rc ? rc : aios__buf_reserve(&s->path, 1, err);
    if (rc)
        return rc;
    char *end = s->out.p + s->out.n;
    if (s->in_text)
        *end++ = '"';
    for (uint32_t i = depth; i--;)
        *end++ = s->push.objects[i / 8] >> i % 8 & 1 ? '}' : ']';
    *end = 0;
    s->path.p[s->path.n] = 0;
    v.json = s->out.p;
    v.n_json = (size_t)(end - s->out.p);
    v.path = s->complete ? NULL : s->path.p;
    v.flags = (s->complete ? AIOS_SNAPSHOT_COMPLETE : 0u) | (s->in_text ? AIOS_SNAPSHOT_IN_TEXT : 0u) | (s->tail.n ? AIOS_SNAPSHOT_HELD : 0u);
    return aios__struct_out(out, &v, sizeof v);
}
