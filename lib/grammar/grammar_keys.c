/* SPDX-License-Identifier: Apache-2.0 */
/* Names of properties as regular expressions: what a schema says of strings, and classes of names that the same patterns match. */
#include "grammar/grammar_schema.h"
#include "grammar/schema_format.h"

#define DEEP 100u /* schemas inside each other */

int aios__comp_pool(comp *c, aios_error *err)
{
    return c->g->rx ? AIOS_OK : aios__rx_new(c->g->ctx, &c->g->rx, err);
}

int aios__comp_exact(comp *c, const char *s, size_t n, uint32_t *rx, aios_error *err)
{
    int rc = AIOS_OK;
    *rx = AIOS__RX_EMPTY;
    while (!rc && n--) {
        uint32_t set[8] = {0}, one;
        set[(uint8_t)s[n] / 32] |= 1u << (uint8_t)s[n] % 32;
        rc = aios__rx_bytes(c->g->rx, set, &one, err);
        rc = rc ? rc : aios__rx_cat(c->g->rx, one, *rx, rx, err);
    }
    return rc;
}

/* ---- schemas of strings ------------------------------------------------------------------------------------------- */

/* Strings for which a schema holds, and for which it surely does not: isnt, where that are not simply all others (NONE). */
typedef struct told {
    uint32_t is, isnt;
    uint32_t open; /* the subschema of a format that cannot be told from what has it not, or NONE */
} told;

static told simply(uint32_t rx)
{
    return (told){rx, AIOS__NONE, AIOS__NONE};
}

static int both(comp *c, uint32_t *rx, uint32_t with, aios_error *err)
{
    uint32_t e[2] = {*rx, with};
    return aios__rx_and(c->g->rx, e, 2, rx, err);
}

static int either(comp *c, uint32_t *rx, uint32_t with, aios_error *err)
{
    uint32_t e[2] = {*rx, with};
    return aios__rx_or(c->g->rx, e, 2, rx, err);
}

/* Strings for which it surely does not hold. */
static int denied(comp *c, const told *t, uint32_t *rx, aios_error *err)
{
    if (t->open != AIOS__NONE)
        return aios__comp_fail_denied(c, t->open, AIOS__KW_FORMAT, err);
    *rx = t->isnt;
    return *rx == AIOS__NONE ? aios__rx_not(c->g->rx, t->is, rx, err) : AIOS_OK;
}

static int negate(comp *c, told *t, aios_error *err)
{
    uint32_t no;
    int rc = denied(c, t, &no, err);
    if (!rc)
        *t = (told){no, t->isnt == AIOS__NONE ? AIOS__NONE : t->is, AIOS__NONE};
    return rc;
}

typedef int fold(comp *c, uint32_t *rx, uint32_t with, aios_error *err);

/* Joins what holds by one operation, and what does not by its dual. */
static int combine(comp *c, told *t, const told *with, fold *is, fold *isnt, aios_error *err)
{
    uint32_t no[2];
    told r = {t->is, AIOS__NONE, t->open != AIOS__NONE ? t->open : with->open};
    int rc = is(c, &r.is, with->is, err);
    if (!rc && r.open == AIOS__NONE && (t->isnt != AIOS__NONE || with->isnt != AIOS__NONE)) {
        rc = denied(c, t, &no[0], err);
        rc = rc ? rc : denied(c, with, &no[1], err);
        rc = rc ? rc : isnt(c, &no[0], no[1], err);
        r.isnt = no[0];
    }
    *t = r;
    return rc;
}

static int meet(comp *c, told *t, const told *with, aios_error *err)
{
    return combine(c, t, with, both, either, err);
}

static int join(comp *c, told *t, const told *with, aios_error *err)
{
    return combine(c, t, with, either, both, err);
}

static int strings(comp *c, uint32_t sub, unsigned depth, told *t, aios_error *err);

static int strings_of(comp *c, const aios__json *schema, unsigned depth, told *t, aios_error *err)
{
    return strings(c, aios__schema_sub(c->s, schema), depth + 1, t, err);
}

int aios__comp_texts(comp *c, const aios__json *v, bool many, uint32_t *rx, aios_error *err)
{
    size_t n = many ? aios__json_count(v) : 1, len;
    uint32_t *all = aios__grammar_alloc_beside(c->g, n, sizeof *all, err), kept = 0;
    *rx = AIOS__RX_NOTHING;
    if (!all)
        return aios__oom(err);
    int rc = aios__comp_pool(c, err);
    for (size_t i = 0; !rc && i < n; i++) {
        const char *s = aios__json_str(many ? aios__json_at(v, i) : v, &len);
        rc = s ? aios__comp_exact(c, s, len, &all[kept++], err) : AIOS_OK;
    }
    if (!rc && kept)
        rc = aios__rx_or(c->g->rx, all, kept, rx, err);
    aios__grammar_drop(c->g, all, n * sizeof *all);
    return rc;
}

