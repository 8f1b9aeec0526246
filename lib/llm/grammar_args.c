/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments that are not written as JSON: the listed properties in their order, strings as they are, other values as in JSON. */
#include "llm/grammar_calls.h"

#include "grammar/schema_format.h"

#define MAX_PROPERTIES 2000u
#define MAX_LENGTH 0xfffffff0u

typedef struct args {
    aios_grammar *g;
    const aios__call_format *f;
    const char *tool, *key; /* the property under way */
    const aios__json *root;
    aios__buf text;
} args;

static int refuse(const args *a, const char *what, aios_error *err)
{
    return aios__fail(err, AIOS_ENOTSUP, "tool %.64s, property %.64s: %.100s cannot be held to in calls as this model writes them (%s)", a->tool, a->key ? a->key : "(all)",
                      what, a->f->name);
}

static bool has_type(const aios__json *schema, const char *name)
{
    const aios__json *type = aios__json_get(schema, "type");
    const char *s = aios__json_str(type, NULL);
    if (s)
        return !strcmp(s, name);
    for (size_t i = 0; i < aios__json_count(type); i++) {
        s = aios__json_str(aios__json_at(type, i), NULL);
        if (s && !strcmp(s, name))
            return true;
    }
    return false;
}

bool aios__arg_is_text(const aios__json *p)
{
    static const char *const other[] = {"$ref", "anyOf", "oneOf", "allOf", "not", "if", "const", "properties", "items"};
    const aios__json *values = aios__json_get(p, "enum");
    if (aios__json_type(p) != AIOS__JSON_OBJECT)
        return false;
    for (size_t i = 0; i < aios__json_count(values); i++)
        if (!aios__json_str(aios__json_at(values, i), NULL))
            return false;
    if (aios__json_get(p, "const"))
        return aios__json_str(aios__json_get(p, "const"), NULL) != NULL;
    if (values || has_type(p, "string"))
        return true;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(other); i++)
        if (aios__json_get(p, other[i]))
            return false;
    return !aios__json_get(p, "type");
}

/* ---- strings as they are ------------------------------------------------------------------------------------------------ */

/* What ends such a string; it cannot stand inside. */
static const char *end_of_text(const args *a, size_t *n)
{
    const char *s = a->f->args == AIOS__ARGS_TAGS ? a->f->p_close : a->f->quote;
    s += strspn(s, "\n");
    *n = strcspn(s, "\n");
    return s;
}

static bool lists(const aios__json *values, const aios__json *v)
{
    for (size_t i = 0; i < aios__json_count(values); i++)
        if (aios__json_equal(aios__json_at(values, i), v))
            return true;
    return false;
}

/* The listed ones that the expression allows. */
static int add_words(args *a, const aios__json *p, uint32_t rx, uint32_t *node, aios_error *err)
{
    const aios__json *values = aios__json_get(p, "enum"), *only = aios__json_get(p, "const");
    size_t n = only ? 1 : aios__json_count(values), n_end;
    const char *end = end_of_text(a, &n_end);
    uint32_t *e = aios__alloc_array(a->g->heap, AIOS_MEM_SCRATCH, n ? n : 1, 3 * sizeof *e, err), at, n_words = 0;
    int rc = e ? aios__grammar_node(a->g, AIOS__G_SET, node, err) : aios__oom(err);
    for (size_t i = 0; !rc && i < n; i++) {
        size_t len = 0;
        const char *s = aios__json_str(only ? only : aios__json_at(values, i), &len);
        bool fits = !only || !values || lists(values, only);
        if (!s || !len || !fits || memmem(s, len, end, n_end)) /* an empty one is not told from none */
            continue;
        rc = aios__rx_match(a->g->rx, rx, s, len, &fits, err);
        if (rc || !fits)
            continue;
        rc = aios__grammar_bytes(a->g, s, len, &at, err);
        const uint32_t entry[3] = {at, (uint32_t)len, AIOS__G_NONE};
        memcpy(e + 3 * (size_t)n_words++, entry, sizeof entry);
    }
    rc = rc ? rc : n_words ? aios__grammar_words(a->g, e, 3 * (size_t)n_words, &at, err) : refuse(a, "\"enum\"", err);
    rc = rc ? rc : aios__grammar_sort(a->g, at, n_words, err);
    if (!rc) {
        a->g->nodes[*node].a = at;
        a->g->nodes[*node].b = n_words;
    }
    aios__free(a->g->heap, e);
    return rc;
}

