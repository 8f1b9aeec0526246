/* SPDX-License-Identifier: Apache-2.0 */
/* Checks a value against a compiled schema with a stack of its own: one frame per (subschema, value) under way. */
#include <aios/grammar.h>
#include <math.h>
#include <stdio.h>

#include "llm/schema_priv.h"
#include "llm/array.h"

#define MAX_FRAMES 100000u
#define MAX_STEPS 20000000u

enum { FAIL, PASS, CHILD }; /* what a keyword says */
enum { GOT_NONE = -1 };

typedef struct frame {
    uint32_t sub;
    uint32_t k;     /* keyword under way, from sub.first */
    uint32_t i;     /* children of the keyword begun */
    uint32_t n_ok;
    int got;        /* FAIL, PASS of the last child, or GOT_NONE */
    bool quiet;     /* a failure here is no violation yet */
    bool part;      /* the first frame: one keyword of it counts */
    void *it;
    const aios__json *v;
    const char *key; /* how v is reached from the frame below: member, element, or neither */
    uint32_t index;
} frame;

typedef struct checker {
    const aios__schema *s;
    frame *frames;
    uint32_t n, cap;
    enum aios__kw only;
    uint64_t steps;
    uint64_t n_told; /* violations */
    aios_violation_fn *tell; /* NULL: the first one ends the check */
    void *user;
    int rc;
    aios_error *err;
} checker;

struct child {
    uint32_t sub;
    const aios__json *v;
    const char *key;
    uint32_t index;
    bool quiet;
};

typedef int keyword_fn(checker *c, frame *f, const aios__json *kv, struct child *ch);

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
    out[at < n ? at : n - 1] = 0;
}

/* A step of a JSON pointer, "~" and "/" escaped; nothing of it is cut in two. */
static void put_step(char *out, size_t n, size_t *at, const char *s)
{
    static const char *const escapes[] = {"~0", "~1"};
    if (*at + 1 < n)
        out[(*at)++] = '/';
    for (; *s && *at + 2 < n; s++) {
        bool escaped = *s == '~' || *s == '/';
        memcpy(out + *at, escaped ? escapes[*s == '/'] : s, escaped ? 2 : 1);
        *at += escaped ? 2 : 1;
    }
}

/* A JSON pointer to the value. */
static void value_pointer(const checker *c, char *out, size_t n)
{
    size_t at = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        const frame *f = &c->frames[i];
        char number[16];
        const char *step = f->key;
        if (!step && f->index == AIOS__NONE)
            continue;
        if (!step) {
            snprintf(number, sizeof number, "%u", f->index);
            step = number;
        }
        put_step(out, n, &at, step);
    }
    out[at] = 0;
}

/* Tells of a violation; PASS: the check goes on behind it. */
static int tell(checker *c, const char *why, const char *what, const char *keyword, const char *schema_path)
{
    char path[1024], message[512];
    value_pointer(c, path, sizeof path);
    snprintf(message, sizeof message, "%s%.300s", why, what ? what : "");
    const aios_violation v = {.struct_size = sizeof v, .path = path, .schema_path = schema_path, .keyword = keyword, .message = message};
    c->n_told++;
    int rc = c->tell(c->user, &v);
    if (rc)
        c->rc = aios__fail(c->err, rc, "the receiver of violations ended the check");
    return rc ? FAIL : PASS;
}

static int violation(checker *c, const char *why, const char *what)
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
    c->rc = aios__fail(c->err, AIOS_ESCHEMA, "%s: %s%.120s (\"%s\" of schema %s)", vp, why, what ? what : "", kw,
                       aios__schema_path(c->s, f->sub, sp, sizeof sp));
    return FAIL;
}

static int must(checker *c, bool ok, const char *why)
{
    return ok ? PASS : violation(c, why, NULL);
}

static int spend(checker *c, uint64_t n)
{
    c->steps += n;
    if (c->steps > MAX_STEPS && !c->rc)
        c->rc = aios__fail_need(c->err, AIOS_ELIMIT, MAX_STEPS, c->steps, "checking a value took more than %u steps: simplify the schema",
                                MAX_STEPS);
    return c->rc;
}

