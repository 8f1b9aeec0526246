/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a policy. What is not known is refused by its JSON pointer, since a misspelt limit would be none. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/ruleset.h"
#include "base/nearest.h"

#define POINTER 512

typedef struct reader {
    aios_rules *r;
    aios__heap *heap;
    const aios__json *classes;
    aios_error *err;
} reader;

/* Where a value stands. */
typedef struct place {
    char p[POINTER];
} place;

static int bad(const reader *rd, const place *at, const char *what)
{
    return aios__fail(rd->err, AIOS_EINVAL, "policy: %s %s", at->p[0] ? at->p : "the document", what);
}

static place below(const place *at, const char *key)
{
    place out = *at;
    size_t n = strlen(out.p), k = strlen(key);
    if (n + 2 * k + 2 > sizeof out.p)
        return out;
    out.p[n++] = '/';
    for (; *key; key++) {
        if (*key == '~' || *key == '/') {
            out.p[n++] = '~';
            out.p[n++] = *key == '~' ? '0' : '1';
        } else {
            out.p[n++] = *key;
        }
    }
    out.p[n] = 0;
    return out;
}

static place element(const place *at, size_t i)
{
    char n[24];
    snprintf(n, sizeof n, "%zu", i);
    return below(at, n);
}

/* v is an object with no other keys than these. */
static int check_keys(const reader *rd, const place *at, const aios__json *v, const char *const *keys, size_t n)
{
    const char *key;
    const aios__json *x;
    if (aios__json_type(v) != AIOS__JSON_OBJECT)
        return bad(rd, at, "must be an object");
    for (void *it = aios__json_iter(v, NULL, &key, &x); it; it = aios__json_iter(v, it, &key, &x)) {
        size_t i = 0;
        while (i < n && strcmp(keys[i], key))
            i++;
        if (i < n || !strncmp(key, "x-", 2))
            continue;
        const char *near = aios__nearest(key, strlen(key), keys, n);
        place where = below(at, key);
        char what[128];
        snprintf(what, sizeof what, near ? "is not known here: did you mean \"%s\"?" : "is not known here", near);
        return bad(rd, &where, what);
    }
    return AIOS_OK;
}

/* One of n words; its index to *out. Absent: unchanged. */
static int read_word(const reader *rd, const place *at, const aios__json *o, const char *key, const char *const *words, size_t n, int32_t *out)
{
    const aios__json *v = aios__json_get(o, key);
    const char *s = aios__json_str(v, NULL);
    char what[160] = "must be one of";
    place where = below(at, key);
    if (!v)
        return AIOS_OK;
    for (size_t i = 0; i < n; i++) {
        size_t k = strlen(what);
        if (!words[i][0])
            continue;
        snprintf(what + k, sizeof what - k, "%s \"%s\"", what[k - 1] == '"' ? "," : "", words[i]);
        if (s && !strcmp(s, words[i])) {
            *out = (int32_t)i;
            return AIOS_OK;
        }
    }
    return bad(rd, &where, what);
}

static int read_flag(const reader *rd, const place *at, const aios__json *o, const char *key, uint32_t *out)
{
    const aios__json *v = aios__json_get(o, key);
    enum aios__json_type type = aios__json_type(v);
    place where = below(at, key);
    if (!v)
        return AIOS_OK;
    if (type != AIOS__JSON_TRUE && type != AIOS__JSON_FALSE)
        return bad(rd, &where, "must be true or false");
    *out = type == AIOS__JSON_TRUE;
    return AIOS_OK;
}

static int read_number(const reader *rd, const place *at, const aios__json *o, const char *key, bool whole, double *out)
{
    const aios__json *v = aios__json_get(o, key);
    double x = aios__json_real(v, -1);
    place where = below(at, key);
    if (!v)
        return AIOS_OK;
    if (!aios__json_is_number(v) || !(x >= 0 && x <= 9e15) || (whole && x != floor(x)))
        return bad(rd, &where, whole ? "must be a whole number from 0 to 9000000000000000" : "must be a number from 0 to 9000000000000000");
    *out = x;
    return AIOS_OK;
}

