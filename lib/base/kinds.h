/* SPDX-License-Identifier: Apache-2.0 */
/* Kinds of an interface that open by the scheme of a URI: those that a ctx has, built in or by plugin. */
#ifndef AIOS_LIB_KINDS_H
#define AIOS_LIB_KINDS_H

#include "base/base.h"

enum { AIOS__SCHEME_MAX = 32 };

/** A registered kind; lives as long as the ctx. */
typedef struct aios__kind {
    const void *ops; /**< a copy */
    void *user;
    char name[AIOS__SCHEME_MAX + 1];
} aios__kind;

/** What a kind is of. */
typedef struct aios__kinds {
    uint32_t slot;        /**< of the ctx */
    const char *noun;     /**< "store", in messages */
    const char *example;  /**< "sqlite:FILE or memory:" */
} aios__kinds;

/** True if name is one of a kind: [a-z][a-z0-9+.-]{0,31}. */
bool aios__kind_name_ok(const char *name);
/** Adds a kind. ops: n bytes that begin with struct_size and name, copied. EEXIST, ELIMIT. */
int aios__kind_add(aios_ctx *ctx, const aios__kinds *of, const void *ops, size_t n, void *user, aios_error *err);
/** Kind and path of a URI. EINVAL, ENOTSUP. */
int aios__kind_find(aios_ctx *ctx, const aios__kinds *of, const char *uri, const aios__kind **out, const char **path, aios_error *err);

#endif