/* ---- keywords without subschemas -------------------------------------------------------------------------------- */

static int check_type(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    AIOS__UNUSED(ch);
    return must(c, aios__value_types(f->v) & aios__schema_types(kv), "the type is not the one asked for");
}

static int check_enum(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    AIOS__UNUSED(ch);
    for (size_t i = 0; i < aios__json_count(kv); i++)
        if (aios__json_equal(aios__json_at(kv, i), f->v))
            return PASS;
    spend(c, aios__json_count(kv));
    return violation(c, "the value is none of those listed", NULL);
}

static int check_const(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    AIOS__UNUSED(ch);
    return must(c, aios__json_equal(kv, f->v), "the value is not the constant");
}

static int compare(const aios__json *a, const aios__json *b)
{
    if (aios__json_type(a) == AIOS__JSON_INT && aios__json_type(b) == AIOS__JSON_INT) {
        int64_t x = aios__json_int(a, 0), y = aios__json_int(b, 0);
        return (x > y) - (x < y);
    }
    double x = aios__json_real(a, 0), y = aios__json_real(b, 0);
    return (x > y) - (x < y);
}

static int check_minimum(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    AIOS__UNUSED(ch);
    return must(c, !aios__json_is_number(f->v) || compare(f->v, kv) >= 0, "the number is too small");
}
static int check_maximum(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    AIOS__UNUSED(ch);
    return must(c, !aios__json_is_number(f->v) || compare(f->v, kv) <= 0, "the number is too large");
}
static int check_above(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    AIOS__UNUSED(ch);
    return must(c, !aios__json_is_number(f->v) || compare(f->v, kv) > 0, "the number is too small");
}
static int check_below(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    AIOS__UNUSED(ch);
    return must(c, !aios__json_is_number(f->v) || compare(f->v, kv) < 0, "the number is too large");
}

static int check_multiple(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    AIOS__UNUSED(ch);
    if (!aios__json_is_number(f->v))
        return PASS;
    if (aios__json_type(f->v) == AIOS__JSON_INT && aios__json_type(kv) == AIOS__JSON_INT)
        return must(c, aios__json_int(f->v, 0) % aios__json_int(kv, 1) == 0, "the number is no multiple");
    /* Decimal fractions have no exact double: the quotient may be off by the rounding of all three. */
    double q = fabs(aios__json_real(f->v, 0)) / aios__json_real(kv, 1);
    return must(c, isfinite(q) && fabs(q - nearbyint(q)) <= q * 4 * 0x1p-53, "the number is no multiple");
}

static double length(const char *s, size_t n)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++)
        len += ((unsigned char)s[i] & 0xc0) != 0x80;
    return (double)len;
}

static int check_min_length(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    AIOS__UNUSED(ch);
    size_t n;
    const char *s = aios__json_str(f->v, &n);
    return must(c, !s || length(s, n) >= aios__json_real(kv, 0), "the string is too short");
}
static int check_max_length(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    AIOS__UNUSED(ch);
    size_t n;
    const char *s = aios__json_str(f->v, &n);
    return must(c, !s || length(s, n) <= aios__json_real(kv, 0), "the string is too long");
}

static bool matches(checker *c, uint32_t rx, const char *s, size_t n)
{
    bool is = false;
    if (!c->rc)
        c->rc = spend(c, n) ? c->rc : aios__rx_match(*c->s->pool, rx, s, n, &is, c->err);
    return is;
}

static int check_pattern(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    AIOS__UNUSED(ch);
    size_t n;
    const char *s = aios__json_str(f->v, &n);
    if (!s || matches(c, aios__schema_pattern(c->s, f->sub), s, n))
        return PASS;
    return violation(c, "the string does not match ", aios__json_str(kv, NULL));
}

/* Members or elements if v has the type, else `other`. */
static double count(const aios__json *v, enum aios__json_type type, double other)
{
    return aios__json_type(v) == type ? (double)aios__json_count(v) : other;
}

