/* SPDX-License-Identifier: Apache-2.0 */
/* The registry of backends of a ctx, and URIs. */
#include <stdio.h>

#include "base/nearest.h"
#include "llm/backend_priv.h"

#define MAX_BACKENDS 64u

typedef struct registry {
    aios__backend *list[MAX_BACKENDS];
    uint32_t n;
} registry;

static void free_registry(aios_ctx *ctx, void *p)
{
    registry *r = p;
    aios__heap *h = aios__ctx_heap(ctx);
    for (uint32_t i = 0; i < r->n; i++)
        aios__free(h, r->list[i]);
    aios__free(h, r);
}

static bool scheme_ok(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool lower = s[i] >= 'a' && s[i] <= 'z';
        bool later = (s[i] >= '0' && s[i] <= '9') || s[i] == '+' || s[i] == '-' || s[i] == '.';
        if (!lower && !(i && later))
            return false;
    }
    return n >= 1 && n <= AIOS__SCHEME_MAX;
}

static aios__backend *find(const registry *r, const char *s, size_t n)
{
    for (uint32_t i = 0; r && i < r->n; i++)
        if (strlen(r->list[i]->name) == n && !memcmp(r->list[i]->name, s, n))
            return r->list[i];
    return NULL;
}

static int check_ops(const aios_backend_ops *ops, aios_error *err)
{
    if (!ops->name || !scheme_ok(ops->name, strnlen(ops->name, AIOS__SCHEME_MAX + 1)))
        return aios__fail(err, AIOS_EINVAL, "a backend's name must match [a-z][a-z0-9+.-]{0,31}");
    const struct {
        const char *name;
        bool set;
    } needed[] = {
        {"open", ops->open},
        {"close", ops->close},
        {"session_new", ops->session_new},
        {"session_free", ops->session_free},
        {"start", ops->start},
        {"step", ops->step},
    };
    for (size_t i = 0; i < AIOS__ARRAY_LEN(needed); i++)
        if (!needed[i].set)
            return aios__fail(err, AIOS_EINVAL, "backend %s: the slot %s is NULL but has no default", ops->name, needed[i].name);
    if (!ops->wait != !ops->wake)
        return aios__fail(err, AIOS_EINVAL, "backend %s: the slots wait and wake are set both, or none is", ops->name);
    return AIOS_OK;
}

/* The registry of ctx, made by whoever comes first. */
static registry *registry_of(aios_ctx *ctx, aios_error *err)
{
    aios__ctx_lock(ctx);
    registry *r = aios__ctx_slot(ctx, AIOS__SLOT_BACKENDS);
    aios__ctx_unlock(ctx);
    if (r)
        return r;
    registry *mine = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_OTHER, sizeof *mine, err);
    if (!mine)
        return NULL;
    aios__ctx_lock(ctx);
    r = aios__ctx_slot(ctx, AIOS__SLOT_BACKENDS);
    if (!r) {
        aios__ctx_slot_set(ctx, AIOS__SLOT_BACKENDS, mine, free_registry);
        r = mine;
        mine = NULL;
    }
    aios__ctx_unlock(ctx);
    aios__free(aios__ctx_heap(ctx), mine);
    return r;
}

static int add_backend(aios_ctx *ctx, const aios_backend_ops *src, void *user, bool one_loop, aios__loops_fn *loops, aios_error *err)
{
    aios_backend_ops ops;
    if (!ctx || !src)
        return aios__fail(err, AIOS_EINVAL, "aios_backend_register: %s is NULL", ctx ? "ops" : "ctx");
    int rc = aios__struct_in(&ops, sizeof ops, src, err);
    if (!rc)
        rc = check_ops(&ops, err);
    if (rc)
        return rc;
    registry *r = registry_of(ctx, err);
    aios__backend *b = r ? aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_OTHER, sizeof *b, err) : NULL;
    if (!b)
        return aios__nomem(err);
    memcpy(b->name, ops.name, strlen(ops.name) + 1);
    b->ops = ops;
    b->ops.name = b->name;
    b->user = user;
    b->one_loop = one_loop;
    b->loops = loops;
    aios__ctx_lock(ctx);
    if (find(r, b->name, strlen(b->name)))
        rc = AIOS_EEXIST;
    else if (r->n == MAX_BACKENDS)
        rc = AIOS_ELIMIT;
    else
        r->list[r->n++] = b;
    aios__ctx_unlock(ctx);
    if (!rc)
        return AIOS_OK;
    aios__fail(err, rc, rc == AIOS_EEXIST ? "a backend %s is registered already" : "backend %s: the context holds as many backends as it can", b->name);
    aios__free(aios__ctx_heap(ctx), b);
    return rc;
}

