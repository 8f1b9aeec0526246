/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/kinds.h"

#define MAX_KINDS 32u

typedef struct registry {
    aios__kind *list[MAX_KINDS];
    uint32_t n;
} registry;

/* How all tables of functions begin. */
typedef struct ops_head {
    size_t struct_size;
    const char *name;
} ops_head;

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
    return n >= 1 && n <= AIOS__SCHEME_MAX;
}

bool aios__kind_name_ok(const char *name)
{
    return name && scheme_ok(name, strnlen(name, AIOS__SCHEME_MAX + 1));
}

static aios__kind *find(const registry *r, const char *s, size_t n)
{
    for (uint32_t i = 0; r && i < r->n; i++)
        if (strlen(r->list[i]->name) == n && !memcmp(r->list[i]->name, s, n))
            return r->list[i];
    return NULL;
}

/* Puts a kind into the registry of ctx; `spare` becomes that if there is none yet. */
static int insert(aios_ctx *ctx, uint32_t slot, registry **spare, aios__kind *k)
{
    int rc = AIOS_OK;
    aios__ctx_lock(ctx);
    registry *r = aios__ctx_slot(ctx, slot);
    if (!r) {
        r = *spare;
        *spare = NULL;
        aios__ctx_slot_set(ctx, slot, r, free_registry);
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

static aios__kind *make(aios__heap *h, const void *ops, size_t n, void *user, aios_error *err)
{
    size_t head = (sizeof(aios__kind) + 15) / 16 * 16;
    aios__kind *k = aios__alloc(h, AIOS_MEM_OTHER, head + n, err);
    if (!k)
        return NULL;
    ops_head *copy = (void *)((char *)k + head);
    memcpy(copy, ops, n);
    snprintf(k->name, sizeof k->name, "%s", copy->name);
    copy->name = k->name;
    k->ops = copy;
    k->user = user;
    return k;
}

int aios__kind_add(aios_ctx *ctx, const aios__kinds *of, const void *ops, size_t n, void *user, aios_error *err)
{
    aios__heap *h = aios__ctx_heap(ctx);
    registry *spare = aios__alloc(h, AIOS_MEM_OTHER, sizeof *spare, err);
    aios__kind *k = spare ? make(h, ops, n, user, err) : NULL;
    if (!k) {
        aios__free(h, spare);
        return aios__error_code(err, AIOS_ENOMEM);
    }
    int rc = insert(ctx, of->slot, &spare, k);
    if (rc) {
        aios__fail(err, rc, rc == AIOS_EEXIST ? "a %s %s is registered already" : "%s %s: the context holds as many kinds as it can", of->noun, k->name);
        aios__free(h, k);
    }
    aios__free(h, spare);
    return rc;
}

int aios__kind_find(aios_ctx *ctx, const aios__kinds *of, const char *uri, const aios__kind **out, const char **path, aios_error *err)
{
    const char *colon = strchr(uri, ':');
    size_t n = colon ? (size_t)(colon - uri) : 0, at = 0;
    if (!scheme_ok(uri, n))
        return aios__fail(err, AIOS_EINVAL, "\"%.200s\" names no %s: write %s", uri, of->noun, of->example);
    char names[256] = "";
    aios__ctx_lock(ctx);
    const registry *r = aios__ctx_slot(ctx, of->slot);
    *out = find(r, uri, n);
    for (uint32_t i = 0; r && !*out && i < r->n && at + AIOS__SCHEME_MAX + 3 < sizeof names; i++)
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", at ? ", " : "", r->list[i]->name);
    aios__ctx_unlock(ctx);
    if (!*out)
        return aios__fail(err, AIOS_ENOTSUP, "no %s \"%.*s\" for \"%.100s\": this build has none and no plugin added it; there are %s", of->noun, (int)n, uri, uri,
                          names);
    *path = colon + 1;
    return AIOS_OK;
}
