/* SPDX-License-Identifier: Apache-2.0 */
/* The file of a router. Every key is known, and every mistake is told with its path. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/route/route_priv.h"

#define MAX_FILE ((size_t)4 << 20)
#define MS INT64_C(1000000)

/* ---- members by table --------------------------------------------------------------------------------------------- */

enum kind { UINT, MILLIS, COUNT, REAL, FLAG, TEXT, MILLIONTHS, OTHER };
typedef struct field {
    const char *key;
    enum kind kind;
    size_t at; /* in the struct; OTHER: read elsewhere */
} field;

static int bad(const char *path, const char *key, const char *what, aios_error *err)
{
    return aios__fail(err, AIOS_EINVAL, "route: %s%s%s %s", path, key ? "." : "", key ? key : "", what);
}

static int put(const aios__json *v, const field *f, const char *path, void *out, aios_error *err)
{
    char *p = (char *)out + f->at;
    double x = aios__json_real(v, -1);
    bool flag = aios__json_type(v) == AIOS__JSON_TRUE || aios__json_type(v) == AIOS__JSON_FALSE;
    if (f->kind == FLAG && !flag)
        return bad(path, f->key, "must be true or false", err);
    if (f->kind == TEXT && !aios__json_str(v, NULL))
        return bad(path, f->key, "must be a string", err);
    if (f->kind < FLAG && (!aios__json_is_number(v) || !(x >= 0 && x <= 4e9)) && f->kind != COUNT)
        return bad(path, f->key, "must be a number from 0 to 4000000000", err);
    if ((f->kind == COUNT || f->kind == MILLIONTHS) && (!aios__json_is_number(v) || !(x >= 0 && x <= 9e15)))
        return bad(path, f->key, "must be a number from 0 to 9000000000000000", err);
    switch (f->kind) {
    case UINT:
        *(uint32_t *)(void *)p = (uint32_t)x;
        break;
    case MILLIS:
        *(int64_t *)(void *)p = (int64_t)(x * (double)MS);
        break;
    case COUNT:
        *(uint64_t *)(void *)p = (uint64_t)x;
        break;
    case REAL:
        *(double *)(void *)p = x;
        break;
    case MILLIONTHS:
        *(double *)(void *)p = x * 1e6;
        break;
    case FLAG:
        *(uint32_t *)(void *)p = aios__json_type(v) == AIOS__JSON_TRUE;
        break;
    case TEXT:
        *(const char **)(void *)p = aios__json_str(v, NULL);
        break;
    default:
        break;
    }
    return AIOS_OK;
}

static int read_fields(const aios__json *o, const char *path, const field *f, size_t n, void *out, aios_error *err)
{
    const char *key;
    const aios__json *v;
    if (!o)
        return AIOS_OK;
    if (aios__json_type(o) != AIOS__JSON_OBJECT)
        return bad(path, NULL, "must be an object", err);
    for (void *it = aios__json_iter(o, NULL, &key, &v); it; it = aios__json_iter(o, it, &key, &v)) {
        size_t i = 0;
        while (i < n && strcmp(f[i].key, key))
            i++;
        int rc = i == n ? bad(path, key, "is no key that a router knows", err) : f[i].kind == OTHER ? AIOS_OK : put(v, &f[i], path, out, err);
        if (rc)
            return rc;
    }
    return AIOS_OK;
}

#define READ(o, path, table, out, err) read_fields(o, path, table, AIOS__ARRAY_LEN(table), out, err)

/* ---- privacy, capabilities, codes --------------------------------------------------------------------------------- */

#define CLASS_PRIVATE 63 /* of "private", where "classes" has none: the command's --label private */

/* A class by its number, or by a name of "classes". */
static int class_of(const aios__json *classes, const aios__json *v, const char *path, uint64_t *bit, aios_error *err)
{
    const char *name = aios__json_str(v, NULL);
    const aios__json *named = name ? aios__json_get(classes, name) : v;
    int64_t n = !named && name && !strcmp(name, "private") ? CLASS_PRIVATE : aios__json_int(named, -1);
    if (n < 0 || n > 63)
        return bad(path, NULL, name ? "names a class that $.classes does not have as a number from 0 to 63" : "holds a class that is no number from 0 to 63", err);
    *bit = UINT64_C(1) << n;
    return AIOS_OK;
}

