/* SPDX-License-Identifier: Apache-2.0 */
/* JSON schema to program. A node stands for a conjunction: a sorted set of parts of subschemas that must hold together;
   equal conjunctions share a node, which is what ends recursion. Alternatives are distributed over the rest. */
#include "llm/grammar_schema.h"

#include <math.h>
#include <stdlib.h>

#define MAX_PARTS 2048u
#define ANY_LEVELS 8u
#define COUNTED_MAX 256u /* lengths up to it become part of a pattern */
#define INT_DFLT INT64_C(99999999999999999)

enum { OWN = 1, ANY_OF = 2, ONE_OF = 3 };
static const int part_of[] = {AIOS__PART_ALL, AIOS__PART_OWN, AIOS__PART_ANY_OF, AIOS__PART_ONE_OF};

int aios__comp_fail(comp *c, uint32_t sub, enum aios__kw kw, const char *why, aios_error *err)
{
    char path[200];
    return aios__fail(err, AIOS_ESCHEMA, "schema %s: \"%s\" %s", aios__schema_path(c->s, sub, path, sizeof path), aios__kw_name(kw), why);
}

/* ---- sets of parts ---------------------------------------------------------------------------------------------- */

void aios__comp_clear(comp *c)
{
    c->n_part = c->n_queue = 0;
    c->never = false;
}

static int add_part(comp *c, uint32_t part, aios_error *err)
{
    for (uint32_t i = 0; i < c->n_part; i++)
        if (c->part[i] == part)
            return AIOS_OK;
    int rc = aios__grow(c->g->heap, &c->part, &c->cap_part, (size_t)c->n_part + 1, MAX_PARTS, sizeof *c->part,
                        "schemas that must hold together", err);
    if (!rc)
        c->part[c->n_part++] = part;
    return rc;
}

static int queue(comp *c, uint32_t sub, aios_error *err)
{
    for (uint32_t i = 0; i < c->n_queue; i++)
        if (c->queue[i] == sub)
            return AIOS_OK;
    int rc = aios__grow(c->g->heap, &c->queue, &c->cap_queue, (size_t)c->n_queue + 1, MAX_PARTS, sizeof *c->queue,
                        "schemas that must hold together", err);
    if (!rc)
        c->queue[c->n_queue++] = sub;
    return rc;
}

static int add_keyword(comp *c, uint32_t sub, const aios__kwval *kv, aios_error *err)
{
    int rc = AIOS_OK;
    switch (kv->kw) {
    case AIOS__KW_DEFS:
    case AIOS__KW_DEFINITIONS:
        return AIOS_OK;
    case AIOS__KW_REF:
        return queue(c, c->s->subs[sub].ref, err);
    case AIOS__KW_ALL_OF:
        for (size_t i = 0; !rc && i < aios__json_count(kv->v); i++)
            rc = queue(c, aios__schema_sub(c->s, aios__json_at(kv->v, i)), err);
        return rc;
    case AIOS__KW_ANY_OF:
        return add_part(c, sub << 2 | ANY_OF, err);
    case AIOS__KW_ONE_OF:
        return add_part(c, sub << 2 | ONE_OF, err);
    default:
        return add_part(c, sub << 2 | OWN, err);
    }
}

int aios__comp_add(comp *c, const aios__json *schema, aios_error *err)
{
    uint32_t from = c->n_queue;
    int rc = queue(c, aios__schema_sub(c->s, schema), err);
    for (uint32_t i = from; !rc && i < c->n_queue; i++) {
        const aios__sub *sub = &c->s->subs[c->queue[i]];
        if (aios__json_type(sub->json) == AIOS__JSON_FALSE)
            c->never = true;
        for (uint32_t k = 0; !rc && k < sub->n; k++)
            rc = add_keyword(c, c->queue[i], &c->s->kws[sub->first + k], err);
    }
    return rc;
}

