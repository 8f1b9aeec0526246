/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of stores of a ctx. */
#include <stdio.h>

#include "store/registry_priv.h"

#define MAX_KINDS 32u

typedef struct registry {
    aios__store_kind *list[MAX_KINDS];
    uint32_t n;
} registry;

static void free_registry(aios_ctx *ctx, void *p)
{
    registry *r = p;
    for (uint32_t i = 0; i < r->n; i++)
        aios__free(aios__ctx_heap(ctx), r->list[i]);
    aios__free(aios__ctx_heap(ctx), r);
}

static bool scheme_ok(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(s[i] >= 'a' && s[i] <= 'z') && !(i && s[i] && strchr("0123456789+-.", s[i])))
            return false;
    return n >= 1 && n <= AIOS__STORE_SCHEME_MAX;
}

static aios__store_kind *find(const registry *r, const char *s, size_t n)
{
    for (uint32_t i = 0; r && i < r->n; i++)
        if (strlen(r->list[i]->name) == n && !memcmp(r->list[i]->name, s, n))
            return r->list[i];
    return NULL;
}

static int check_ops(const aios_store_ops *ops, aios_error *err)
{
    if (!ops->name || !scheme_ok(ops->name, strnlen(ops->name, AIOS__STORE_SCHEME_MAX + 1)))
        return aios__fail(err, AIOS_EINVAL, "a store's name must match [a-z][a-z0-9+.-]{0,31}");
    const struct {
        const char *name;
        bool set;
    } needed[] = {{"open", ops->open}, {"close", ops->close}, {"commit", ops->commit}, {"read", ops->read},
                  {"head", ops->head}, {"list", ops->list},   {"remove", ops->remove}};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(needed); i++)
        if (!needed[i].set)
            return aios__fail(err, AIOS_EINVAL, "store %s: the slot %s is NULL but has no default", ops->name, needed[i].name);
    int claims = !!ops->claim + !!ops->claim_renew + !!ops->claim_release;
    if (claims && claims != 3)
        return aios__fail(err, AIOS_EINVAL, "store %s: claim, claim_renew and claim_release come together or not at all", ops->name);
    return AIOS_OK;
}

/* Puts a kind into the registry of ctx; `spare` becomes that if there is none yet. */
static int insert(aios_ctx *ctx, registry **spare, aios__store_kind *k)
{
    int rc = AIOS_OK;
    aios__ctx_lock(ctx);
    registry *r = aios__ctx_slot(ctx, AIOS__SLOT_STORES);
    if (!r) {
        r = *spare;
        *spare = NULL;
        aios__ctx_slot_set(ctx, AIOS__SLOT_STORES, r, free_registry);
    }
    if (find(r, k->name, strlen(k->name)))
        rc = AIOS_EEXIST;
    else if (r->n == MAX_KINDS)
        rc = AIOS_ELIMIT;
    else
        r->list[r->n++] = k;
    aios__ctx_unlock(ctx);
    return rc;
}

int aios_store_register(aios_ctx *ctx, const aios_store_ops *src, void *user, aios_error *err)
{
    aios_store_ops ops;
    if (!ctx || !src)
        return aios__fail(err, AIOS_EINVAL, "aios_store_register: %s is NULL", ctx ? "ops" : "ctx");
    int rc = aios__struct_in(&ops, sizeof ops, src, err);
    rc = rc ? rc : check_ops(&ops, err);
    if (rc)
        return rc;
    aios__heap *h = aios__ctx_heap(ctx);
    registry *spare = aios__alloc(h, AIOS_MEM_OTHER, sizeof *spare, err);
    aios__store_kind *k = spare ? aios__alloc(h, AIOS_MEM_OTHER, sizeof *k, err) : NULL;
    if (!k) {
        aios__free(h, spare);
        return aios__error_code(err, AIOS_ENOMEM);
    }
    memcpy(k->name, ops.name, strlen(ops.name) + 1);
    k->ops = ops;
    k->ops.name = k->name;
    k->user = user;
    rc = insert(ctx, &spare, k);
    if (rc) {
        aios__fail(err, rc, rc == AIOS_EEXIST ? "a store %s is registered already" : "store %s: the context holds as many kinds of stores as it can", k->name);
        aios__free(h, k);
    }
    aios__free(h, spare);
    return rc;
}

int aios__store_kind_find(aios_ctx *ctx, const char *uri, const aios__store_kind **out, const char **path, aios_error *err)
{
    const char *colon = strchr(uri, ':');
    size_t n = colon ? (size_t)(colon - uri) : 0, at = 0;
    if (!scheme_ok(uri, n))
        return aios__fail(err, AIOS_EINVAL, "\"%.200s\" names no store: write sqlite:FILE or memory:", uri);
    char names[256] = "";
    aios__ctx_lock(ctx);
    const registry *r = aios__ctx_slot(ctx, AIOS__SLOT_STORES);
    *out = find(r, uri, n);
    for (uint32_t i = 0; r && !*out && i < r->n && at + AIOS__STORE_SCHEME_MAX + 3 < sizeof names; i++)
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", at ? ", " : "", r->list[i]->name);
    aios__ctx_unlock(ctx);
    if (!*out)
        return aios__fail(err, AIOS_ENOTSUP, "no store \"%.*s\" for \"%.100s\": this build has none and no plugin added it; there are %s", (int)n, uri, uri, names);
    *path = colon + 1;
    return AIOS_OK;
}
