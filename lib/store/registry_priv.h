/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AIOS_LIB_STORE_REGISTRY_PRIV_H
#define AIOS_LIB_STORE_REGISTRY_PRIV_H

#include "base/kinds.h"
#include "store/store_priv.h"

/** Kind and path of a URI. EINVAL, ENOTSUP. */
int aios__store_kind_find(aios_ctx *ctx, const char *uri, const aios__kind **out, const char **path, aios_error *err);

#endif