/* ---- nodes of sets ---------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    uint32_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static uint32_t hash_parts(const uint32_t *p, uint32_t n)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (uint32_t i = 0; i < n; i++)
        h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    return (uint32_t)(h ^ h >> 32);
}

static uint32_t slot(const comp *c, const uint32_t *p, uint32_t n)
{
    uint32_t i = hash_parts(p, n) & (c->map_size - 1);
    for (; c->map[i]; i = (i + 1) & (c->map_size - 1)) {
        const conj *k = &c->conjs[c->map[i] - 1];
        if (k->n == n && !memcmp(c->pool + k->at, p, n * sizeof *p))
            break;
    }
    return i;
}

static int map_grow(comp *c, aios_error *err)
{
    if (c->n_conjs * 2 < c->map_size)
        return AIOS_OK;
    uint32_t size = c->map_size ? c->map_size * 2 : 64;
    uint32_t *map = aios__alloc_array(c->g->heap, AIOS_MEM_SCRATCH, size, sizeof *map, err);
    if (!map)
        return aios__oom(err);
    aios__free(c->g->heap, c->map);
    c->map = map;
    c->map_size = size;
    for (uint32_t i = 0; i < c->n_conjs; i++)
        c->map[slot(c, c->pool + c->conjs[i].at, c->conjs[i].n)] = i + 1;
    return AIOS_OK;
}

int aios__comp_node(comp *c, uint32_t *node, aios_error *err)
{
    if (c->never) {
        *node = c->never_node;
        return AIOS_OK;
    }
    if (!c->n_part) {
        *node = c->any[ANY_LEVELS];
        return AIOS_OK;
    }
    qsort(c->part, c->n_part, sizeof *c->part, by_value);
    int rc = map_grow(c, err);
    if (rc)
        return rc;
    uint32_t i = slot(c, c->part, c->n_part);
    if (c->map[i]) {
        *node = c->conjs[c->map[i] - 1].node;
        return AIOS_OK;
    }
    rc = aios__grow(c->g->heap, &c->pool, &c->cap_pool, (size_t)c->n_pool + c->n_part, AIOS__G_WORDS, sizeof *c->pool, "parts of schemas", err);
    if (!rc)
        rc = aios__grow(c->g->heap, &c->conjs, &c->cap_conjs, (size_t)c->n_conjs + 1, AIOS__G_NODES, sizeof *c->conjs,
                        "combinations of schemas", err);
    if (!rc)
        rc = aios__grammar_node(c->g, AIOS__G_ALT, node, err);
    if (rc)
        return rc;
    memcpy(c->pool + c->n_pool, c->part, c->n_part * sizeof *c->part);
    c->conjs[c->n_conjs] = (conj){c->n_pool, c->n_part, *node};
    c->n_pool += c->n_part;
    c->map[i] = ++c->n_conjs;
    return AIOS_OK;
}

/* ---- literals --------------------------------------------------------------------------------------------------- */

typedef struct literals {
    uint32_t *e, n, cap; /* 3 words each */
    aios__buf text;
} literals;

static int add_literal(comp *c, literals *l, aios_error *err)
{
    uint32_t at;
    int rc = aios__grammar_bytes(c->g, l->text.p, l->text.n, &at, err);
    if (!rc)
        rc = aios__grow(c->g->heap, &l->e, &l->cap, (size_t)l->n + 3, AIOS__G_WORDS, sizeof *l->e, "listed values", err);
    if (rc)
        return rc;
    l->e[l->n++] = at;
    l->e[l->n++] = (uint32_t)l->text.n;
    l->e[l->n++] = AIOS__G_NONE;
    return AIOS_OK;
}

static int fits_all(const comp *c, const conj *k, const aios__json *v, aios_error *err)
{
    aios_error why = AIOS_INIT(aios_error);
    for (uint32_t i = 0; i < k->n; i++) {
        uint32_t part = c->pool[k->at + i];
        int rc = aios__schema_check_at(c->s, part >> 2, part_of[part & 3], v, &why);
        if (rc)
            return rc == AIOS_ESCHEMA ? rc : aios__error_copy(err, &why);
    }
    return AIOS_OK;
}