static int read_privacy(const aios__route *r, const aios__json *v, const char *path, aios__candidate *c, aios_error *err)
{
    const char *word = aios__json_str(v, NULL);
    const aios__json *classes = aios__json_get(aios__json_root(r->doc), "classes");
    if (word && !strcmp(word, "any"))
        c->any_class = 1;
    else if (v && aios__json_type(v) != AIOS__JSON_ARRAY)
        return bad(path, "privacy", "must be \"any\" or an array of classes", err);
    for (size_t i = 0; i < aios__json_count(v); i++) {
        uint64_t bit = 0;
        int rc = class_of(classes, aios__json_at(v, i), path, &bit, err);
        if (rc)
            return rc;
        c->classes |= bit;
    }
    return AIOS_OK;
}

static bool is_list(const aios__json *v)
{
    return !v || aios__json_type(v) == AIOS__JSON_ARRAY;
}

static int read_can(const aios__json *v, const char *path, aios__candidate *c, aios_error *err)
{
    if (!is_list(v))
        return bad(path, "can", "must be an array", err);
    for (size_t i = 0; i < aios__json_count(v); i++) {
        const char *s = aios__json_str(aios__json_at(v, i), NULL);
        if (!s || (strcmp(s, "images") && strcmp(s, "audio")))
            return bad(path, "can", "may hold \"images\" and \"audio\"", err);
        c->can |= *s == 'i' ? AIOS__ROUTE_IMAGES : AIOS__ROUTE_AUDIO;
    }
    return AIOS_OK;
}

static int read_codes(const aios__json *v, const char *key, bool set, uint64_t *mask, aios_error *err)
{
    static const int codes[] = {
#define X(name, number, text) number,
        AIOS_CODES(X)
#undef X
    };
    if (!is_list(v))
        return bad("$", key, "must be an array of names", err);
    for (size_t i = 0; i < aios__json_count(v); i++) {
        const char *s = aios__json_str(aios__json_at(v, i), NULL);
        size_t k = 0;
        while (k < AIOS__ARRAY_LEN(codes) && (codes[k] >= 0 || !s || strcmp(aios_code_name(codes[k]), s)))
            k++;
        if (k == AIOS__ARRAY_LEN(codes))
            return bad("$", key, "must hold names of failures such as \"EFILTERED\"", err);
        uint64_t bit = UINT64_C(1) << -codes[k];
        *mask = set ? *mask | bit : *mask & ~bit;
    }
    return AIOS_OK;
}

/* ---- candidates --------------------------------------------------------------------------------------------------- */

#define AT(name) offsetof(aios__candidate, name)
#define REMOTE_KEYS \
    {"base_url", OTHER, 0}, {"api_key_env", OTHER, 0}, {"api_key", OTHER, 0}, {"max_retries", OTHER, 0}, {"connect_ms", OTHER, 0}, \
        {"first_byte_ms", OTHER, 0}, {"idle_ms", OTHER, 0}, {"total_ms", OTHER, 0}, {"requests_per_min", OTHER, 0}, {"tokens_per_min", OTHER, 0}

static const field candidate_fields[] = {
    {"name", TEXT, AT(name)}, {"uri", OTHER, 0}, {"endpoints", OTHER, 0}, {"n_ctx", UINT, AT(n_ctx)}, {"weight", UINT, AT(weight)},
    {"optional", FLAG, AT(optional)}, {"can", OTHER, 0}, {"when", OTHER, 0}, {"cost", OTHER, 0}, {"limits", OTHER, 0}, REMOTE_KEYS};
static const field when_fields[] = {{"privacy", OTHER, 0}, {"min_tokens", UINT, AT(min_tokens)}, {"max_tokens", UINT, AT(max_tokens)},
                                    {"max_cost", REAL, AT(max_cost)}, {"max_first_event_ms", MILLIS, AT(max_wait_ns)}};
