/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of lib/memory. */
#ifndef AIOS_LIB_MEMORY_PRIV_H
#define AIOS_LIB_MEMORY_PRIV_H

#include <aios/plugin/memory.h>

#include "base/kinds.h"

/** Kind and path of a URI. EINVAL, ENOTSUP. */
int aios__memory_kind_find(aios_ctx *ctx, const char *uri, const aios__kind **out, const char **path, aios_error *err);

/* ---- words.c ------------------------------------------------------------------------------------------------------ */

/** Different words of a query, as they stand in it. */
typedef struct aios__words {
    const char *at[AIOS_MEMORY_MAX_TERMS];
    size_t n_at[AIOS_MEMORY_MAX_TERMS];
    uint32_t n;
} aios__words;

/** Cuts a text into runs of letters, marks and numbers. False: there are more than the bound; out->n says how many at least. */
bool aios__words_cut(const char *s, size_t n, aios__words *out);

/* ---- tags.c ------------------------------------------------------------------------------------------------------- */

/** Tags in the one form that aios__tags_have compares: an object of texts, numbers and booleans, compact. EINVAL, ELIMIT; `what` names them. */
int aios__tags_read(aios_ctx *ctx, const char *json, const char *what, aios__buf *out, aios_error *err);
/** True if all members of `want` are in `tags`, both as aios__tags_read wrote them. */
bool aios__tags_have(const char *tags, size_t n_tags, const char *want, size_t n_want);

#endif