static int add_value(comp *c, const conj *k, literals *l, const aios__json *v, aios_error *err)
{
    int rc = fits_all(c, k, v, err);
    if (rc)
        return rc == AIOS_ESCHEMA ? AIOS_OK : rc;
    aios__buf_clear(&l->text);
    rc = aios__json_write(v, &l->text, err);
    return rc ? rc : add_literal(c, l, err);
}

static int make_set(comp *c, literals *l, uint32_t *node, aios_error *err)
{
    uint32_t at;
    int rc = aios__grammar_words(c->g, l->e, l->n, &at, err);
    if (!rc)
        rc = aios__grammar_sort(c->g, at, l->n / 3, err);
    if (!rc)
        rc = aios__grammar_node(c->g, AIOS__G_SET, node, err);
    if (rc)
        return rc;
    uint32_t *e = c->g->words + at, kept = 0;
    for (uint32_t i = 0; i < l->n; i += 3) {
        uint32_t *y = kept ? e + 3 * ((size_t)kept - 1) : NULL;
        if (!y || y[1] != e[i + 1] || memcmp(c->g->bytes + y[0], c->g->bytes + e[i], y[1]))
            memmove(e + 3 * (size_t)kept++, e + i, 3 * sizeof *e);
    }
    c->g->nodes[*node].a = at;
    c->g->nodes[*node].b = kept;
    return AIOS_OK;
}

static void literals_init(comp *c, literals *l)
{
    memset(l, 0, sizeof *l);
    aios__buf_init(&l->text, c->g->heap, AIOS_MEM_SCRATCH, 0);
}

static void literals_free(comp *c, literals *l)
{
    aios__buf_free(&l->text);
    aios__free(c->g->heap, l->e);
}

/* Listed values: exactly those that satisfy everything else too. */
static int make_enum(comp *c, const conj *k, const aios__json *list, const aios__json *value, uint32_t *node, aios_error *err)
{
    literals l;
    literals_init(c, &l);
    int rc = value ? add_value(c, k, &l, value, err) : AIOS_OK;
    for (size_t i = 0; !value && !rc && i < aios__json_count(list); i++)
        rc = add_value(c, k, &l, aios__json_at(list, i), err);
    if (!rc)
        rc = make_set(c, &l, node, err);
    literals_free(c, &l);
    return rc;
}

static int make_words(comp *c, uint32_t types, uint32_t *node, aios_error *err)
{
    static const struct {
        uint32_t type;
        const char *text;
    } words[] = {{AIOS__T_BOOLEAN, "false"}, {AIOS__T_NULL, "null"}, {AIOS__T_BOOLEAN, "true"}};
    literals l;
    literals_init(c, &l);
    int rc = AIOS_OK;
    for (size_t i = 0; !rc && i < AIOS__ARRAY_LEN(words); i++) {
        if (!(types & words[i].type))
            continue;
        aios__buf_clear(&l.text);
        rc = aios__buf_adds(&l.text, words[i].text, err);
        if (!rc)
            rc = add_literal(c, &l, err);
    }
    if (!rc)
        rc = make_set(c, &l, node, err);
    literals_free(c, &l);
    return rc;
}

/* ---- scalars ---------------------------------------------------------------------------------------------------- */

/* The k-th own subschema of a conjunction, or NONE. */
uint32_t aios__comp_own(const comp *c, const conj *k, uint32_t i)
{
    uint32_t part = c->pool[k->at + i];
    return (part & 3) == OWN ? part >> 2 : AIOS__NONE;
}

static uint64_t to_count(const aios__json *v)
{
    double d = aios__json_real(v, 0);
    return d >= 1e18 ? UINT64_C(1000000000000000000) : (uint64_t)d;
}