static int lengths(comp *c, uint64_t min, uint64_t max, uint32_t *rx, aios_error *err)
{
    static const uint32_t every[] = {0, 0x10ffff};
    uint32_t one;
    int rc = aios__rx_chars(c->g->rx, every, 1, &one, err);
    return rc ? rc : aios__rx_repeat(c->g->rx, one, min >= UINT32_MAX ? UINT32_MAX - 1 : (uint32_t)min, max >= UINT32_MAX ? AIOS__RX_ENDLESS : (uint32_t)max, rx, err);
}

/* Exactly one of the list. */
static int one_of(comp *c, const aios__json *list, unsigned depth, told *t, aios_error *err)
{
    told none = simply(AIOS__RX_ALL), e, not_e;
    int rc = AIOS_OK;
    *t = simply(AIOS__RX_NOTHING);
    for (size_t i = 0; !rc && i < aios__json_count(list); i++) {
        rc = strings_of(c, aios__json_at(list, i), depth, &e, err);
        not_e = e;
        rc = rc ? rc : negate(c, &not_e, err);
        rc = rc ? rc : meet(c, t, &not_e, err);
        rc = rc ? rc : meet(c, &e, &none, err);
        rc = rc ? rc : join(c, t, &e, err);
        rc = rc ? rc : meet(c, &none, &not_e, err);
    }
    return rc;
}

static int list_of(comp *c, bool all, const aios__json *list, unsigned depth, told *t, aios_error *err)
{
    told e;
    int rc = AIOS_OK;
    *t = simply(all ? AIOS__RX_ALL : AIOS__RX_NOTHING);
    for (size_t i = 0; !rc && i < aios__json_count(list); i++) {
        rc = strings_of(c, aios__json_at(list, i), depth, &e, err);
        if (!rc)
            rc = all ? meet(c, t, &e, err) : join(c, t, &e, err);
    }
    return rc;
}

/* if: with then, or not with else. */
static int conditional(comp *c, uint32_t sub, const aios__json *cond, unsigned depth, told *t, aios_error *err)
{
    const aios__json *then = aios__schema_kw(c->s, sub, AIOS__KW_THEN), *other = aios__schema_kw(c->s, sub, AIOS__KW_ELSE);
    told is, no = simply(AIOS__RX_ALL);
    *t = simply(AIOS__RX_ALL);
    if (!then && !other)
        return AIOS_OK;
    int rc = strings_of(c, cond, depth, &is, err);
    if (!rc && then)
        rc = strings_of(c, then, depth, t, err);
    if (!rc && other)
        rc = strings_of(c, other, depth, &no, err);
    rc = rc ? rc : meet(c, t, &is, err);
    rc = rc ? rc : negate(c, &is, err);
    rc = rc ? rc : meet(c, &no, &is, err);
    return rc ? rc : join(c, t, &no, err);
}

static int format(comp *c, uint32_t sub, const aios__kwval *kv, told *t, aios_error *err)
{
    const char *name = aios__json_str(kv->v, NULL);
    *t = simply(kv->rx);
    if (aios__format_open(name))
        t->open = sub;
    return t->open == sub || !aios__format_partial(name) ? AIOS_OK : aios__format_not(c->g->rx, name, kv->rx, &t->isnt, err);
}