static int check_min_items(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    AIOS__UNUSED(ch);
    return must(c, count(f->v, AIOS__JSON_ARRAY, INFINITY) >= aios__json_real(kv, 0), "the array has too few items");
}
static int check_max_items(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    AIOS__UNUSED(ch);
    return must(c, count(f->v, AIOS__JSON_ARRAY, 0) <= aios__json_real(kv, 0), "the array has too many items");
}
static int check_min_properties(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    AIOS__UNUSED(ch);
    return must(c, count(f->v, AIOS__JSON_OBJECT, INFINITY) >= aios__json_real(kv, 0), "the object has too few properties");
}
static int check_max_properties(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    AIOS__UNUSED(ch);
    return must(c, count(f->v, AIOS__JSON_OBJECT, 0) <= aios__json_real(kv, 0), "the object has too many properties");
}

static int check_unique(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    AIOS__UNUSED(ch);
    if (aios__json_type(kv) != AIOS__JSON_TRUE || aios__json_type(f->v) != AIOS__JSON_ARRAY)
        return PASS;
    size_t n = aios__json_count(f->v);
    for (size_t i = 1; i < n; i++) {
        if (spend(c, i))
            return FAIL;
        for (size_t j = 0; j < i; j++)
            if (aios__json_equal(aios__json_at(f->v, i), aios__json_at(f->v, j)))
                return violation(c, "two items are equal", NULL);
    }
    return PASS;
}

static int has_all(checker *c, const aios__json *v, const aios__json *names)
{
    for (size_t i = 0; i < aios__json_count(names); i++) {
        const char *name = aios__json_str(aios__json_at(names, i), NULL);
        if (!aios__json_get(v, name) && violation(c, "a property is missing: ", name) == FAIL)
            return FAIL;
    }
    return PASS;
}

static int check_required(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    AIOS__UNUSED(ch);
    return aios__json_type(f->v) == AIOS__JSON_OBJECT ? has_all(c, f->v, kv) : PASS;
}

static int check_dependent(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    AIOS__UNUSED(ch);
    const char *key;
    const aios__json *names;
    if (aios__json_type(f->v) != AIOS__JSON_OBJECT)
        return PASS;
    for (void *it = aios__json_iter(kv, NULL, &key, &names); it; it = aios__json_iter(kv, it, &key, &names))
        if (aios__json_get(f->v, key) && has_all(c, f->v, names) == FAIL)
            return FAIL;
    return PASS;
}

/* ---- keywords with subschemas: called again after each child ---------------------------------------------------- */

static int child(checker *c, struct child *ch, const aios__json *schema, const aios__json *v)
{
    ch->sub = aios__schema_sub(c->s, schema);
    ch->v = v;
    return CHILD;
}

static int check_ref(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    AIOS__UNUSED(kv);
    if (f->i)
        return f->got;
    ch->sub = c->s->subs[f->sub].ref;
    ch->v = f->v;
    return CHILD;
}

static int check_all(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    if (f->got == FAIL)
        return FAIL;
    return f->i < aios__json_count(kv) ? child(c, ch, aios__json_at(kv, f->i), f->v) : PASS;
}

static int check_any(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    if (f->got == PASS)
        return PASS;
    ch->quiet = true;
    return f->i < aios__json_count(kv) ? child(c, ch, aios__json_at(kv, f->i), f->v) : violation(c, "the value fits no alternative", NULL);
}

static int check_one(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    f->n_ok += f->got == PASS;
    if (f->n_ok > 1)
        return violation(c, "the value fits more than one alternative", NULL);
    ch->quiet = true;
    if (f->i < aios__json_count(kv))
        return child(c, ch, aios__json_at(kv, f->i), f->v);
    return must(c, f->n_ok == 1, "the value fits no alternative");
}

static int check_not(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    if (f->i)
        return must(c, f->got == FAIL, "the value is of the excluded kind");
    ch->quiet = true;
    return child(c, ch, kv, f->v);
}