static bool is_pointer(const char *s)
{
    if (*s != '/')
        return false;
    for (; *s; s++)
        if (*s == '~' && s[1] != '0' && s[1] != '1')
            return false;
    return true;
}

/* An array for the n things at v, or an error. */
static int room(const reader *rd, const place *at, const aios__json *v, enum aios__json_type type, size_t size, void *out, uint32_t *n)
{
    void *p;
    size_t count = aios__json_count(v);
    if (aios__json_type(v) != type)
        return bad(rd, at, type == AIOS__JSON_ARRAY ? "must be an array" : "must be an object");
    if (count > AIOS__RULESET_CAPS)
        return aios__fail_need(rd->err, AIOS_ELIMIT, AIOS__RULESET_CAPS, count, "policy: %s has more than %d entries", at->p, AIOS__RULESET_CAPS);
    p = aios__alloc_array(rd->heap, AIOS_MEM_OTHER, count, size, rd->err);
    if (!p)
        return aios__error_code(rd->err, AIOS_ENOMEM);
    memcpy(out, &p, sizeof p);
    *n = (uint32_t)count;
    return AIOS_OK;
}

/* ---- classes ------------------------------------------------------------------------------------------------------ */

static int class_bit(const aios__json *v)
{
    const aios__json *n = aios__json_type(v) == AIOS__JSON_OBJECT ? aios__json_get(v, "bit") : v;
    int64_t bit = aios__json_type(n) == AIOS__JSON_INT ? aios__json_int(n, -1) : -1;
    return bit >= 0 && bit < 64 ? (int)bit : -1;
}

static int read_classes(reader *rd, const aios__json *root)
{
    static const char *const keys[] = {"bit", "local"};
    place at = below(&(place){{0}}, "classes");
    const char *name;
    const aios__json *v;
    uint64_t seen = 0;
    rd->classes = aios__json_get(root, "classes");
    if (rd->classes && aios__json_type(rd->classes) != AIOS__JSON_OBJECT)
        return bad(rd, &at, "must be an object of names and bits");
    for (void *it = aios__json_iter(rd->classes, NULL, &name, &v); it; it = aios__json_iter(rd->classes, it, &name, &v)) {
        place where = below(&at, name);
        uint32_t local = 0;
        int bit = class_bit(v), rc = AIOS_OK;
        if (aios__json_type(v) == AIOS__JSON_OBJECT && !(rc = check_keys(rd, &where, v, keys, AIOS__ARRAY_LEN(keys))))
            rc = read_flag(rd, &where, v, "local", &local);
        if (rc)
            return rc;
        if (bit < 0)
            return bad(rd, &where, "must be a bit from 0 to 63, or {\"bit\": ..., \"local\": true}");
        if (seen >> bit & 1)
            return bad(rd, &where, "has the bit of another class");
        seen |= UINT64_C(1) << bit;
        rd->r->local |= (uint64_t)local << bit;
    }
    return AIOS_OK;
}

uint64_t aios_rules_class(const aios_rules *r, const char *name)
{
    if (!r || !name)
        return 0;
    for (uint32_t i = 0; i < r->n_leaves; i++) {
        uint64_t bit = aios_rules_class(r->leaves[i], name);
        if (bit)
            return bit;
    }
    int bit = r->doc ? class_bit(aios__json_get(aios__json_get(aios__json_root(r->doc), "classes"), name)) : -1;
    return bit < 0 ? 0 : UINT64_C(1) << bit;
}

static int read_readers(const reader *rd, const place *at, const aios__json *o, aios__cap *c)
{
    const aios__json *v = aios__json_get(o, "confidentiality");
    place list = below(at, "confidentiality");
    if (!v)
        return AIOS_OK;
    c->has_readers = 1;
    if (aios__json_str(v, NULL) && !strcmp(aios__json_str(v, NULL), "any")) {
        c->readers = UINT64_MAX;
        return AIOS_OK;
    }
    if (aios__json_type(v) != AIOS__JSON_ARRAY)
        return bad(rd, &list, "must be \"any\" or an array of names of /classes");
    for (size_t i = 0; i < aios__json_count(v); i++) {
        const char *name = aios__json_str(aios__json_at(v, i), NULL);
        place where = element(&list, i);
        int bit = name ? class_bit(aios__json_get(rd->classes, name)) : -1;
        if (bit < 0)
            return bad(rd, &where, "is no class of /classes");
        c->readers |= UINT64_C(1) << bit;
    }
    return AIOS_OK;
}

