/* SPDX-License-Identifier: Apache-2.0 */
/* Rules and their terms. */
#include "grammar/rules.h"

#include <stdarg.h>
#include <stdio.h>

int aios__rules_init(aios__rules *r, aios_grammar *g, const char *text, size_t n, aios_error *err)
{
    *r = (aios__rules){.g = g, .heap = g->heap, .text = text, .n_text = n};
    if (n > AIOS__RULES_TEXT)
        return aios__fail_need(err, AIOS_ELIMIT, AIOS__RULES_TEXT, n, "a grammar of %zu bytes is larger than the %zu allowed", n, AIOS__RULES_TEXT);
    int rc = g->rx ? AIOS_OK : aios__rx_new(g->ctx, &g->rx, err);
    rc = rc ? rc : aios__grow(r->heap, &r->terms, &r->cap_terms, 16, AIOS__RULES_TERMS, sizeof *r->terms, "parts of rules", err);
    if (rc)
        return rc;
    r->terms[0] = (aios__term){0};
    r->n_terms = 1;
    return AIOS_OK;
}

void aios__rules_free(aios__rules *r)
{
    aios__rules_left_free(r);
    aios__free(r->heap, r->terms);
    aios__free(r->heap, r->rules);
    aios__free(r->heap, r->list);
    aios__free(r->heap, r->map);
    aios__free(r->heap, r->todo);
    aios__free(r->heap, r->row);
}

int aios__rules_fail(const aios__rules *r, int code, size_t at, aios_error *err, const char *fmt, ...)
{
    char what[400];
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at && i < r->n_text; i++) {
        uint8_t c = (uint8_t)r->text[i];
        line += c == '\n';
        column = c == '\n' ? 1 : column + ((c & 0xc0) != 0x80);
    }
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return aios__fail_need(err, code, at, r->n_text, "line %zu, column %zu: %s", line, column, what);
}

/* ---- terms -------------------------------------------------------------------------------------------------------- */

static int add(aios__rules *r, aios__term t, uint32_t *out, aios_error *err)
{
    int rc = aios__grow(r->heap, &r->terms, &r->cap_terms, (size_t)r->n_terms + 1, AIOS__RULES_TERMS, sizeof *r->terms, "parts of rules", err);
    if (rc)
        return rc;
    *out = r->n_terms++;
    t.flags |= r->flags;
    r->terms[*out] = t;
    return AIOS_OK;
}

int aios__rules_lit(aios__rules *r, const char *s, size_t n, uint32_t *out, aios_error *err)
{
    uint32_t at;
    int rc = aios__grammar_bytes(r->g, s, n, &at, err);
    return rc ? rc : add(r, (aios__term){.kind = AIOS__T_LIT, .a = at, .b = (uint32_t)n}, out, err);
}

int aios__rules_rx(aios__rules *r, uint32_t expr, uint32_t weight, uint32_t *out, aios_error *err)
{
    return add(r, (aios__term){.kind = AIOS__T_RX, .expr = expr, .weight = weight, .size = weight}, out, err);
}

int aios__rules_node(aios__rules *r, uint32_t node, uint32_t *out, aios_error *err)
{
    r->mixed = true;
    return add(r, (aios__term){.kind = AIOS__T_NODE, .a = node}, out, err);
}

int aios__rules_rep(aios__rules *r, uint32_t t, uint32_t min, uint32_t max, uint32_t *out, aios_error *err)
{
    int rc = add(r, (aios__term){.kind = AIOS__T_REP, .a = t, .min = min, .max = max}, out, err);
    if (!rc)
        r->terms[t].up = *out;
    return rc;
}

int aios__rules_unary(aios__rules *r, uint8_t kind, uint32_t t, uint32_t *out, aios_error *err)
{
    int rc = add(r, (aios__term){.kind = kind, .a = t}, out, err);
    if (!rc)
        r->terms[t].up = *out;
    return rc;
}

int aios__rules_list(aios__rules *r, uint8_t kind, const uint32_t *t, size_t n, uint32_t *out, aios_error *err)
{
    if (n == 1) {
        *out = *t;
        return AIOS_OK;
    }
    if (!n)
        return kind == AIOS__T_SEQ ? aios__rules_lit(r, "", 0, out, err) : aios__rules_rx(r, AIOS__RX_NOTHING, 1, out, err);
    int rc = aios__grow(r->heap, &r->list, &r->cap_list, r->n_list + n, AIOS__G_WORDS, sizeof *r->list, "parts of rules", err);
    rc = rc ? rc : add(r, (aios__term){.kind = kind, .a = r->n_list, .b = (uint32_t)n}, out, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++) {
        r->list[r->n_list++] = t[i];
        r->terms[t[i]].up = *out;
    }
    return AIOS_OK;
}