static uint32_t length_of(const aios__json *p, const char *kw, uint32_t dflt)
{
    const aios__json *v = aios__json_get(p, kw);
    double x = v ? aios__json_real(v, -1) : -1;
    return x < 0 ? dflt : x > MAX_LENGTH ? MAX_LENGTH : (uint32_t)x;
}

/* Any text of the right length, in the pattern, without what ends it. */
static int make_text(args *a, const aios__json *p, uint32_t *e, aios_error *err)
{
    static const uint32_t chars[] = {9, 10, 13, 13, 32, 0x10ffff};
    size_t n_end, n_pattern = 0;
    const char *end = end_of_text(a, &n_end), *pattern = aios__json_str(aios__json_get(p, "pattern"), &n_pattern);
    const char *format = aios__json_str(aios__json_get(p, "format"), NULL);
    bool known;
    aios__rx *x = a->g->rx;
    uint32_t all[4], n = 2, set, part, not_in = AIOS__RX_EMPTY;
    int rc = aios__rx_chars(x, chars, AIOS__ARRAY_LEN(chars) / 2, &set, err);
    rc = rc ? rc : aios__rx_repeat(x, set, length_of(p, "minLength", 0), length_of(p, "maxLength", AIOS__RX_ENDLESS), &all[0], err);
    for (size_t i = n_end; !rc && i--;) {
        uint32_t bits[8] = {0};
        bits[(uint8_t)end[i] / 32] = 1u << (uint8_t)end[i] % 32;
        rc = aios__rx_bytes(x, bits, &part, err);
        rc = rc ? rc : aios__rx_cat(x, part, not_in, &not_in, err);
    }
    rc = rc ? rc : aios__rx_cat(x, not_in, AIOS__RX_ALL, &not_in, err);
    rc = rc ? rc : aios__rx_cat(x, AIOS__RX_ALL, not_in, &not_in, err);
    rc = rc ? rc : aios__rx_not(x, not_in, &all[1], err);
    if (pattern)
        rc = rc ? rc : aios__rx_parse(x, pattern, n_pattern, false, &all[n++], err);
    if (format) /* one that is not known allows every text */
        rc = rc ? rc : aios__format_rx(x, format, &all[n++], &known, err);
    return rc ? rc : aios__rx_and(x, all, n, e, err);
}

static int add_text(args *a, const aios__json *p, uint32_t *node, aios_error *err)
{
    uint32_t e;
    bool exists = false;
    static const char *const unheld[] = {"anyOf", "oneOf", "allOf", "not", "if", "$ref"};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(unheld); i++)
        if (aios__json_get(p, unheld[i]))
            return refuse(a, unheld[i], err);
    int rc = a->g->rx ? AIOS_OK : aios__rx_new(a->g->ctx, &a->g->rx, err);
    aios_error why = AIOS_INIT(aios_error);
    rc = rc ? rc : make_text(a, p, &e, &why);
    rc = rc ? rc : aios__rx_exists(a->g->rx, e, &exists, &why);
    if (rc == AIOS_ESCHEMA || rc == AIOS_ENOTSUP || rc == AIOS_ELIMIT)
        return aios__fail(err, rc, "tool %.64s, property %.64s: %.300s", a->tool, a->key, why.msg);
    if (rc)
        return why.code ? aios__error_copy(err, &why) : rc;
    if (!exists)
        return aios__fail(err, AIOS_ESCHEMA, "property %.64s: no text satisfies its keywords", a->key);
    if (aios__json_get(p, "enum") || aios__json_get(p, "const"))
        return add_words(a, p, e, node, err);
    rc = aios__grammar_node(a->g, AIOS__G_RX, node, err);
    if (!rc)
        a->g->nodes[*node].a = e;
    return rc;
}

/* ---- other values ----------------------------------------------------------------------------------------------------------- */

/* A property's schema with the root's definitions, so that its references still lead there. */
static int add_json(args *a, const aios__json *p, uint32_t *node, aios_error *err)
{
    static const char *const defs[] = {"$defs", "definitions"};
    aios_error why = AIOS_INIT(aios_error);
    aios__buf_clear(&a->text);
    int rc = aios__buf_addc(&a->text, '{', err);
    for (size_t i = 0; !rc && i < AIOS__ARRAY_LEN(defs); i++) {
        const aios__json *d = aios__json_get(a->root, defs[i]);
        rc = d ? aios__buf_addf(&a->text, err, "\"%s\":", defs[i]) : AIOS_OK;
        rc = rc || !d ? rc : aios__json_write(d, &a->text, err);
        rc = rc || !d ? rc : aios__buf_addc(&a->text, ',', err);
    }
    rc = rc ? rc : aios__buf_adds(&a->text, "\"allOf\":[", err);
    rc = rc ? rc : aios__json_write(p, &a->text, err);
    rc = rc ? rc : aios__buf_adds(&a->text, "]}", err);
    rc = rc ? rc : aios__grammar_schema(a->g, a->text.p, a->text.n, false, node, &why);
    if (rc == AIOS_ESCHEMA)
        return aios__fail(err, rc, "property %.64s: %.400s", a->key, why.msg);
    return rc && why.code ? aios__error_copy(err, &why) : rc;
}

