/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AIOS_LIB_STORE_REGISTRY_PRIV_H
#define AIOS_LIB_STORE_REGISTRY_PRIV_H

#include "store/store_priv.h"

enum { AIOS__STORE_SCHEME_MAX = 32 };

/** A registered kind; lives as long as the ctx. */
typedef struct aios__store_kind {
    aios_store_ops ops;
    void *user;
    char name[AIOS__STORE_SCHEME_MAX + 1];
} aios__store_kind;

/** Kind and path of a URI. EINVAL, ENOTSUP. */
int aios__store_kind_find(aios_ctx *ctx, const char *uri, const aios__store_kind **out, const char **path, aios_error *err);

#endif
