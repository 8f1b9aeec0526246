/* SPDX-License-Identifier: Apache-2.0 */
/* Checks a value against a compiled schema with a stack of its own: one frame per (subschema, value) under way. */
#include <stdio.h>

#include "grammar/array.h"
#include "grammar/schema_rules.h"

#define MAX_FRAMES 100000u
#define MAX_STEPS 20000000u
#define MAX_BITS 4000000u /* of 64 each */
#define MAX_MEMO 500000u
#define MEMO_FROM 500u /* steps after which results are kept */

enum { FAIL = AIOS__FAIL, PASS = AIOS__PASS, CHILD = AIOS__CHILD };

typedef aios__frame frame;
typedef aios__checker checker;
typedef aios__child child;

static void value_path(const checker *c, char *out, size_t n)
{
    size_t at = 0;
    out[at++] = '$';
    for (uint32_t i = 0; i < c->n && at < n; i++) {
        const frame *f = &c->frames[i];
        int len = f->key                      ? snprintf(out + at, n - at, ".%s", f->key)
                  : f->index != AIOS__NONE ? snprintf(out + at, n - at, "[%u]", f->index)
                                              : 0;
        at += len > 0 ? (size_t)len : 0;
    }
    out[at < n ? at : aios__utf8_whole(out, n - 1)] = 0;
}

/* A step of a JSON pointer, "~" and "/" escaped; nothing of it is cut in two. False: it is cut short. */
static bool put_step(char *out, size_t n, size_t *at, const char *s)
{
    static const char *const escapes[] = {"~0", "~1"};
    if (*at + 1 < n)
        out[(*at)++] = '/';
    for (; *s && *at + 2 < n; s++) {
        bool escaped = *s == '~' || *s == '/';
        memcpy(out + *at, escaped ? escapes[*s == '/'] : s, escaped ? 2 : 1);
        *at += escaped ? 2 : 1;
    }
    *at = aios__utf8_whole(out, *at);
    return !*s;
}

/* A JSON pointer to the value. */
static void value_pointer(const checker *c, char *out, size_t n)
{
    size_t at = 0;
    bool whole = true;
    for (uint32_t i = 0; i < c->n && whole; i++) {
        const frame *f = &c->frames[i];
        char number[16];
        const char *step = f->key;
        if (!step && f->index == AIOS__NONE)
            continue;
        if (!step) {
            snprintf(number, sizeof number, "%u", f->index);
            step = number;
        }
        whole = put_step(out, n, &at, step);
    }
    out[at] = 0;
}

/* As much of s as a message has room for. */
static int cut(const char *s, size_t max)
{
    size_t n = strlen(s);
    return (int)(n > max ? aios__utf8_whole(s, max) : n);
}

/* Tells of a violation; PASS: the check goes on behind it. */
static int tell(checker *c, const char *why, const char *what, const char *keyword, const char *schema_path)
{
    char path[1024], message[512];
    value_pointer(c, path, sizeof path);
    what = what ? what : "";
    snprintf(message, sizeof message, "%s%.*s", why, cut(what, 300), what);
    const aios_violation v = {.struct_size = sizeof v, .path = path, .schema_path = schema_path, .keyword = keyword, .message = message};
    c->n_told++;
    int rc = c->tell(c->user, &v);
    if (rc)
        c->rc = aios__fail(c->err, rc, "the receiver of violations ended the check");
    return rc || aios__spend(c, 1) ? FAIL : PASS;
}

int aios__violation(checker *c, const char *why, const char *what)
{
    frame *f = &c->frames[c->n - 1];
    if (f->quiet || c->rc)
        return FAIL;
    char vp[160], sp[160];
    const aios__sub *sub = &c->s->subs[f->sub];
    const char *kw = sub->n ? aios__kw_name(c->s->kws[sub->first + f->k].kw) : "false";
    if (c->tell)
        return tell(c, why, what, kw, aios__schema_path(c->s, f->sub, sp, sizeof sp));
    value_path(c, vp, sizeof vp);
    what = what ? what : "";
    c->rc = aios__fail(c->err, AIOS_ESCHEMA, "%s: %s%.*s (\"%s\" of schema %s)", vp, why, cut(what, 120), what, kw,
                       aios__schema_path(c->s, f->sub, sp, sizeof sp));
    return FAIL;
}

int aios__spend(checker *c, uint64_t n)
{
    c->steps += n;
    if (c->steps > MAX_STEPS && !c->rc)
        c->rc = aios__fail_need(c->err, AIOS_ELIMIT, MAX_STEPS, c->steps, "checking a value took more than %u steps: simplify the schema",
                                MAX_STEPS);
    return c->rc;
}

/* ---- what was evaluated ------------------------------------------------------------------------------------------- */

static size_t n_words(const frame *f)
{
    return (aios__json_count(f->v) + 63) / 64;
}

