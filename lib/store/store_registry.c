/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of stores of a ctx. */
#include "store/registry_priv.h"

static const aios__kinds stores = {AIOS__SLOT_STORES, "store", "sqlite:FILE or memory:"};

static int check_ops(const aios_store_ops *ops, aios_error *err)
{
    if (!aios__kind_name_ok(ops->name))
        return aios__fail(err, AIOS_EINVAL, "a store's name must match [a-z][a-z0-9+.-]{0,31}");
    const struct {
        const char *name;
        bool set;
    } needed[] = {{"open", ops->open}, {"close", ops->close}, {"commit", ops->commit}, {"read", ops->read},
                  {"head", ops->head}, {"list", ops->list},   {"remove", ops->remove}};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(needed); i++)
        if (!needed[i].set)
            return aios__fail(err, AIOS_EINVAL, "store %s: the slot %s is NULL but has no default", ops->name, needed[i].name);
    if (ops->flags & ~(uint32_t)AIOS_STORE_OPS_SLOW)
        return aios__fail(err, AIOS_EVERSION, "store %s: flags 0x%x are not known here: update libaios", ops->name, ops->flags);
    int claims = !!ops->claim + !!ops->claim_renew + !!ops->claim_release;
    if (claims && claims != 3)
        return aios__fail(err, AIOS_EINVAL, "store %s: claim, claim_renew and claim_release come together or not at all", ops->name);
    return AIOS_OK;
}

int aios_store_register(aios_ctx *ctx, const aios_store_ops *src, void *user, aios_error *err)
{
    aios_store_ops ops;
    if (!ctx || !src)
        return aios__fail(err, AIOS_EINVAL, "aios_store_register: %s is NULL", ctx ? "ops" : "ctx");
    int rc = aios__struct_in(&ops, sizeof ops, src, err);
    rc = rc ? rc : check_ops(&ops, err);
    return rc ? rc : aios__kind_add(ctx, &stores, &ops, sizeof ops, user, err);
}

int aios__store_kind_find(aios_ctx *ctx, const char *uri, const aios__kind **out, const char **path, aios_error *err)
{
    return aios__kind_find(ctx, &stores, uri, out, path, err);
}
