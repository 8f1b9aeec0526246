/* SPDX-License-Identifier: Apache-2.0 */
/* Writes JSON, member by member. */
#include "base/put.h"

int aios__put_comma(aios__buf *b, aios_error *err)
{
    char last = b->n ? b->p[b->n - 1] : 0;
    return !last || last == '{' || last == '[' || last == ':' || last == ',' ? b->failed : aios__buf_addc(b, ',', err);
}

int aios__put_key(aios__buf *b, const char *key, aios_error *err)
{
    aios__put_comma(b, err);
    aios__buf_add_json(b, key, strlen(key), err);
    return aios__buf_addc(b, ':', err);
}

int aios__put_str(aios__buf *b, const char *key, const char *s, size_t n, aios_error *err)
{
    if (!s)
        return b->failed;
    aios__put_key(b, key, err);
    return aios__buf_add_json(b, s, n == AIOS_CSTR ? strlen(s) : n, err);
}

int aios__put_int(aios__buf *b, const char *key, int64_t v, aios_error *err)
{
    aios__put_key(b, key, err);
    return aios__buf_addf(b, err, "%lld", (long long)v);
}

int aios__put_real(aios__buf *b, const char *key, double v, aios_error *err)
{
    aios__put_key(b, key, err);
    return aios__buf_add_real(b, v, 7, err);
}

int aios__put_bool(aios__buf *b, const char *key, bool v, aios_error *err)
{
    aios__put_key(b, key, err);
    return aios__buf_adds(b, v ? "true" : "false", err);
}

int aios__put_raw(aios__buf *b, const char *key, const char *json, aios_error *err)
{
    aios__put_key(b, key, err);
    return aios__buf_adds(b, json, err);
}

int aios__put_strings(aios__buf *b, const char *key, const char *const *list, aios_error *err)
{
    if (!list || !*list)
        return b->failed;
    aios__put_key(b, key, err);
    aios__buf_addc(b, '[', err);
    for (; *list; list++) {
        aios__put_comma(b, err);
        aios__buf_add_json(b, *list, strlen(*list), err);
    }
    return aios__buf_addc(b, ']', err);
}