void aios__comp_counts(const comp *c, const conj *k, enum aios__kw min_kw, enum aios__kw max_kw, uint64_t *min, uint64_t *max)
{
    *min = 0;
    *max = UINT64_C(1000000000000000000);
    for (uint32_t i = 0; i < k->n; i++) {
        uint32_t sub = aios__comp_own(c, k, i);
        const aios__json *lo = sub == AIOS__NONE ? NULL : aios__schema_kw(c->s, sub, min_kw);
        const aios__json *hi = sub == AIOS__NONE ? NULL : aios__schema_kw(c->s, sub, max_kw);
        if (lo && to_count(lo) > *min)
            *min = to_count(lo);
        if (hi && to_count(hi) < *max)
            *max = to_count(hi);
    }
}

/* Texts of all patterns of a conjunction; NOTHING if it has none. *sub: a subschema that has one. */
static int all_patterns(comp *c, const conj *k, uint32_t *rx, uint32_t *sub, aios_error *err)
{
    int rc = AIOS_OK;
    *rx = AIOS__RX_NOTHING;
    for (uint32_t i = 0; !rc && i < k->n; i++) {
        uint32_t own = aios__comp_own(c, k, i);
        if (own == AIOS__NONE || !aios__schema_kw(c->s, own, AIOS__KW_PATTERN))
            continue;
        uint32_t both[2] = {aios__schema_pattern(c->s, own), *rx};
        rc = aios__rx_and(c->g->rx, both, *sub == AIOS__NONE ? 1 : 2, rx, err);
        *sub = own;
    }
    return rc;
}

/*
 * The pattern's texts of characters that a string can say without \u, and, if it is short, of its length: one expression, so that no text
 * runs into a bound before it fits the pattern.
 */
static int bound_pattern(aios_grammar *g, aios__gnode *n, aios_error *err)
{
    static const uint32_t sayable[] = {8, 10, 12, 13, 32, 0x10ffff};
    uint32_t both[2] = {n->a}, chars, min = n->min <= COUNTED_MAX ? (uint32_t)n->min : 0;
    int rc = aios__rx_chars(g->rx, sayable, AIOS__ARRAY_LEN(sayable) / 2, &chars, err);
    rc = rc ? rc : aios__rx_repeat(g->rx, chars, 0, AIOS__RX_ENDLESS, &g->any_text, err);
    rc = rc ? rc : aios__rx_repeat(g->rx, chars, min, n->max <= COUNTED_MAX ? (uint32_t)n->max : AIOS__RX_ENDLESS, &both[1], err);
    return rc ? rc : aios__rx_and(g->rx, both, 2, &n->a, err);
}

static int make_string(comp *c, const conj *k, uint32_t *node, aios_error *err)
{
    uint32_t rx, sub = AIOS__NONE;
    bool exists = true;
    int rc = aios__grammar_node(c->g, AIOS__G_STR, node, err);
    rc = rc ? rc : all_patterns(c, k, &rx, &sub, err);
    if (rc)
        return rc;
    aios__gnode *n = &c->g->nodes[*node];
    aios__comp_counts(c, k, AIOS__KW_MIN_LENGTH, AIOS__KW_MAX_LENGTH, &n->min, &n->max);
    n->a = rx;
    if (sub == AIOS__NONE || n->min > n->max)
        return AIOS_OK;
    aios_error why = AIOS_INIT(aios_error);
    rc = bound_pattern(c->g, n, &why);
    rc = rc ? rc : aios__rx_exists(c->g->rx, n->a, &exists, &why);
    if (!rc && !exists)
        *node = c->never_node;
    return rc == AIOS_ELIMIT ? aios__comp_fail(c, sub, AIOS__KW_PATTERN, why.msg, err) : aios__error_copy(err, &why);
}