int aios__rules_ref(aios__rules *r, uint32_t rule, uint32_t *out, aios_error *err)
{
    int rc = add(r, (aios__term){.kind = AIOS__T_REF, .a = rule, .b = r->rules[rule].refs}, out, err);
    if (!rc)
        r->rules[rule].refs = *out;
    return rc;
}

/* ---- rules -------------------------------------------------------------------------------------------------------- */

static uint32_t hash_of(const char *s, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)s[i]) * 16777619u;
    return h ^ h >> 15;
}

/* The slot of a name: that of the rule, or a free one. */
static uint32_t slot_of(const aios__rules *r, const char *s, size_t n)
{
    uint32_t i = hash_of(s, n) & (r->map_size - 1);
    for (; r->map[i]; i = (i + 1) & (r->map_size - 1)) {
        const aios__rule *x = &r->rules[r->map[i] - 1];
        if (x->n_name == n && !memcmp(r->text + x->name, s, n))
            break;
    }
    return i;
}

static int widen(aios__rules *r, aios_error *err)
{
    uint32_t *old = r->map;
    uint32_t size = r->map_size ? 2 * r->map_size : 64;
    uint32_t *map = aios__alloc_array(r->heap, AIOS_MEM_SCRATCH, size, sizeof *map, err);
    if (!map)
        return aios__oom(err);
    r->map = map;
    r->map_size = size;
    for (uint32_t i = 0; i < r->n_rules; i++)
        map[slot_of(r, r->text + r->rules[i].name, r->rules[i].n_name)] = i + 1;
    aios__free(r->heap, old);
    return AIOS_OK;
}

int aios__rules_find(aios__rules *r, size_t at, size_t n, uint32_t *rule, aios_error *err)
{
    int rc = 2 * r->n_rules >= r->map_size ? widen(r, err) : AIOS_OK;
    if (rc)
        return rc;
    uint32_t slot = slot_of(r, r->text + at, n);
    if (r->map[slot]) {
        *rule = r->map[slot] - 1;
        return AIOS_OK;
    }
    if (r->n_rules == AIOS__RULES_MAX)
        return aios__rules_fail(r, AIOS_ELIMIT, at, err, "there are more than %u rules: simplify the grammar", AIOS__RULES_MAX);
    rc = aios__grow(r->heap, &r->rules, &r->cap_rules, (size_t)r->n_rules + 1, AIOS__RULES_MAX, sizeof *r->rules, "rules", err);
    if (rc)
        return rc;
    *rule = r->n_rules++;
    r->rules[*rule] = (aios__rule){.name = (uint32_t)at, .n_name = (uint32_t)n, .at = (uint32_t)at};
    r->map[slot] = r->n_rules;
    return AIOS_OK;
}

void aios__rules_define(aios__rules *r, uint32_t rule, size_t at, uint32_t body)
{
    r->rules[rule].at = (uint32_t)at;
    r->rules[rule].body = body;
    r->terms[body].rule = rule + 1;
}

int aios__rules_build(aios__rules *r, uint32_t root, aios_error *err)
{
    const aios__rule *x = r->rules;
    aios_error why = AIOS_INIT(aios_error);
    for (uint32_t i = 0; i < r->n_rules; i++)
        if (!x[i].body)
            return aios__rules_fail(r, AIOS_ESCHEMA, x[i].at, err, "no rule is called %.*s", (int)x[i].n_name, r->text + x[i].name);
    int rc = aios__rules_facts(r, err);
    for (uint32_t i = 0; i < r->n_rules && !rc; i++)
        if (x[i].token && !(r->terms[x[i].body].flags & AIOS__T_REGULAR))
            return aios__rules_fail(r, AIOS_ESCHEMA, x[i].at, err, "terminal %.*s needs itself: make it a rule, in small letters", (int)x[i].n_name, r->text + x[i].name);
    rc = rc ? rc : aios__rules_left(r, err);
    rc = rc ? rc : aios__rules_emit(r, x[root].body, &r->g->root, err);
    rc = rc ? rc : r->mixed ? aios__grammar_finish(r->g, &why) : aios__rules_finish(r, &why);
    if (rc == AIOS_ESCHEMA && why.code == rc)
        return aios__rules_fail(r, rc, x[root].at, err, "rule %.*s has no sentence: each of its alternatives needs one that never ends, or that no text matches",
                                (int)x[root].n_name, r->text + x[root].name);
    return why.code ? aios__error_copy(err, &why) : rc;
}
