/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of memories of a ctx. */
#include "config.h"
#include "memory/memory_priv.h"

static const aios__kinds memories = {AIOS__SLOT_MEMORIES, "memory", "sqlite:FILE or memory:"};

static int check_ops(const aios_memory_ops *ops, aios_error *err)
{
    if (!aios__kind_name_ok(ops->name))
        return aios__fail(err, AIOS_EINVAL, "a memory's name must match [a-z][a-z0-9+.-]{0,31}");
    const struct {
        const char *name;
        bool set;
    } needed[] = {{"open", ops->open}, {"close", ops->close}, {"add", ops->add},   {"search", ops->search},
                  {"list", ops->list}, {"get", ops->get},     {"find", ops->find}, {"remove", ops->remove}};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(needed); i++)
        if (!needed[i].set)
            return aios__fail(err, AIOS_EINVAL, "memory %s: the slot %s is NULL but has no default", ops->name, needed[i].name);
    return AIOS_OK;
}

int aios_memory_register(aios_ctx *ctx, const aios_memory_ops *src, void *user, aios_error *err)
{
    aios_memory_ops ops;
    if (!ctx || !src)
        return aios__fail(err, AIOS_EINVAL, "aios_memory_register: %s is NULL", ctx ? "ops" : "ctx");
    int rc = aios__struct_in(&ops, sizeof ops, src, err);
    rc = rc ? rc : check_ops(&ops, err);
    return rc ? rc : aios__kind_add(ctx, &memories, &ops, sizeof ops, user, err);
}

int aios__memory_kind_find(aios_ctx *ctx, const char *uri, const aios__kind **out, const char **path, aios_error *err)
{
    int rc = aios__kind_find(ctx, &memories, uri, out, path, err);
    bool ours = !strncmp(uri, "sqlite:", 7) || !strncmp(uri, "memory:", 7);
    if (rc == AIOS_ENOTSUP && ours && !AIOS_HAVE_SQLITE)
        return aios__fail(err, rc, "%.60s: memories need SQLite, which this build of libaios was made without (-Dsqlite=enabled)", uri);
    return rc;
}