void aios__evaluated(checker *c, const frame *f, size_t i)
{
    if (f->want)
        c->bits[f->bits + i / 64] |= UINT64_C(1) << i % 64;
}

bool aios__is_evaluated(const checker *c, const frame *f, size_t i)
{
    return c->bits[f->bits + i / 64] >> i % 64 & 1;
}

static int begin_bits(checker *c, frame *f)
{
    size_t n = n_words(f);
    if (!f->want || aios__spend(c, n))
        return c->rc;
    c->rc = aios__grow(c->s->heap, &c->bits, &c->cap_bits, c->n_bits + n + 1, MAX_BITS, sizeof *c->bits, "members and items to keep account of", c->err);
    if (c->rc)
        return c->rc;
    f->bits = c->n_bits;
    memset(c->bits + c->n_bits, 0, n * sizeof *c->bits);
    c->n_bits += (uint32_t)n;
    return AIOS_OK;
}

/* The top frame is done: what it evaluated counts for the one below if it applies to the same value. */
static void end_bits(checker *c, int result)
{
    const frame *f = &c->frames[c->n - 1];
    if (!f->want)
        return;
    if (f->join && result == PASS)
        for (size_t i = 0, n = n_words(f); i < n; i++)
            c->bits[f[-1].bits + i] |= c->bits[f->bits + i];
    c->n_bits = (uint32_t)f->bits;
}

/* ---- results that are kept: without them, references beside references take exponential time ---------------------- */

static aios__memo *memo_slot(const checker *c, uint32_t sub, const aios__json *v)
{
    for (uint32_t i = aios__slot((uintptr_t)v ^ (uint64_t)sub << 40, c->memo_size);; i = (i + 1) & (c->memo_size - 1))
        if (!c->memo[i].v || (c->memo[i].v == v && c->memo[i].sub == sub))
            return &c->memo[i];
}

static int grow_memo(checker *c)
{
    uint32_t size = c->memo_size ? c->memo_size * 2 : 256, old_size = c->memo_size;
    aios__memo *old = c->memo, *memo = aios__alloc_array(c->s->heap, AIOS_MEM_OTHER, size, sizeof *memo, c->err);
    if (!memo)
        return c->rc = aios__oom(c->err);
    c->memo = memo;
    c->memo_size = size;
    for (uint32_t i = 0; i < old_size; i++)
        if (old[i].v)
            *memo_slot(c, old[i].sub, old[i].v) = old[i];
    aios__free(c->s->heap, old);
    return AIOS_OK;
}

static void keep_result(checker *c, const frame *f, int result)
{
    if (!f->memo || c->rc || (c->tell && !f->quiet) || c->n_memo >= MAX_MEMO)
        return;
    if ((c->n_memo + 1) * 2 >= c->memo_size && grow_memo(c))
        return;
    aios__memo *m = memo_slot(c, f->sub, f->v);
    c->n_memo += !m->v;
    *m = (aios__memo){f->v, f->sub, result};
}

/* A failure that is to be told is found again. */
static bool is_known(const checker *c, const child *ch, bool quiet, int *result)
{
    const aios__memo *m = c->memo_size ? memo_slot(c, ch->sub, ch->v) : NULL;
    if (!m || !m->v || (m->result == FAIL && !quiet))
        return false;
    *result = m->result;
    return true;
}

/* ---- the machine -------------------------------------------------------------------------------------------------- */

static bool has_unevaluated(const checker *c, uint32_t i)
{
    const aios__sub *sub = &c->s->subs[i]; /* they come last */
    enum aios__kw last = sub->n ? c->s->kws[sub->first + sub->n - 1].kw : AIOS__KW_COUNT;
    return last == AIOS__KW_UNEVALUATED_ITEMS || last == AIOS__KW_UNEVALUATED_PROPERTIES;
}

/* Begins a child, or finds its result among those kept. */
static int push(checker *c, const child *ch, int *result)
{
    frame *below = c->n ? &c->frames[c->n - 1] : NULL;
    bool quiet = (below && below->quiet) || ch->quiet, join = below && below->want && ch->join;
    bool passing = ch->owned || (below && below->passing);
    bool memo = c->s->subs[ch->sub].shared && !join && !passing && !c->s->dynamic && c->steps > MEMO_FROM;
    if (memo && is_known(c, ch, quiet, result))
        return AIOS_OK;
    c->rc = aios__grow(c->s->heap, &c->frames, &c->cap, (size_t)c->n + 1, MAX_FRAMES, sizeof *c->frames, "levels of schema and value", c->err);
    if (c->rc) {
        aios__json_free(ch->owned);
        return c->rc;
    }
    c->frames[c->n++] = (frame){.sub = ch->sub,
                                .v = ch->v,
                                .key = ch->key,
                                .index = ch->index,
                                .got = AIOS__GOT_NONE,
                                .quiet = quiet,
                                .join = join,
                                .want = join || has_unevaluated(c, ch->sub),
                                .memo = memo,
                                .passing = passing,
                                .owned = ch->owned};
    return begin_bits(c, &c->frames[c->n - 1]);
}