struct range {
    double lo, hi;
    bool lo_open, hi_open;
    int64_t ilo, ihi; /* the same for integers */
    bool has_lo, has_hi, none;
    uint64_t mul;
    bool whole; /* some multipleOf makes every number an integer */
    uint32_t lo_sub, hi_sub;
};

static void int_lower(struct range *r, const aios__json *v, bool open)
{
    double d = ceil(aios__json_real(v, 0));
    int64_t x;
    if (aios__json_type(v) == AIOS__JSON_INT) {
        x = aios__json_int(v, 0);
    } else if (d >= 9e18) {
        r->none = true;
        return;
    } else {
        x = d <= -9e18 ? INT64_MIN + 1 : (int64_t)d;
        open = open && d == aios__json_real(v, 0);
    }
    if (open && x == INT64_MAX)
        r->none = true;
    else if (!r->has_lo || x + open > r->ilo)
        r->ilo = x + open;
    r->has_lo = true;
}

static void int_upper(struct range *r, const aios__json *v, bool open)
{
    double d = floor(aios__json_real(v, 0));
    int64_t x;
    if (aios__json_type(v) == AIOS__JSON_INT) {
        x = aios__json_int(v, 0);
    } else if (d <= -9e18) {
        r->none = true;
        return;
    } else {
        x = d >= 9e18 ? INT64_MAX : (int64_t)d;
        open = open && d == aios__json_real(v, 0);
    }
    if (open && x == INT64_MIN)
        r->none = true;
    else if (!r->has_hi || x - open < r->ihi)
        r->ihi = x - open;
    r->has_hi = true;
}

static void lower(struct range *r, const aios__json *v, bool open, uint32_t sub)
{
    double d = aios__json_real(v, 0);
    if (!v)
        return;
    int_lower(r, v, open);
    if (d > r->lo || (d == r->lo && open)) {
        r->lo = d;
        r->lo_open = open;
        r->lo_sub = sub;
    }
}

static void upper(struct range *r, const aios__json *v, bool open, uint32_t sub)
{
    double d = aios__json_real(v, 0);
    if (!v)
        return;
    int_upper(r, v, open);
    if (d < r->hi || (d == r->hi && open)) {
        r->hi = d;
        r->hi_open = open;
        r->hi_sub = sub;
    }
}

static int multiple(comp *c, struct range *r, const aios__json *v, bool ints, uint32_t sub, aios_error *err)
{
    double d = aios__json_real(v, 1), inverse = 1 / d;
    if (!v)
        return AIOS_OK;
    if (ints && d < 1 && floor(inverse) == inverse)
        return AIOS_OK; /* every integer is a multiple */
    if (floor(d) != d || d >= 1e17)
        return aios__comp_fail(c, sub, AIOS__KW_MULTIPLE_OF, "with a fraction cannot be enforced while decoding: use an integer", err);
    uint64_t a = r->mul, b = (uint64_t)d;
    while (b) {
        uint64_t t = a % b;
        a = b;
        b = t;
    }
    uint64_t factor = (uint64_t)d / a;
    if (r->mul > UINT64_C(1000000000000000000) / factor)
        return aios__comp_fail(c, sub, AIOS__KW_MULTIPLE_OF, "has too large a common multiple with another one", err);
    r->mul *= factor;
    r->whole = true;
    return AIOS_OK;
}

static int read_range(comp *c, const conj *k, bool ints, struct range *r, aios_error *err)
{
    *r = (struct range){.lo = -INFINITY, .hi = INFINITY, .mul = 1};
    int rc = AIOS_OK;
    for (uint32_t i = 0; !rc && i < k->n; i++) {
        uint32_t sub = aios__comp_own(c, k, i);
        if (sub == AIOS__NONE)
            continue;
        lower(r, aios__schema_kw(c->s, sub, AIOS__KW_MINIMUM), false, sub);
        lower(r, aios__schema_kw(c->s, sub, AIOS__KW_EXCLUSIVE_MINIMUM), true, sub);
        upper(r, aios__schema_kw(c->s, sub, AIOS__KW_MAXIMUM), false, sub);
        upper(r, aios__schema_kw(c->s, sub, AIOS__KW_EXCLUSIVE_MAXIMUM), true, sub);
        rc = multiple(c, r, aios__schema_kw(c->s, sub, AIOS__KW_MULTIPLE_OF), ints, sub, err);
    }
    return rc;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b && a < 0);
}