static const field cost_fields[] = {{"input", REAL, AT(cost_input)}, {"output", REAL, AT(cost_output)}, {"cached", REAL, AT(cost_cached)}};
static const field limit_fields[] = {{"tokens", COUNT, AT(limit) + offsetof(aios__route_spend, tokens)},
                                     {"money", MILLIONTHS, AT(limit) + offsetof(aios__route_spend, money)},
                                     {"concurrent", UINT, AT(concurrent)}, {"first_event_ms", MILLIS, AT(first_event_ns)},
                                     {"turn_ms", MILLIS, AT(turn_ns)}};
static const field endpoint_fields[] = {{"uri", OTHER, 0}, {"weight", UINT, offsetof(aios__endpoint, weight)}, REMOTE_KEYS};

/* Without user, password, query, or what stands in braces. */
static void show_uri(const char *uri, char *out, size_t n)
{
    const char *host = strstr(uri, "://"), *at = host ? memrchr(host + 3, '@', strcspn(host + 3, "/?#")) : NULL;
    size_t len = strcspn(uri, "?{");
    if (at && at < uri + len)
        snprintf(out, n, "%.*s%.*s", (int)(host + 3 - uri), uri, (int)(uri + len - at - 1), at + 1);
    else
        snprintf(out, n, "%.*s", (int)len, uri);
    out[aios__utf8_whole(out, strlen(out))] = 0;
}

static int add_endpoint(aios__route *r, const aios__json *o, const char *path, aios__candidate *c, aios_error *err)
{
    const char *uri = aios__json_str(aios__json_get(o, "uri"), NULL);
    if (!uri)
        return bad(path, "uri", "must be a string", err);
    if (r->n_endpoints == AIOS__ROUTE_ENDPOINTS)
        return aios__fail_need(err, AIOS_ELIMIT, AIOS__ROUTE_ENDPOINTS, AIOS__ROUTE_ENDPOINTS + 1,
                               "route: %s is one endpoint more than the %d allowed", path, AIOS__ROUTE_ENDPOINTS);
    aios__endpoint *e = &r->endpoints[r->n_endpoints++];
    e->candidate = (uint32_t)(c - r->candidates);
    e->weight = c->weight ? c->weight : 1;
    e->uri = uri;
    e->open_ns = r->open_ns;
    show_uri(uri, e->shown, sizeof e->shown);
    c->n++;
    return AIOS_OK;
}

static int add_endpoints(aios__route *r, const aios__json *o, const char *path, aios__candidate *c, aios_error *err)
{
    const aios__json *list = aios__json_get(o, "endpoints");
    c->first = r->n_endpoints;
    if (!list)
        return add_endpoint(r, o, path, c, err);
    if (aios__json_get(o, "uri"))
        return bad(path, NULL, "has both uri and endpoints", err);
    if (!aios__json_count(list) || aios__json_type(list) != AIOS__JSON_ARRAY)
        return bad(path, "endpoints", "must be an array with endpoints", err);
    for (size_t i = 0; i < aios__json_count(list); i++) {
        char at[64];
        snprintf(at, sizeof at, "%s.endpoints[%zu]", path, i);
        const aios__json *v = aios__json_at(list, i);
        int rc = add_endpoint(r, v, at, c, err);
        rc = rc ? rc : READ(v, at, endpoint_fields, &r->endpoints[r->n_endpoints - 1], err);
        if (rc)
            return rc;
    }
    return AIOS_OK;
}

