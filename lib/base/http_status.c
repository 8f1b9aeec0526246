/* SPDX-License-Identifier: Apache-2.0 */
#include "base/http.h"

int aios__http_code(int status)
{
    static const struct {
        int from, to, code;
    } rows[] = {
        {200, 299, AIOS_OK},        {401, 401, AIOS_EAUTH},     {402, 402, AIOS_EQUOTA},   {403, 403, AIOS_EAUTH},
        {404, 404, AIOS_ENOENT},    {408, 408, AIOS_ETIMEDOUT}, {410, 410, AIOS_ENOENT},   {413, 413, AIOS_ELIMIT},
        {429, 429, AIOS_ERATE},     {501, 501, AIOS_ENOTSUP},   {504, 504, AIOS_ETIMEDOUT}, {500, 599, AIOS_EUNAVAIL},
        {400, 499, AIOS_EINVAL},
    };
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (status >= rows[i].from && status <= rows[i].to)
            return rows[i].code;
    return AIOS_EPROTO; /* 1xx and 3xx, which never end a transfer that we understand, and numbers that are no status */
}
