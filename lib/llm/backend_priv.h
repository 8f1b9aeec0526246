/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AIOS_LIB_BACKEND_PRIV_H
#define AIOS_LIB_BACKEND_PRIV_H

#include "llm/llm.h"

enum { AIOS__SCHEME_MAX = 32, AIOS__URI_MAX = 65536 };

/** A registered backend; lives as long as the ctx. */
typedef struct aios__backend {
    aios_backend_ops ops;
    void *user;
    bool one_loop; /**< a wait of any model drives those of all */
    aios__loops_fn *loops; /**< of models that are made of others; NULL: they wait by themselves */
    char name[AIOS__SCHEME_MAX + 1];
} aios__backend;

/** Backend and path of a URI. EINVAL, ENOTSUP. */
int aios__backend_find(aios_ctx *ctx, const char *uri, const aios__backend **out, const char **path, aios_error *err);

#endif