static int make_int(comp *c, const struct range *r, uint32_t *node, aios_error *err)
{
    int64_t lo = r->has_lo ? r->ilo : -INT_DFLT, hi = r->has_hi ? r->ihi : INT_DFLT;
    if (!r->has_hi && lo > hi)
        hi = INT64_MAX;
    if (!r->has_lo && hi < lo)
        lo = INT64_MIN + 1;
    lo = lo == INT64_MIN ? INT64_MIN + 1 : lo;
    bool some = !r->none && lo <= hi && (r->mul == 1 || floor_div(hi, (int64_t)r->mul) * (int64_t)r->mul >= lo);
    if (!some) {
        *node = c->never_node;
        return AIOS_OK;
    }
    int rc = aios__grow(c->g->heap, &c->g->ints, &c->g->cap_ints, (size_t)c->g->n_ints + 1, AIOS__G_NODES, sizeof *c->g->ints, "integers", err);
    if (!rc)
        rc = aios__grammar_node(c->g, AIOS__G_INT, node, err);
    if (rc)
        return rc;
    c->g->ints[c->g->n_ints] = (aios__gint){lo, hi, r->mul};
    c->g->nodes[*node].a = c->g->n_ints++;
    return AIOS_OK;
}

static int make_number(comp *c, const conj *k, bool ints, uint32_t *node, aios_error *err)
{
    struct range r;
    aios__gnum num;
    int rc = read_range(c, k, ints, &r, err);
    if (rc)
        return rc;
    if (ints || r.whole)
        return make_int(c, &r, node, err);
    if (!r.has_lo && !r.has_hi) {
        rc = aios__grammar_node(c->g, AIOS__G_NUM, node, err);
        if (!rc)
            c->g->nodes[*node].a = AIOS__G_NONE;
        return rc;
    }
    if (!aios__gnum_make(r.lo, r.lo_open, r.hi, r.hi_open, &num))
        return r.has_lo ? aios__comp_fail(c, r.lo_sub, r.lo_open ? AIOS__KW_EXCLUSIVE_MINIMUM : AIOS__KW_MINIMUM,
                                          "has too many digits to be enforced while decoding", err)
                        : aios__comp_fail(c, r.hi_sub, r.hi_open ? AIOS__KW_EXCLUSIVE_MAXIMUM : AIOS__KW_MAXIMUM,
                                          "has too many digits to be enforced while decoding", err);
    if (!num.side[0].any && !num.side[1].any) {
        *node = c->never_node;
        return AIOS_OK;
    }
    rc = aios__grow(c->g->heap, &c->g->nums, &c->g->cap_nums, (size_t)c->g->n_nums + 1, AIOS__G_NODES, sizeof *c->g->nums, "numbers", err);
    if (!rc)
        rc = aios__grammar_node(c->g, AIOS__G_NUM, node, err);
    if (rc)
        return rc;
    c->g->nums[c->g->n_nums] = num;
    c->g->nodes[*node].a = c->g->n_nums++;
    return AIOS_OK;
}

/* ---- a conjunction ---------------------------------------------------------------------------------------------- */