static int keyword(comp *c, uint32_t sub, const aios__kwval *kv, unsigned depth, told *t, aios_error *err)
{
    int rc = AIOS_OK;
    told e = simply(AIOS__RX_ALL);
    double d = aios__json_real(kv->v, 0);
    uint64_t count = d >= UINT32_MAX ? UINT32_MAX : (uint64_t)d;
    switch (kv->kw) {
    case AIOS__KW_TYPE:
        e.is = aios__schema_types(kv->v) & AIOS__T_STRING ? AIOS__RX_ALL : AIOS__RX_NOTHING;
        break;
    case AIOS__KW_CONST:
    case AIOS__KW_ENUM:
        rc = aios__comp_texts(c, kv->v, kv->kw == AIOS__KW_ENUM, &e.is, err);
        break;
    case AIOS__KW_PATTERN:
        e.is = kv->rx;
        break;
    case AIOS__KW_FORMAT:
        rc = format(c, sub, kv, &e, err);
        break;
    case AIOS__KW_MIN_LENGTH:
        rc = lengths(c, count, UINT32_MAX, &e.is, err);
        break;
    case AIOS__KW_MAX_LENGTH:
        rc = lengths(c, 0, count, &e.is, err);
        break;
    case AIOS__KW_REF:
        rc = strings(c, c->s->subs[sub].ref, depth + 1, &e, err);
        break;
    case AIOS__KW_DYNAMIC_REF:
    case AIOS__KW_RECURSIVE_REF:
        if (c->s->subs[sub].anchor)
            return aios__comp_fail(c, sub, kv->kw, "leads to a schema that depends on the way to it, which cannot be enforced on names of properties", err);
        rc = strings(c, c->s->subs[sub].dynamic, depth + 1, &e, err);
        break;
    case AIOS__KW_ALL_OF:
    case AIOS__KW_ANY_OF:
        rc = list_of(c, kv->kw == AIOS__KW_ALL_OF, kv->v, depth, &e, err);
        break;
    case AIOS__KW_ONE_OF:
        rc = aios__json_count(kv->v) == 1 ? list_of(c, true, kv->v, depth, &e, err) : one_of(c, kv->v, depth, &e, err);
        break;
    case AIOS__KW_NOT:
        rc = strings_of(c, kv->v, depth, &e, err);
        rc = rc ? rc : negate(c, &e, err);
        break;
    case AIOS__KW_IF:
        rc = conditional(c, sub, kv->v, depth, &e, err);
        break;
    default: /* what speaks of other types */
        return AIOS_OK;
    }
    return rc ? rc : meet(c, t, &e, err);
}

/* Recursion is as deep as DEEP. */
static int strings(comp *c, uint32_t sub, unsigned depth, told *t, aios_error *err)
{
    const aios__sub *s = &c->s->subs[sub];
    int rc = AIOS_OK;
    *t = simply(aios__json_type(s->json) == AIOS__JSON_FALSE ? AIOS__RX_NOTHING : AIOS__RX_ALL);
    c->g->work += 16;
    if (depth > DEEP)
        return aios__comp_fail(c, sub, s->n ? c->s->kws[s->first].kw : AIOS__KW_REF, "nests too deep to be enforced on names of properties", err);
    for (uint32_t k = 0; !rc && k < s->n; k++)
        rc = keyword(c, sub, &c->s->kws[s->first + k], depth, t, err);
    return rc;
}

int aios__comp_strings(comp *c, uint32_t sub, bool neg, uint32_t *rx, aios_error *err)
{
    told t = simply(AIOS__RX_ALL);
    int rc = aios__comp_pool(c, err);
    rc = rc ? rc : strings(c, sub, 0, &t, err);
    *rx = t.is;
    return rc || !neg ? rc : denied(c, &t, rx, err);
}

/* ---- classes ------------------------------------------------------------------------------------------------------ */

static int add_class(comp *c, keys *k, uint32_t rx, uint64_t in, bool *fits, aios_error *err)
{
    bool exists;
    int rc = aios__rx_exists(c->g->rx, rx, &exists, err);
    if (rc || !exists)
        return rc;
    *fits = *fits && k->n < AIOS__KLASSES;
    if (*fits)
        k->of[k->n++] = (klass){rx, in};
    return AIOS_OK;
}

int aios__comp_split(comp *c, keys *k, uint32_t all, bool *fits, aios_error *err)
{
    int rc = AIOS_OK;
    k->n = 1;
    k->of[0] = (klass){all, 0};
    *fits = true;
    for (uint32_t i = 0; !rc && *fits && i < k->n_pat; i++) {
        klass old[AIOS__KLASSES];
        uint32_t n = k->n, other;
        memcpy(old, k->of, n * sizeof *old);
        k->n = 0;
        rc = aios__rx_not(c->g->rx, k->pat[i], &other, err);
        for (uint32_t j = 0; !rc && j < n; j++) {
            uint32_t in = old[j].rx, out = old[j].rx;
            rc = both(c, &in, k->pat[i], err);
            rc = rc ? rc : both(c, &out, other, err);
            rc = rc ? rc : add_class(c, k, in, old[j].in | UINT64_C(1) << i, fits, err);
            rc = rc ? rc : add_class(c, k, out, old[j].in, fits, err);
        }
    }
    return rc;
}