int aios_backend_register(aios_ctx *ctx, const aios_backend_ops *ops, void *user, aios_error *err)
{
    return add_backend(ctx, ops, user, false, NULL, err);
}

int aios__backend_register_loop(aios_ctx *ctx, const aios_backend_ops *ops, void *user, aios_error *err)
{
    return add_backend(ctx, ops, user, true, NULL, err);
}

int aios__backend_register_outer(aios_ctx *ctx, const aios_backend_ops *ops, void *user, aios__loops_fn *loops, aios_error *err)
{
    return add_backend(ctx, ops, user, false, loops, err);
}

static bool ends_in_gguf(const char *s)
{
    size_t n = strlen(s);
    return n > 5 && !strcmp(s + n - 5, ".gguf");
}

/* " (did you mean X:?)", or "", of the n bytes at s; then the names of all backends, but for those of a dialect at an address of the URI's own. */
static void list_names(aios_ctx *ctx, const char *s, size_t n, char meant[64], char *out, size_t size)
{
    const char *names[MAX_BACKENDS];
    size_t at = 0;
    out[0] = 0;
    aios__ctx_lock(ctx);
    const registry *r = aios__ctx_slot(ctx, AIOS__SLOT_BACKENDS);
    uint32_t n_names = r ? r->n : 0;
    for (uint32_t i = 0; i < n_names; i++) {
        names[i] = r->list[i]->name; /* lives as long as ctx */
        if (!strchr(names[i], '+') && at + strlen(names[i]) + 2 < size)
            at += (size_t)snprintf(out + at, size - at, "%s%s", at ? ", " : "", names[i]);
    }
    aios__ctx_unlock(ctx);
    const char *near = aios__nearest(s, n, names, n_names);
    snprintf(meant, 64, near ? " (did you mean %s:?)" : "", near);
}

static int fail_unnamed(aios_ctx *ctx, const char *uri, aios_error *err)
{
    char meant[64], names[256];
    size_t n = strspn(uri, "abcdefghijklmnopqrstuvwxyz0123456789+-");
    list_names(ctx, uri, n, meant, names, sizeof names);
    int shown = (int)aios__utf8_whole(uri, strnlen(uri, 120));
    return aios__fail(err, AIOS_EINVAL, "\"%.*s\" names no model%s: a file whose name does not end in .gguf is gguf:%.*s, others are openai:MODEL, "
                      "https://HOST/v1#MODEL, route:FILE", shown, uri, meant, shown, uri);
}

static int fail_unknown(aios_ctx *ctx, const char *uri, size_t n, aios_error *err)
{
    char meant[64], names[256];
    list_names(ctx, uri, n, meant, names, sizeof names);
    return aios__fail(err, AIOS_ENOTSUP, "no backend \"%.*s\" for \"%.*s\"%s: this build has none and no plugin added it; there are %s", (int)n, uri,
                      (int)aios__utf8_whole(uri, strnlen(uri, 100)), uri, meant, names);
}

int aios__backend_find(aios_ctx *ctx, const char *uri, const aios__backend **out, const char **path, aios_error *err)
{
    size_t n = strlen(uri);
    if (!n || n > AIOS__URI_MAX || !aios__utf8_valid(uri, n))
        return aios__fail(err, AIOS_EINVAL, "a model URI is UTF-8 text of 1 to %u bytes", (unsigned)AIOS__URI_MAX);
    const char *colon = strchr(uri, ':');
    bool has_scheme = colon && scheme_ok(uri, (size_t)(colon - uri));
    const char *name = has_scheme ? uri : "gguf";
    size_t n_name = has_scheme ? (size_t)(colon - uri) : 4;
    if (!has_scheme && !ends_in_gguf(uri))
        return fail_unnamed(ctx, uri, err);
    *path = has_scheme ? colon + 1 : uri;
    aios__ctx_lock(ctx);
    *out = find(aios__ctx_slot(ctx, AIOS__SLOT_BACKENDS), name, n_name);
    aios__ctx_unlock(ctx);
    return *out ? AIOS_OK : fail_unknown(ctx, uri, n_name, err);
}