/* ---- constraints -------------------------------------------------------------------------------------------------- */

static int read_args(const reader *rd, const place *at, const aios__json *o, aios__cap *c)
{
    const aios__json *v = aios__json_get(o, "args");
    place where = below(at, "args");
    aios_error why = AIOS_INIT(aios_error);
    aios__buf text;
    if (!v)
        return AIOS_OK;
    aios__buf_init(&text, rd->heap, AIOS_MEM_TEXT, 0);
    int rc = aios__json_write(v, &text, rd->err);
    if (!rc && (rc = aios__schema_new(rd->r->ctx, text.p, text.n, &c->args, &why)) != 0)
        aios__fail_need(rd->err, rc, why.have, why.need, "policy: %s: %s", where.p, why.msg);
    aios__buf_free(&text);
    return rc;
}

static int read_path(const reader *rd, const place *at, const char *pointer, const aios__json *v, aios__path_rule *p)
{
    static const char *const keys[] = {"roots", "base", "write", "optional"};
    const aios__json *roots = aios__json_get(v, "roots"), *base = aios__json_get(v, "base");
    place list = below(at, "roots"), at_base = below(at, "base");
    p->pointer = pointer;
    if (!is_pointer(pointer))
        return bad(rd, at, "is no JSON pointer: it must begin with \"/\"");
    int rc = check_keys(rd, at, v, keys, AIOS__ARRAY_LEN(keys));
    rc = rc ? rc : read_flag(rd, at, v, "write", &p->write);
    rc = rc ? rc : read_flag(rd, at, v, "optional", &p->optional);
    rc = rc ? rc : room(rd, &list, roots, AIOS__JSON_ARRAY, sizeof *p->roots, &p->roots, &p->n_roots);
    if (rc)
        return rc;
    if (!p->n_roots)
        return bad(rd, &list, "is empty: no path would fit");
    for (uint32_t i = 0; i < p->n_roots; i++) {
        place where = element(&list, i);
        p->roots[i] = aios__json_str(aios__json_at(roots, i), NULL);
        if (!p->roots[i] || p->roots[i][0] != '/' || strlen(p->roots[i]) > 2000)
            return bad(rd, &where, "must be an absolute path");
    }
    p->base = base ? aios__json_str(base, NULL) : p->roots[0];
    return p->base && p->base[0] == '/' && strlen(p->base) <= 2000 ? AIOS_OK : bad(rd, &at_base, "must be an absolute path");
}

static int read_paths(const reader *rd, const place *at, const aios__json *o, aios__cap *c)
{
    const aios__json *v = aios__json_get(o, "paths"), *x;
    place list = below(at, "paths");
    const char *key;
    uint32_t i = 0;
    int rc = v ? room(rd, &list, v, AIOS__JSON_OBJECT, sizeof *c->paths, &c->paths, &c->n_paths) : AIOS_OK;
    for (void *it = rc ? NULL : aios__json_iter(v, NULL, &key, &x); it && !rc; it = aios__json_iter(v, it, &key, &x)) {
        place where = below(&list, key);
        rc = read_path(rd, &where, key, x, &c->paths[i++]);
    }
    return rc;
}

static int read_host_list(const reader *rd, const place *at, const char *pointer, const aios__json *v, aios__host_rule *h)
{
    h->pointer = pointer;
    if (!is_pointer(pointer))
        return bad(rd, at, "is no JSON pointer: it must begin with \"/\"");
    int rc = room(rd, at, v, AIOS__JSON_ARRAY, sizeof *h->hosts, &h->hosts, &h->n_hosts);
    for (uint32_t i = 0; i < h->n_hosts && !rc; i++) {
        const char *s = aios__json_str(aios__json_at(v, i), NULL), *why = s ? aios__host_read(s, &h->hosts[i]) : "must be a string";
        place where = element(at, i);
        rc = why ? bad(rd, &where, why) : AIOS_OK;
    }
    return rc;
}