static int check_if(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    ch->quiet = !f->i;
    if (!f->i)
        return child(c, ch, kv, f->v);
    if (f->i > 1)
        return f->got;
    const aios__json *next = aios__schema_kw(c->s, f->sub, f->got == PASS ? AIOS__KW_THEN : AIOS__KW_ELSE);
    return next ? child(c, ch, next, f->v) : PASS;
}

static int check_properties(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    const aios__json *schema;
    if (f->got == FAIL)
        return FAIL;
    if (aios__json_type(f->v) != AIOS__JSON_OBJECT || (f->i && !f->it))
        return PASS;
    while ((f->it = aios__json_iter(kv, f->it, &ch->key, &schema))) {
        const aios__json *v = aios__json_get(f->v, ch->key);
        if (v)
            return child(c, ch, schema, v);
    }
    return PASS;
}

/* The at-th subschema of patternProperties that speaks of the name; NULL: no more. */
static const aios__json *by_pattern(checker *c, const aios__json *kv, const char *name, uint32_t at)
{
    const char *key;
    const aios__json *schema;
    for (void *it = kv ? aios__json_iter(kv, NULL, &key, &schema) : NULL; it; it = aios__json_iter(kv, it, &key, &schema))
        if (matches(c, c->s->subs[aios__schema_sub(c->s, schema)].rx, name, strlen(name)) && !at--)
            return schema;
    return NULL;
}

/* Members in their order, and of each all patterns that match: n_ok of them are done. */
static int check_patterns(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    const aios__json *v, *schema;
    if (f->got == FAIL)
        return FAIL;
    if (aios__json_type(f->v) != AIOS__JSON_OBJECT || (f->i && !f->it))
        return PASS;
    void *it = f->it ? f->it : aios__json_iter(f->v, NULL, &ch->key, &v);
    if (f->it) /* again the member under way */
        aios__json_member_at(it, &ch->key, &v);
    for (; it; it = aios__json_iter(f->v, it, &ch->key, &v), f->n_ok = 0) {
        schema = by_pattern(c, kv, ch->key, f->n_ok);
        if (!schema)
            continue;
        f->it = it;
        f->n_ok++;
        return child(c, ch, schema, v);
    }
    return PASS;
}

static int check_additional(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    const aios__json *v, *known = aios__schema_kw(c->s, f->sub, AIOS__KW_PROPERTIES);
    const aios__json *patterns = aios__schema_kw(c->s, f->sub, AIOS__KW_PATTERN_PROPERTIES);
    if (f->got == FAIL)
        return FAIL;
    if (aios__json_type(f->v) != AIOS__JSON_OBJECT || (f->i && !f->it))
        return PASS;
    while ((f->it = aios__json_iter(f->v, f->it, &ch->key, &v))) {
        if ((known && aios__json_get(known, ch->key)) || by_pattern(c, patterns, ch->key, 0))
            continue;
        if (aios__json_type(kv) != AIOS__JSON_FALSE)
            return child(c, ch, kv, v);
        if (violation(c, "a property is not allowed: ", ch->key) == FAIL)
            return FAIL;
    }
    return PASS;
}

static int check_dependents(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    const char *key;
    const aios__json *schema;
    if (f->got == FAIL)
        return FAIL;
    if (aios__json_type(f->v) != AIOS__JSON_OBJECT || (f->i && !f->it))
        return PASS;
    while ((f->it = aios__json_iter(kv, f->it, &key, &schema)))
        if (aios__json_get(f->v, key))
            return child(c, ch, schema, f->v);
    return PASS;
}

static int next_item(checker *c, frame *f, struct child *ch, const aios__json *schema, size_t at)
{
    ch->index = (uint32_t)at;
    return child(c, ch, schema, aios__json_at(f->v, at));
}

static int check_prefix(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    if (f->got == FAIL)
        return FAIL;
    if (aios__json_type(f->v) != AIOS__JSON_ARRAY || f->i >= aios__json_count(kv) || f->i >= aios__json_count(f->v))
        return PASS;
    return next_item(c, f, ch, aios__json_at(kv, f->i), f->i);
}

