/* SPDX-License-Identifier: Apache-2.0 */
/* The table of dialects: to add one = one file and one row. */
#include "backend/http/dialect.h"

static const aios__dialect *const rows[] = {
    &aios__dialect_openai,
    &aios__dialect_responses,
    &aios__dialect_anthropic,
    &aios__dialect_ollama,
    &aios__dialect_gemini,
};

const aios__dialect *aios__dialect_find(const char *name, size_t n)
{
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (strlen(rows[i]->name) == n && !memcmp(rows[i]->name, name, n))
            return rows[i];
    return NULL;
}

const aios__dialect *aios__dialect_at(uint32_t i)
{
    return i < AIOS__ARRAY_LEN(rows) ? rows[i] : NULL;
}