static int read_hosts(const reader *rd, const place *at, const aios__json *o, aios__cap *c)
{
    const aios__json *v = aios__json_get(o, "hosts"), *x;
    place list = below(at, "hosts");
    const char *key;
    uint32_t i = 0;
    int rc = v ? room(rd, &list, v, AIOS__JSON_OBJECT, sizeof *c->hosts, &c->hosts, &c->n_hosts) : AIOS_OK;
    for (void *it = rc ? NULL : aios__json_iter(v, NULL, &key, &x); it && !rc; it = aios__json_iter(v, it, &key, &x)) {
        place where = below(&list, key);
        rc = read_host_list(rd, &where, key, x, &c->hosts[i++]);
    }
    return rc;
}

static int read_effects(const reader *rd, const place *at, const aios__json *o, aios__cap *c)
{
    static const char *const names[] = {"unsafe", "read", "local", "keyed"}; /* AIOS_EFFECT_x */
    const aios__json *v = aios__json_get(o, "effect");
    place where = below(at, "effect");
    bool list = aios__json_type(v) == AIOS__JSON_ARRAY;
    for (size_t i = 0; v && i < (list ? aios__json_count(v) : 1); i++) {
        const char *s = aios__json_str(list ? aios__json_at(v, i) : v, NULL);
        uint32_t k = 0;
        while (k < AIOS__ARRAY_LEN(names) && (!s || strcmp(s, names[k])))
            k++;
        if (k == AIOS__ARRAY_LEN(names))
            return bad(rd, &where, "must be \"read\", \"local\", \"keyed\" or \"unsafe\", or an array of these");
        c->effects |= 1u << k;
    }
    return v && !c->effects ? bad(rd, &where, "is empty: no tool would fit") : AIOS_OK;
}

static int read_cost(const reader *rd, const place *at, const aios__json *o, aios__cap *c)
{
    const char *pointer = aios__json_str(aios__json_get(o, "cost"), NULL);
    place where = below(at, "cost");
    int rc = read_number(rd, at, o, "max_cost", false, &c->max_cost);
    c->has_cost = aios__json_get(o, "max_cost") != NULL;
    c->cost = 1;
    c->cost_pointer = pointer;
    if (pointer && !is_pointer(pointer))
        return bad(rd, &where, "must be a number, or the JSON pointer of one in the arguments");
    return rc || pointer ? rc : read_number(rd, at, o, "cost", false, &c->cost);
}

static int read_expiry(const reader *rd, const place *at, const aios__json *o, aios__cap *c)
{
    const aios__json *v = aios__json_get(o, "expires");
    const char *s = aios__json_str(v, NULL);
    place where = below(at, "expires");
    return !v || (s && aios__rfc3339(s, &c->expires_us)) ? AIOS_OK : bad(rd, &where, "must be a time such as \"2027-01-31T00:00:00Z\"");
}

/* ---- a capability ------------------------------------------------------------------------------------------------- */

/* By AIOS_ALLOW ...; an empty word is none that can be written. */
static const char *const verdicts[] = {"", "allow", "ask", "deny"}, *const stricter[] = {"", "", "ask", "deny"};

static int read_tool(const reader *rd, const place *at, const aios__json *o, aios__cap *c)
{
    place where = below(at, "tool"), at_reason = below(at, "reason");
    const aios__json *reason = aios__json_get(o, "reason");
    c->tool = aios__json_str(aios__json_get(o, "tool"), NULL);
    c->reason = aios__json_str(reason, NULL);
    if (reason && (!c->reason || strlen(c->reason) > 200))
        return bad(rd, &at_reason, "must be a string of at most 200 bytes");
    if (!c->tool || !c->tool[0])
        return bad(rd, &where, "must be the name of a tool, or its beginning and \"*\"");
    c->n_tool = strlen(c->tool);
    const char *star = strchr(c->tool, '*');
    if (star && star[1])
        return bad(rd, &where, "may have a \"*\" at its end alone");
    c->prefix = star != NULL;
    c->n_tool -= c->prefix;
    return AIOS_OK;
}