static int items_from(checker *c, frame *f, const aios__json *kv, struct child *ch, size_t first)
{
    if (f->got == FAIL)
        return FAIL;
    if (aios__json_type(f->v) != AIOS__JSON_ARRAY || first + f->i >= aios__json_count(f->v))
        return PASS;
    return next_item(c, f, ch, kv, first + f->i);
}

static int check_items(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    if (aios__json_type(kv) == AIOS__JSON_ARRAY) /* as older drafts have it */
        return check_prefix(c, f, kv, ch);
    return items_from(c, f, kv, ch, aios__json_count(aios__schema_kw(c->s, f->sub, AIOS__KW_PREFIX_ITEMS)));
}

static int check_more_items(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    const aios__json *items = aios__schema_kw(c->s, f->sub, AIOS__KW_ITEMS);
    return aios__json_type(items) == AIOS__JSON_ARRAY ? items_from(c, f, kv, ch, aios__json_count(items)) : PASS;
}

static int check_contains(checker *c, frame *f, const aios__json *kv, struct child *ch)
{
    f->n_ok += f->got == PASS;
    if (aios__json_type(f->v) != AIOS__JSON_ARRAY)
        return PASS;
    ch->quiet = true;
    if (f->i < aios__json_count(f->v))
        return next_item(c, f, ch, kv, f->i);
    double min = aios__json_real(aios__schema_kw(c->s, f->sub, AIOS__KW_MIN_CONTAINS), 1);
    double max = aios__json_real(aios__schema_kw(c->s, f->sub, AIOS__KW_MAX_CONTAINS), INFINITY);
    return must(c, f->n_ok >= min && f->n_ok <= max, "too few or too many items are of the kind that must be contained");
}

static keyword_fn *const checks[AIOS__KW_COUNT] = {
    [AIOS__KW_REF] = check_ref,
    [AIOS__KW_TYPE] = check_type,
    [AIOS__KW_ENUM] = check_enum,
    [AIOS__KW_CONST] = check_const,
    [AIOS__KW_MINIMUM] = check_minimum,
    [AIOS__KW_MAXIMUM] = check_maximum,
    [AIOS__KW_EXCLUSIVE_MINIMUM] = check_above,
    [AIOS__KW_EXCLUSIVE_MAXIMUM] = check_below,
    [AIOS__KW_MULTIPLE_OF] = check_multiple,
    [AIOS__KW_MIN_LENGTH] = check_min_length,
    [AIOS__KW_MAX_LENGTH] = check_max_length,
    [AIOS__KW_PATTERN] = check_pattern,
    [AIOS__KW_MIN_ITEMS] = check_min_items,
    [AIOS__KW_MAX_ITEMS] = check_max_items,
    [AIOS__KW_MIN_PROPERTIES] = check_min_properties,
    [AIOS__KW_MAX_PROPERTIES] = check_max_properties,
    [AIOS__KW_UNIQUE_ITEMS] = check_unique,
    [AIOS__KW_REQUIRED] = check_required,
    [AIOS__KW_DEPENDENT_REQUIRED] = check_dependent,
    [AIOS__KW_DEPENDENT_SCHEMAS] = check_dependents,
    [AIOS__KW_ALL_OF] = check_all,
    [AIOS__KW_ANY_OF] = check_any,
    [AIOS__KW_ONE_OF] = check_one,
    [AIOS__KW_NOT] = check_not,
    [AIOS__KW_IF] = check_if,
    [AIOS__KW_PROPERTIES] = check_properties,
    [AIOS__KW_PATTERN_PROPERTIES] = check_patterns,
    [AIOS__KW_ADDITIONAL] = check_additional,
    [AIOS__KW_PREFIX_ITEMS] = check_prefix,
    [AIOS__KW_ITEMS] = check_items,
    [AIOS__KW_ADDITIONAL_ITEMS] = check_more_items,
    [AIOS__KW_CONTAINS] = check_contains,
};