/* True, False and None, as Python has them. */
static int add_python_word(args *a, bool boolean, uint32_t *node, aios_error *err)
{
    static const char *const words[] = {"False", "True", "None"};
    uint32_t e[6], n = 0, at;
    int rc = aios__grammar_node(a->g, AIOS__G_SET, node, err);
    for (size_t i = boolean ? 0 : 2; !rc && i < (boolean ? 2 : 3); i++) {
        rc = aios__grammar_bytes(a->g, words[i], strlen(words[i]), &e[n], err);
        e[n + 1] = (uint32_t)strlen(words[i]);
        e[n + 2] = AIOS__G_NONE;
        n += 3;
    }
    rc = rc ? rc : aios__grammar_words(a->g, e, n, &at, err);
    if (!rc) {
        a->g->nodes[*node].a = at;
        a->g->nodes[*node].b = n / 3;
    }
    return rc;
}

static int add_value(args *a, const aios__json *p, uint32_t *node, aios_error *err)
{
    const char *type = aios__json_str(aios__json_get(p, "type"), NULL);
    bool plain = type && !aios__json_get(p, "enum") && !aios__json_get(p, "const") && !aios__json_get(p, "not");
    if (a->f->args == AIOS__ARGS_PYTHON)
        return plain && (!strcmp(type, "boolean") || !strcmp(type, "null")) ? add_python_word(a, type[0] == 'b', node, err) : add_json(a, p, node, err);
    if (!aios__arg_is_text(p))
        return add_json(a, p, node, err);
    if (a->f->args == AIOS__ARGS_TAGS)
        return add_text(a, p, node, err);
    uint32_t list[3];
    size_t n = strlen(a->f->quote);
    int rc = aios__grammar_lit(a->g, a->f->quote, n, &list[0], err);
    rc = rc ? rc : add_text(a, p, &list[1], err);
    rc = rc ? rc : aios__grammar_lit(a->g, a->f->quote, n, &list[2], err);
    return rc ? rc : aios__grammar_list(a->g, AIOS__G_SEQ, list, 3, node, err);
}

/* ---- properties --------------------------------------------------------------------------------------------------------------- */

static bool key_fits(const args *a, const char *key)
{
    const char *bad = a->f->args == AIOS__ARGS_TAGS ? "<>\"\n" : " {}[](),:=\"'<>\n";
    return *key && strlen(key) <= 128 && !key[strcspn(key, bad)];
}

static bool is_required(const args *a, const char *key)
{
    const aios__json *list = aios__json_get(a->root, "required");
    for (size_t i = 0; i < aios__json_count(list); i++) {
        const char *s = aios__json_str(aios__json_at(list, i), NULL);
        if (s && !strcmp(s, key))
            return true;
    }
    return false;
}

/* separator, key, value and what follows in that place. */
static int add_member(args *a, const aios__json *p, bool first, uint32_t value, uint32_t rest, uint32_t *node, aios_error *err)
{
    const aios__call_format *f = a->f;
    uint32_t list[4] = {0, value, rest}, n = 3;
    aios__buf_clear(&a->text);
    int rc;
    if (f->args == AIOS__ARGS_TAGS) {
        rc = aios__buf_addf(&a->text, err, "%s%s%s", f->p_open, a->key, aios__arg_is_text(p) || !f->p_mid_json ? f->p_mid : f->p_mid_json);
        rc = rc ? rc : aios__grammar_lit(a->g, f->p_close, strlen(f->p_close), &list[2], err);
        list[n++] = rest;
    } else {
        bool python = f->args == AIOS__ARGS_PYTHON;
        rc = aios__buf_addf(&a->text, err, "%s%s%c", first ? "" : python ? ", " : ",", a->key, python ? '=' : ':');
    }
    rc = rc ? rc : aios__grammar_lit(a->g, a->text.p, a->text.n, &list[0], err);
    return rc ? rc : aios__grammar_list(a->g, AIOS__G_SEQ, list, n, node, err);
}

/*
 * From the last property to the first: what may follow when none has come, and when one has. Where nothing parts them both are one.
 */