/* What must not be left without effect: conditions that only make sense for what is allowed. */
static int check_deny(const reader *rd, const place *at, const aios__json *o, const aios__cap *c)
{
    static const char *const keys[] = {"integrity", "confidentiality", "max_bytes", "max_calls", "max_cost", "cost", "expires", "else", "results", "external"};
    for (size_t i = 0; c->verdict == AIOS_DENY && i < AIOS__ARRAY_LEN(keys); i++) {
        place where = below(at, keys[i]);
        if (aios__json_get(o, keys[i]))
            return bad(rd, &where, "has no meaning where the verdict is \"deny\"");
    }
    return AIOS_OK;
}

static int read_cap(const reader *rd, const place *at, const aios__json *o, aios__cap *c)
{
    static const char *const keys[] = {"tool", "effect", "args", "paths", "hosts", "max_bytes", "max_calls", "max_cost", "cost", "expires",
                                       "integrity", "confidentiality", "external", "results", "verdict", "else", "reason"};
    static const char *const levels[] = {"untrusted", "tool", "user", "system"}, *const results[] = {"context", "handle"};
    double bytes = 0, calls = 0;
    uint32_t external = 0;
    int32_t handle = 0;
    int rc = check_keys(rd, at, o, keys, AIOS__ARRAY_LEN(keys));
    c->verdict = AIOS_ALLOW;
    rc = rc ? rc : read_tool(rd, at, o, c);
    rc = rc ? rc : read_word(rd, at, o, "verdict", verdicts, AIOS__ARRAY_LEN(verdicts), &c->verdict);
    rc = rc ? rc : read_word(rd, at, o, "else", stricter, AIOS__ARRAY_LEN(stricter), &c->otherwise);
    rc = rc ? rc : read_word(rd, at, o, "integrity", levels, AIOS__ARRAY_LEN(levels), &c->integrity);
    rc = rc ? rc : read_word(rd, at, o, "results", results, AIOS__ARRAY_LEN(results), &handle);
    rc = rc ? rc : read_flag(rd, at, o, "external", &external);
    rc = rc ? rc : read_number(rd, at, o, "max_bytes", true, &bytes);
    rc = rc ? rc : read_number(rd, at, o, "max_calls", true, &calls);
    rc = rc ? rc : read_cost(rd, at, o, c);
    rc = rc ? rc : read_expiry(rd, at, o, c);
    rc = rc ? rc : read_effects(rd, at, o, c);
    rc = rc ? rc : read_readers(rd, at, o, c);
    rc = rc ? rc : read_args(rd, at, o, c);
    rc = rc ? rc : read_paths(rd, at, o, c);
    rc = rc ? rc : read_hosts(rd, at, o, c);
    rc = rc ? rc : check_deny(rd, at, o, c);
    c->handle = (uint32_t)handle;
    c->external = aios__json_get(o, "external") ? (int32_t)external : -1;
    c->max_bytes = aios__json_get(o, "max_bytes") ? (uint64_t)bytes : UINT64_MAX;
    c->max_calls = aios__json_get(o, "max_calls") ? (uint64_t)calls : UINT64_MAX;
    return rc;
}

