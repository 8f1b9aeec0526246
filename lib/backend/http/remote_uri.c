/* SPDX-License-Identifier: Apache-2.0 */
/* URIs of remote models: DIALECT:MODEL, https://HOST/PATH#MODEL, DIALECT+https://HOST/PATH#MODEL. */
#include "backend/http/remote_priv.h"

static int dup(aios__heap *h, const char *s, size_t n, char **out, aios_error *err)
{
    *out = aios__strndup(h, AIOS_MEM_TEXT, s, n, err);
    return *out ? AIOS_OK : aios__nomem(err);
}

/* Splits "SCHEME://HOST/PATH#MODEL" behind the dialect's name. */
static int read_address(aios__heap *h, const char *s, aios__remote_uri *out, aios_error *err)
{
    const char *hash = strchr(s, '#');
    size_t n = hash ? (size_t)(hash - s) : strlen(s);
    while (n && s[n - 1] == '/')
        n--;
    if (memchr(s, '@', n))
        return aios__fail(err, AIOS_EINVAL, "a model URI holds no user or password: "
                          "give the key as remote.api_key (the command: --api-key-env VARIABLE)");
    if (memchr(s, '?', n))
        return aios__fail(err, AIOS_EINVAL, "a model URI holds no query: give what the server needs as remote.headers (headers in Python; the command knows models without)");
    int rc = dup(h, s, n, &out->base_url, err);
    return rc ? rc : dup(h, hash ? hash + 1 : "", hash ? strlen(hash + 1) : 0, &out->model, err);
}

int aios__remote_uri_read(aios__heap *h, const char *uri, aios__remote_uri *out, aios_error *err)
{
    *out = (aios__remote_uri){0};
    const char *colon = strchr(uri, ':');
    size_t n = colon ? (size_t)(colon - uri) : 0;
    const char *plus = n ? memchr(uri, '+', n) : NULL;
    bool bare = (n == 4 && !memcmp(uri, "http", 4)) || (n == 5 && !memcmp(uri, "https", 5));
    out->dialect = bare ? &aios__dialect_openai : aios__dialect_find(uri, plus ? (size_t)(plus - uri) : n);
    if (!out->dialect)
        return aios__fail(err, AIOS_ENOTSUP, "\"%.*s\" is no dialect of remote models", (int)n, uri);
    int rc;
    if (bare || plus)
        rc = read_address(h, bare ? uri : plus + 1, out, err);
    else
        rc = dup(h, colon + 1, strlen(colon + 1), &out->model, err);
    if (rc)
        aios__remote_uri_free(h, out);
    return rc;
}

void aios__remote_uri_free(aios__heap *h, aios__remote_uri *u)
{
    aios__free(h, u->base_url);
    aios__free(h, u->model);
    *u = (aios__remote_uri){0};
}