/* One keyword of the top frame, or one child of it. CHILD: ch is to be checked next. */
static int advance(checker *c, frame *f, child *ch)
{
    const aios__sub *sub = &c->s->subs[f->sub];
    if (aios__json_type(sub->json) == AIOS__JSON_FALSE)
        return aios__violation(c, "nothing is allowed here", NULL);
    while (f->k < sub->n) {
        const aios__kwval *kv = &c->s->kws[sub->first + f->k];
        aios__rule *rule = f->part && kv->kw != c->only ? NULL : aios__schema_rule(kv->kw);
        *ch = (child){.index = AIOS__NONE};
        int r = rule ? rule(c, f, kv, ch) : PASS;
        if (r != PASS)
            return r;
        f->k++;
        f->i = f->n_ok = 0;
        f->at = 0;
        f->it = NULL;
        f->done = false;
        f->got = AIOS__GOT_NONE;
    }
    return PASS;
}

static int run(checker *c, uint32_t sub, const aios__json *v)
{
    child ch = {.sub = sub, .v = v, .index = AIOS__NONE};
    int r = PASS;
    if (push(c, &ch, &r))
        return c->rc;
    c->frames[0].part = c->only != AIOS__KW_COUNT;
    while (c->n && !aios__spend(c, 1)) {
        frame *f = &c->frames[c->n - 1];
        r = advance(c, f, &ch);
        if (r == CHILD) {
            uint32_t n = c->n;
            f->i++;
            if (!push(c, &ch, &r) && c->n == n)
                f->got = r;
            continue;
        }
        end_bits(c, r);
        keep_result(c, f, r);
        aios__json_free(f->owned);
        if (--c->n)
            c->frames[c->n - 1].got = r;
    }
    return c->rc;
}

static void end(checker *c)
{
    while (c->n)
        aios__json_free(c->frames[--c->n].owned);
    aios__free(c->s->heap, c->frames);
    aios__free(c->s->heap, c->bits);
    aios__free(c->s->heap, c->memo);
}

int aios__schema_check_at(const aios__schema *s, uint32_t sub, enum aios__kw only, const aios__json *v, aios_error *err)
{
    checker c = {.s = s, .only = only, .err = err};
    int rc = run(&c, sub, v);
    end(&c);
    return rc;
}

int aios__schema_check(const aios__schema *s, const aios__json *v, aios_error *err)
{
    return aios__schema_check_at(s, 0, AIOS__KW_COUNT, v, err);
}

static int check_all_of(const aios__schema *s, const aios__json *v, aios_violation_fn *fn, void *user, aios_error *err)
{
    checker c = {.s = s, .only = AIOS__KW_COUNT, .err = err, .tell = fn, .user = user};
    int rc = run(&c, 0, v);
    end(&c);
    if (!rc && c.n_told)
        rc = aios__fail_need(err, AIOS_ESCHEMA, c.n_told, 0, "the value breaks its schema in %llu places", (unsigned long long)c.n_told);
    return rc;
}

int aios_schema_check(aios_ctx *ctx, const char *schema, size_t n_schema, const char *json, size_t n_json, aios_error *err)
{
    return aios_schema_check_as(ctx, 0, schema, n_schema, json, n_json, NULL, NULL, err);
}

int aios_schema_check_as(aios_ctx *ctx, uint32_t flags, const char *schema, size_t n_schema, const char *json, size_t n_json, aios_violation_fn *fn,
                         void *user, aios_error *err)
{
    aios__schema *s = NULL;
    aios__json_doc *doc = NULL;
    if (!ctx || !schema || !json)
        return aios__fail(err, AIOS_EINVAL, "checking a value: ctx, schema and json must not be NULL");
    if (flags & ~(uint32_t)AIOS_SCHEMA_FORMAT_NOTE)
        return aios__fail(err, AIOS_EINVAL, "checking a value: flags %#x are not known", (unsigned)flags);
    int rc = aios__text_in(schema, n_schema, &n_schema, "schema", err);
    if (!rc)
        rc = aios__text_in(json, n_json, &n_json, "json", err);
    if (!rc)
        rc = aios__schema_new_as(ctx, flags, schema, n_schema, &s, err);
    if (!rc)
        rc = aios__json_parse_exact(aios__ctx_heap(ctx), json, n_json, &doc, err);
    if (!rc)
        rc = fn ? check_all_of(s, aios__json_root(doc), fn, user, err) : aios__schema_check(s, aios__json_root(doc), err);
    aios__json_free(doc);
    aios__schema_free(s);
    return rc;
}