static int read_caps(const reader *rd, const aios__json *root)
{
    const aios__json *v = aios__json_get(root, "capabilities");
    place at = below(&(place){{0}}, "capabilities");
    int rc = v ? room(rd, &at, v, AIOS__JSON_ARRAY, sizeof *rd->r->caps, &rd->r->caps, &rd->r->n_caps) : AIOS_OK;
    for (uint32_t i = 0; i < rd->r->n_caps && !rc; i++) {
        place where = element(&at, i);
        rc = read_cap(rd, &where, aios__json_at(v, i), &rd->r->caps[i]);
    }
    return rc;
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

static int read_ask(const reader *rd, const aios__json *root)
{
    static const char *const keys[] = {"budget", "timeout_ms"};
    const aios__json *v = aios__json_get(root, "ask");
    place at = below(&(place){{0}}, "ask");
    double budget = UINT32_MAX, ms = 0;
    int rc = v ? check_keys(rd, &at, v, keys, AIOS__ARRAY_LEN(keys)) : AIOS_OK;
    rc = rc ? rc : read_number(rd, &at, v, "budget", true, &budget);
    rc = rc ? rc : read_number(rd, &at, v, "timeout_ms", true, &ms);
    rd->r->ask_budget = budget < UINT32_MAX ? (uint32_t)budget : UINT32_MAX;
    rd->r->ask_ns = ms < 9e12 ? (int64_t)ms * 1000000 : INT64_MAX;
    return rc;
}

int aios__ruleset_read(aios_rules *r, aios_error *err)
{
    static const char *const keys[] = {"version", "default", "classes", "capabilities", "ask", "rule_of_two", "results", "endorse_bits"};
    static const char *const results[] = {"context", "handle"};
    const aios__json *root = aios__json_root(r->doc), *version = aios__json_get(root, "version");
    reader rd = {.r = r, .heap = aios__ctx_heap(r->ctx), .err = err};
    place top = {{0}};
    int32_t handles = 0;
    r->rule_of_two = 1;
    r->dflt = AIOS_DENY;
    int rc = check_keys(&rd, &top, root, keys, AIOS__ARRAY_LEN(keys));
    if (!rc && aios__json_int(version, 0) != 1)
        rc = aios__json_int(version, 0) > 1 ? aios__fail(err, AIOS_EVERSION, "policy: /version is newer than 1, which this library reads")
                                            : aios__fail(err, AIOS_EINVAL, "policy: /version must be 1");
    rc = rc ? rc : read_word(&rd, &top, root, "default", stricter, AIOS__ARRAY_LEN(stricter), &r->dflt);
    rc = rc ? rc : read_word(&rd, &top, root, "results", results, AIOS__ARRAY_LEN(results), &handles);
    rc = rc ? rc : read_flag(&rd, &top, root, "rule_of_two", &r->rule_of_two);
    rc = rc ? rc : read_number(&rd, &top, root, "endorse_bits", false, &r->endorse_bits);
    rc = rc ? rc : read_classes(&rd, root);
    rc = rc ? rc : read_ask(&rd, root);
    r->handles = (uint32_t)handles;
    return rc ? rc : read_caps(&rd, root);
}

static int two(const char *s)
{
    return s[0] >= '0' && s[0] <= '9' && s[1] >= '0' && s[1] <= '9' ? (s[0] - '0') * 10 + (s[1] - '0') : -1;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar. */
static int64_t days(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = y / 400, yoe = y - era * 400, doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

bool aios__rfc3339(const char *s, int64_t *us)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd";
    static const uint8_t lengths[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    for (size_t i = 0; form[i]; i++)
        if (form[i] == 'd' ? s[i] < '0' || s[i] > '9' : s[i] != form[i] && !(form[i] == 'T' && s[i] == 't'))
            return false;
    int year = two(s) * 100 + two(s + 2), month = two(s + 5), day = two(s + 8), h = two(s + 11), m = two(s + 14), sec = two(s + 17);
    int64_t offset = 0, fraction = 0, unit = 100000;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (month < 1 || month > 12 || day < 1 || day > lengths[month - 1] || (month == 2 && day == 29 && !leap) || h > 23 || m > 59 || sec > 60)
        return false;
    s += sizeof form - 1;
    if (*s == '.' && (s[1] < '0' || s[1] > '9'))
        return false;
    for (s += *s == '.'; *s >= '0' && *s <= '9'; s++, unit /= 10)
        fraction += (*s - '0') * unit;
    if (*s == '+' || *s == '-') {
        if (strlen(s) != 6 || s[3] != ':' || two(s + 1) < 0 || two(s + 1) > 23 || two(s + 4) < 0 || two(s + 4) > 59)
            return false;
        offset = (two(s + 1) * 60 + two(s + 4)) * (*s == '+' ? 60 : -60);
    } else if ((*s != 'Z' && *s != 'z') || s[1]) {
        return false;
    }
    *us = ((days(year, month, day) * 24 + h) * 3600 + m * 60 + sec - offset) * 1000000 + fraction;
    return true;
}
