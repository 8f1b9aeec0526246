/* SPDX-License-Identifier: Apache-2.0 */
/* The keyword that a misspelt one was probably meant to be. */
#include "grammar/schema_priv.h"

static const char *name_at(const void *user, size_t i)
{
    AIOS__UNUSED(user);
    return aios__kw_name((enum aios__kw)i);
}

const char *aios__kw_near(const char *name)
{
    return aios__near(name, name_at, NULL, AIOS__KW_COUNT);
}