/* Keywords that no walk enforces, with the types of values that they speak of. */
static int refuse(comp *c, uint32_t sub, uint32_t types, aios_error *err)
{
    static const struct {
        enum aios__kw kw;
        uint32_t types;
    } rows[] = {
        {AIOS__KW_NOT, AIOS__T_ALL},
        {AIOS__KW_THEN, AIOS__T_ALL},
        {AIOS__KW_ELSE, AIOS__T_ALL},
        {AIOS__KW_CONTAINS, AIOS__T_ARRAY},
        {AIOS__KW_PATTERN_PROPERTIES, AIOS__T_OBJECT},
        {AIOS__KW_UNIQUE_ITEMS, AIOS__T_ARRAY},
        {AIOS__KW_DEPENDENT_REQUIRED, AIOS__T_OBJECT},
        {AIOS__KW_DEPENDENT_SCHEMAS, AIOS__T_OBJECT},
    };
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        const aios__json *v = aios__schema_kw(c->s, sub, rows[i].kw);
        bool idle = rows[i].kw == AIOS__KW_UNIQUE_ITEMS && aios__json_type(v) == AIOS__JSON_FALSE;
        if ((rows[i].kw == AIOS__KW_THEN || rows[i].kw == AIOS__KW_ELSE) && !aios__schema_kw(c->s, sub, AIOS__KW_IF))
            idle = true;
        if (v && !idle && (types & rows[i].types))
            return aios__comp_fail(c, sub, rows[i].kw, "cannot be enforced while decoding: leave it out or say it with other keywords", err);
    }
    return AIOS_OK;
}

static int make_typed(comp *c, const conj *k, uint32_t node, aios_error *err)
{
    uint32_t types = AIOS__T_ALL, list[6], n = 0;
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < k->n; i++) {
        const aios__json *t = aios__schema_kw(c->s, aios__comp_own(c, k, i), AIOS__KW_TYPE);
        types &= t ? aios__schema_types(t) : AIOS__T_ALL;
    }
    for (uint32_t i = 0; !rc && i < k->n; i++)
        rc = refuse(c, aios__comp_own(c, k, i), types, err);
    if (!rc && (types & AIOS__T_STRING))
        rc = make_string(c, k, &list[n++], err);
    if (!rc && (types & AIOS__T_INTEGER))
        rc = make_number(c, k, !(types & AIOS__T_NUMBER), &list[n++], err);
    if (!rc && (types & AIOS__T_OBJECT))
        rc = aios__comp_object(c, k, &list[n++], err);
    if (!rc && (types & AIOS__T_ARRAY))
        rc = aios__comp_array(c, k, &list[n++], err);
    if (!rc && (types & (AIOS__T_NULL | AIOS__T_BOOLEAN)))
        rc = make_words(c, types, &list[n++], err);
    uint32_t at;
    if (!rc)
        rc = aios__grammar_words(c->g, list, n, &at, err);
    if (rc)
        return rc;
    c->g->nodes[node].a = at;
    c->g->nodes[node].b = n;
    return AIOS_OK;
}

/* One node for each alternative of part `at`, joined with all other parts. */
static int make_choice(comp *c, const conj *k, uint32_t at, uint32_t node, aios_error *err)
{
    uint32_t part = c->pool[k->at + at], first;
    const aios__json *list = aios__schema_kw(c->s, part >> 2, (part & 3) == ANY_OF ? AIOS__KW_ANY_OF : AIOS__KW_ONE_OF);
    size_t n = aios__json_count(list);
    uint32_t *nodes = aios__alloc_array(c->g->heap, AIOS_MEM_SCRATCH, n, sizeof *nodes, err);
    if (!nodes)
        return aios__oom(err);
    int rc = AIOS_OK;
    for (size_t i = 0; !rc && i < n; i++) {
        aios__comp_clear(c);
        for (uint32_t j = 0; !rc && j < k->n; j++)
            rc = j == at ? AIOS_OK : add_part(c, c->pool[k->at + j], err);
        if (!rc)
            rc = aios__comp_add(c, aios__json_at(list, i), err);
        if (!rc)
            rc = aios__comp_node(c, &nodes[i], err);
    }
    if (!rc)
        rc = aios__grammar_words(c->g, nodes, n, &first, err);
    aios__free(c->g->heap, nodes);
    if (rc)
        return rc;
    c->g->nodes[node].a = first;
    c->g->nodes[node].b = (uint32_t)n;
    return AIOS_OK;
}