static int add_properties(args *a, void **its, uint32_t n, uint32_t *node, aios_error *err)
{
    bool parted = a->f->args != AIOS__ARGS_TAGS;
    uint32_t rest[2], value;
    int rc = aios__grammar_lit(a->g, "", 0, &rest[0], err);
    rest[1] = rest[0];
    while (!rc && n--) {
        const aios__json *p;
        aios__json_member_at(its[n], &a->key, &p);
        if (!key_fits(a, a->key))
            return refuse(a, "its name", err);
        bool required = is_required(a, a->key);
        uint32_t was[2] = {rest[0], rest[1]}, alt[2];
        rc = add_value(a, p, &value, err);
        for (int some = 0; !rc && some <= parted; some++) {
            rc = add_member(a, p, !some, value, was[1], &alt[0], err);
            alt[1] = was[some];
            rest[some] = alt[0];
            if (!rc && !required)
                rc = aios__grammar_list(a->g, AIOS__G_ALT, alt, 2, &rest[some], err);
        }
        rest[1] = parted ? rest[1] : rest[0];
    }
    *node = rest[0];
    return rc;
}

static int check_root(args *a, aios_error *err)
{
    static const char *const fine[] = {"type", "properties", "required", "additionalProperties", "title", "description", "$schema", "$id", "$defs", "definitions",
                                       "$comment", "examples", "default", "strict", "$anchor"};
    const char *key;
    const aios__json *v;
    for (void *it = aios__json_iter(a->root, NULL, &key, &v); it; it = aios__json_iter(a->root, it, &key, &v)) {
        size_t i = 0;
        while (i < AIOS__ARRAY_LEN(fine) && strcmp(key, fine[i]))
            i++;
        if (i == AIOS__ARRAY_LEN(fine))
            return refuse(a, key, err);
    }
    const aios__json *required = aios__json_get(a->root, "required"), *props = aios__json_get(a->root, "properties");
    for (size_t i = 0; i < aios__json_count(required); i++) {
        a->key = aios__json_str(aios__json_at(required, i), NULL);
        if (a->key && !aios__json_get(props, a->key))
            return refuse(a, "a value without a schema", err);
    }
    a->key = NULL;
    return AIOS_OK;
}

static int add_object(args *a, uint32_t *node, aios_error *err)
{
    const aios__json *props = aios__json_get(a->root, "properties"), *v;
    size_t n = aios__json_count(props), i = 0;
    const char *key;
    int rc = check_root(a, err);
    if (!rc && n > MAX_PROPERTIES)
        rc = aios__fail_need(err, AIOS_ELIMIT, MAX_PROPERTIES, n, "tool %.64s has %zu properties, more than the %u allowed", a->tool, n, MAX_PROPERTIES);
    if (rc)
        return rc;
    void **its = aios__alloc_array(a->g->heap, AIOS_MEM_SCRATCH, n ? n : 1, sizeof *its, err);
    if (!its)
        return aios__oom(err);
    for (void *it = aios__json_iter(props, NULL, &key, &v); it; it = aios__json_iter(props, it, &key, &v))
        its[i++] = it;
    uint32_t list[2];
    rc = add_properties(a, its, (uint32_t)n, &list[0], err);
    aios__free(a->g->heap, its);
    if (a->f->args == AIOS__ARGS_TAGS) {
        *node = list[0];
        return rc;
    }
    rc = rc ? rc : aios__grammar_lit(a->g, a->f->args == AIOS__ARGS_PYTHON ? ")" : "}", 1, &list[1], err);
    return rc ? rc : aios__grammar_list(a->g, AIOS__G_SEQ, list, 2, node, err);
}

const char *aios__args_open(const aios__call_format *f)
{
    return f->args == AIOS__ARGS_JSON || f->args == AIOS__ARGS_TAGS ? "" : f->args == AIOS__ARGS_PYTHON ? "(" : "{";
}

int aios__grammar_args(aios_grammar *g, const aios__call_format *f, const char *tool, const char *schema, uint32_t *node, aios_error *err)
{
    if (f->args == AIOS__ARGS_JSON)
        return aios__grammar_schema(g, schema, strlen(schema), true, node, err);
    args a = {.g = g, .f = f, .tool = tool};
    aios__json_doc *doc = NULL;
    int rc = aios__json_parse(g->heap, schema, strlen(schema), &doc, err);
    if (rc)
        return rc == AIOS_EFORMAT ? AIOS_ESCHEMA : rc;
    a.root = aios__json_root(doc);
    aios__buf_init(&a.text, g->heap, AIOS_MEM_SCRATCH, 0);
    rc = add_object(&a, node, err);
    aios__buf_free(&a.text);
    aios__json_free(doc);
    return rc;
}