static int read_candidate(aios__route *r, const aios__json *o, uint32_t i, aios_error *err)
{
    char path[32], when[48], cost[48], limits[48];
    aios__candidate *c = &r->candidates[i];
    const aios__json *w = aios__json_get(o, "when");
    snprintf(path, sizeof path, "$.candidates[%u]", i);
    snprintf(when, sizeof when, "%s.when", path);
    snprintf(cost, sizeof cost, "%s.cost", path);
    snprintf(limits, sizeof limits, "%s.limits", path);
    if (aios__json_type(o) != AIOS__JSON_OBJECT)
        return bad(path, NULL, "must be an object", err);
    int rc = READ(o, path, candidate_fields, c, err);
    rc = rc ? rc : READ(w, when, when_fields, c, err);
    rc = rc ? rc : READ(aios__json_get(o, "cost"), cost, cost_fields, c, err);
    rc = rc ? rc : READ(aios__json_get(o, "limits"), limits, limit_fields, c, err);
    rc = rc ? rc : read_privacy(r, aios__json_get(w, "privacy"), when, c, err);
    rc = rc ? rc : read_can(aios__json_get(o, "can"), path, c, err);
    rc = rc ? rc : add_endpoints(r, o, path, c, err);
    if (!rc && !aios__json_get(aios__json_get(o, "cost"), "cached"))
        c->cost_cached = c->cost_input;
    if (!rc && !c->name)
        c->name = r->endpoints[c->first].shown;
    for (uint32_t k = 0; !rc && k < i; k++)
        if (!strcmp(r->candidates[k].name, c->name))
            rc = bad(path, "name", "is taken by another candidate: give each its own", err);
    return rc;
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

static const uint64_t next_by_default = UINT64_C(1) << -AIOS_EAUTH | UINT64_C(1) << -AIOS_EQUOTA | UINT64_C(1) << -AIOS_ERATE |
                                        UINT64_C(1) << -AIOS_EUNAVAIL | UINT64_C(1) << -AIOS_ETIMEDOUT | UINT64_C(1) << -AIOS_ECONTEXT |
                                        UINT64_C(1) << -AIOS_EPROTO | UINT64_C(1) << -AIOS_EIO | UINT64_C(1) << -AIOS_ENOENT |
                                        UINT64_C(1) << -AIOS_ENOTSUP | UINT64_C(1) << -AIOS_EBUDGET | UINT64_C(1) << -AIOS_EDENIED |
                                        UINT64_C(1) << -AIOS_ETEMPLATE;

#define IN(name) offsetof(aios__route, name)
static const field route_fields[] = {
    {"candidates", OTHER, 0}, {"classes", OTHER, 0}, {"budget", OTHER, 0}, {"breaker", OTHER, 0}, {"next_on", OTHER, 0}, {"stop_on", OTHER, 0},
    {"balance", OTHER, 0}, {"hedge_ms", MILLIS, IN(hedge_ns)}, {"attempts", UINT, IN(attempts)}, {"patience_ms", MILLIS, IN(patience_ns)},
    {"sticky", FLAG, IN(sticky)}, {"strict_schema", FLAG, IN(strict_schema)}};
static const field budget_fields[] = {{"tokens", COUNT, IN(limit) + offsetof(aios__route_spend, tokens)},
                                      {"money", MILLIONTHS, IN(limit) + offsetof(aios__route_spend, money)}};
static const field breaker_fields[] = {{"failures", UINT, IN(failures)}, {"open_ms", MILLIS, IN(open_ns)}};

static int read_root(aios__route *r, aios_error *err)
{
    const aios__json *root = aios__json_root(r->doc), *list = aios__json_get(root, "candidates"), *balance = aios__json_get(root, "balance");
    const char *word = aios__json_str(balance, NULL);
    int rc = READ(root, "$", route_fields, r, err);
    rc = rc ? rc : READ(aios__json_get(root, "budget"), "$.budget", budget_fields, r, err);
    rc = rc ? rc : READ(aios__json_get(root, "breaker"), "$.breaker", breaker_fields, r, err);
    rc = rc ? rc : read_codes(aios__json_get(root, "next_on"), "next_on", true, &r->next_on, err);
    rc = rc ? rc : read_codes(aios__json_get(root, "stop_on"), "stop_on", false, &r->next_on, err);
    if (!rc && balance && (!word || (strcmp(word, "weighted") && strcmp(word, "least"))))
        rc = bad("$", "balance", "must be \"weighted\" or \"least\"", err);
    r->least = word && !strcmp(word, "least");
    if (!rc && (aios__json_type(list) != AIOS__JSON_ARRAY || !aios__json_count(list) || aios__json_count(list) > AIOS__ROUTE_CANDIDATES))
        rc = bad("$", "candidates", "must be an array of 1 to 32 candidates", err);
    for (; !rc && r->n_candidates < aios__json_count(list); r->n_candidates++)
        rc = read_candidate(r, aios__json_at(list, r->n_candidates), r->n_candidates, err);
    return rc;
}

int aios__route_read(const aios_backend_open_args *args, aios__route *r, aios_error *err)
{
    aios__buf file;
    const char *text = args->path;
    r->sticky = 1;
    r->attempts = 8;
    r->failures = 3;
    r->open_ns = 2000 * MS;
    r->patience_ns = 10000 * MS;
    r->next_on = next_by_default;
    aios__buf_init(&file, r->heap, AIOS_MEM_TEXT, MAX_FILE);
    int rc = *text == '{' ? aios__buf_adds(&file, text, err) : aios__buf_add_file(&file, aios__ctx_env(args->ctx), text, "route:", err);
    rc = rc ? rc : aios__json_parse(r->heap, file.p ? file.p : "", file.n, &r->doc, err);
    rc = rc ? rc : read_root(r, err);
    if (file.p)
        explicit_bzero(file.p, file.n);
    aios__buf_free(&file);
    return rc;
}

/* ---- what goes on to a candidate's model -------------------------------------------------------------------------- */

/* The object of endpoint e, and that of its candidate. */
static void objects_of(const aios__route *r, uint32_t e, const aios__json *out[2])
{
    const aios__endpoint *p = &r->endpoints[e];
    const aios__candidate *c = &r->candidates[p->candidate];
    out[0] = aios__json_at(aios__json_get(aios__json_root(r->doc), "candidates"), p->candidate);
    out[1] = aios__json_at(aios__json_get(out[0], "endpoints"), e - c->first);
}

static int read_key(const aios__json *o, const char *path, aios_remote_config *c, aios_error *err)
{
    const char *name = aios__json_str(aios__json_get(o, "api_key_env"), NULL), *value = name ? getenv(name) : NULL;
    if (name && (!value || !*value))
        return aios__fail(err, AIOS_EAUTH, "route: %s.api_key_env: the variable %.64s is not set", path, name);
    c->api_key = value ? value : c->api_key;
    return AIOS_OK;
}

int aios__route_remote(const aios__route *r, uint32_t e, const aios_remote_config *host, aios_remote_config *out, aios_error *err)
{
#define OF(name) offsetof(aios_remote_config, name)
    static const field fields[] = {
        {"base_url", TEXT, OF(base_url)}, {"api_key", TEXT, OF(api_key)}, {"max_retries", UINT, OF(max_retries)},
        {"connect_ms", MILLIS, OF(connect_ns)},
        {"first_byte_ms", MILLIS, OF(first_byte_ns)}, {"idle_ms", MILLIS, OF(idle_ns)}, {"total_ms", MILLIS, OF(total_ns)},
        {"requests_per_min", UINT, OF(requests_per_min)}, {"tokens_per_min", UINT, OF(tokens_per_min)}};
    const aios__json *o[2], *v;
    char path[48];
    int rc = aios__struct_in(out, sizeof *out, host, err);
    /* what the host has for one server would reach others here: the callback at least sees the origin */
    out->base_url = out->api_key = NULL;
    out->headers = NULL;
    objects_of(r, e, o);
    snprintf(path, sizeof path, "$.candidates[%u]", r->endpoints[e].candidate);
    for (size_t i = 0; !rc && i < AIOS__ARRAY_LEN(o); i++) {
        for (size_t k = 0; !rc && k < AIOS__ARRAY_LEN(fields); k++)
            if ((v = aios__json_get(o[i], fields[k].key)) != NULL)
                rc = put(v, &fields[k], path, out, err);
        rc = rc ? rc : read_key(o[i], path, out, err);
    }
    out->max_retries = out->max_retries ? out->max_retries : AIOS_NO_RETRIES; /* the router tries elsewhere */
    return rc;
}

void aios__route_wipe(aios__route *r)
{
    for (uint32_t e = 0; e < r->n_endpoints; e++) {
        const aios__json *o[2];
        objects_of(r, e, o);
        for (size_t i = 0; i < AIOS__ARRAY_LEN(o); i++) {
            size_t n;
            const char *key = aios__json_str(aios__json_get(o[i], "api_key"), &n);
            if (key)
                explicit_bzero((void *)(uintptr_t)key, n); /* nobody else holds the document */
        }
    }
}