static int fill_one(comp *c, uint32_t i, aios_error *err)
{
    conj k = c->conjs[i];
    uint32_t choice = AIOS__NONE, set;
    for (uint32_t j = 0; j < k.n; j++) {
        uint32_t sub = aios__comp_own(c, &k, j);
        const aios__json *list = sub == AIOS__NONE ? NULL : aios__schema_kw(c->s, sub, AIOS__KW_ENUM);
        const aios__json *value = sub == AIOS__NONE ? NULL : aios__schema_kw(c->s, sub, AIOS__KW_CONST);
        if (list || value) {
            int rc = make_enum(c, &k, list, value, &set, err);
            uint32_t at;
            if (!rc)
                rc = aios__grammar_words(c->g, &set, 1, &at, err);
            if (rc)
                return rc;
            c->g->nodes[k.node].a = at;
            c->g->nodes[k.node].b = 1;
            return AIOS_OK;
        }
        if (sub == AIOS__NONE)
            choice = j;
    }
    return choice != AIOS__NONE ? make_choice(c, &k, choice, k.node, err) : make_typed(c, &k, k.node, err);
}

/* ---- any value -------------------------------------------------------------------------------------------------- */

static int make_any(comp *c, aios_error *err)
{
    uint32_t list[5] = {0};
    int rc = aios__grammar_node(c->g, AIOS__G_STR, &list[0], err);
    if (!rc)
        rc = aios__grammar_node(c->g, AIOS__G_NUM, &list[1], err);
    if (!rc)
        rc = make_words(c, AIOS__T_ALL, &list[2], err);
    if (rc)
        return rc;
    c->g->nodes[list[0]].max = UINT64_C(1000000000000000000);
    c->g->nodes[list[1]].a = AIOS__G_NONE;
    rc = aios__grammar_list(c->g, AIOS__G_ALT, list, 3, &c->any[0], err);
    for (uint32_t i = 1; !rc && i <= ANY_LEVELS; i++) {
        aios__gobj o = {.extra = c->any[i - 1], .max = UINT64_C(1000000000000000000)};
        rc = aios__comp_obj(c, &o, &list[3], err);
        if (!rc)
            rc = aios__grammar_node(c->g, AIOS__G_ARR, &list[4], err);
        if (rc)
            break;
        c->g->nodes[list[4]].c = c->any[i - 1];
        c->g->nodes[list[4]].max = UINT64_C(1000000000000000000);
        rc = aios__grammar_list(c->g, AIOS__G_ALT, list, 5, &c->any[i], err);
    }
    if (!rc)
        rc = aios__grammar_list(c->g, AIOS__G_ALT, NULL, 0, &c->never_node, err);
    return rc;
}

static int compile(comp *c, uint32_t *root, aios_error *err)
{
    int rc = make_any(c, err);
    if (!rc)
        rc = aios__comp_add(c, c->s->subs[0].json, err);
    if (!rc)
        rc = aios__comp_node(c, root, err);
    for (uint32_t i = 0; !rc && i < c->n_conjs; i++) {
        c->at_root = !i;
        rc = fill_one(c, i, err);
    }
    return rc;
}

int aios__grammar_schema(aios_grammar *g, const char *s, size_t n, bool closed, uint32_t *root, aios_error *err)
{
    comp c = {.g = g, .closed = closed};
    aios__schema *schema = NULL;
    int rc = aios__schema_new_in(g->ctx, &g->rx, s, n, &schema, err);
    c.s = schema;
    if (!rc)
        rc = compile(&c, root, err);
    aios__schema_free(schema);
    aios__free(g->heap, c.part);
    aios__free(g->heap, c.queue);
    aios__free(g->heap, c.pool);
    aios__free(g->heap, c.conjs);
    aios__free(g->heap, c.map);
    return rc;
}
