/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Schema as a validator of finished values. */
#ifndef AIOS_LIB_SCHEMA_H
#define AIOS_LIB_SCHEMA_H

#include "base/json.h"

typedef struct aios__schema aios__schema;
/** Compiles; ESCHEMA with the path of a keyword that is wrong or cannot be enforced. Safe for concurrent use. */
int aios__schema_new(aios_ctx *ctx, const char *s, size_t n, aios__schema **out, aios_error *err);
void aios__schema_free(aios__schema *s);
/** ESCHEMA with path and reason of the first violation. */
int aios__schema_check(const aios__schema *s, const aios__json *v, aios_error *err);

#endif