/* ---- the machine ------------------------------------------------------------------------------------------------ */

static int push(checker *c, const struct child *ch, bool quiet)
{
    c->rc = aios__grow(c->s->heap, &c->frames, &c->cap, (size_t)c->n + 1, MAX_FRAMES, sizeof *c->frames, "levels of schema and value",
                       c->err);
    if (!c->rc)
        c->frames[c->n++] = (frame){.sub = ch->sub, .v = ch->v, .key = ch->key, .index = ch->index, .got = GOT_NONE, .quiet = quiet};
    return c->rc;
}

/* One keyword of the top frame, or one child of it. CHILD: ch is to be checked next. */
static int advance(checker *c, frame *f, struct child *ch)
{
    const aios__sub *sub = &c->s->subs[f->sub];
    if (aios__json_type(sub->json) == AIOS__JSON_FALSE)
        return violation(c, "nothing is allowed here", NULL);
    while (f->k < sub->n) {
        const aios__kwval *kv = &c->s->kws[sub->first + f->k];
        keyword_fn *fn = f->part && kv->kw != c->only ? NULL : checks[kv->kw];
        *ch = (struct child){.index = AIOS__NONE};
        int r = fn ? fn(c, f, kv->v, ch) : PASS;
        if (r != PASS)
            return r;
        f->k++;
        f->i = f->n_ok = 0;
        f->got = GOT_NONE;
        f->it = NULL;
    }
    return PASS;
}

static int run(checker *c, uint32_t sub, const aios__json *v)
{
    struct child ch = {.sub = sub, .v = v, .index = AIOS__NONE};
    int r = PASS;
    if (push(c, &ch, false))
        return c->rc;
    c->frames[0].part = c->only != AIOS__KW_COUNT;
    while (c->n && !spend(c, 1)) {
        frame *f = &c->frames[c->n - 1];
        r = advance(c, f, &ch);
        if (r == CHILD) {
            f->i++;
            push(c, &ch, f->quiet || ch.quiet);
            continue;
        }
        if (--c->n)
            c->frames[c->n - 1].got = r;
    }
    return c->rc;
}

int aios__schema_check_at(const aios__schema *s, uint32_t sub, enum aios__kw only, const aios__json *v, aios_error *err)
{
    checker c = {.s = s, .only = only, .err = err};
    int rc = run(&c, sub, v);
    aios__free(s->heap, c.frames);
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
    aios__free(s->heap, c.frames);
    if (!rc && c.n_told)
        rc = aios__fail_need(err, AIOS_ESCHEMA, c.n_told, 0, "the value breaks its schema in %llu places", (unsigned long long)c.n_told);
    return rc;
}

int aios_schema_check(aios_ctx *ctx, const char *schema, size_t n_schema, const char *json, size_t n_json, aios_error *err)
{
    return aios_schema_violations(ctx, schema, n_schema, json, n_json, NULL, NULL, err);
}

int aios_schema_violations(aios_ctx *ctx, const char *schema, size_t n_schema, const char *json, size_t n_json, aios_violation_fn *fn, void *user,
                           aios_error *err)
{
    aios__schema *s = NULL;
    aios__json_doc *doc = NULL;
    if (!ctx || !schema || !json)
        return aios__fail(err, AIOS_EINVAL, "checking a value: ctx, schema and json must not be NULL");
    int rc = aios__text_in(schema, n_schema, &n_schema, "schema", err);
    if (!rc)
        rc = aios__text_in(json, n_json, &n_json, "json", err);
    if (!rc)
        rc = aios__schema_new(ctx, schema, n_schema, &s, err);
    if (!rc)
        rc = aios__json_parse(aios__ctx_heap(ctx), json, n_json, &doc, err);
    if (!rc)
        rc = fn ? check_all_of(s, aios__json_root(doc), fn, user, err) : aios__schema_check(s, aios__json_root(doc), err);
    aios__json_free(doc);
    aios__schema_free(s);
    return rc;
}
