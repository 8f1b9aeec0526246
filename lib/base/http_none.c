/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for http.c in a build without libcurl: no transfer ever exists. */
#include "base/http.h"

int aios__http_start(aios_ctx *ctx, const aios__http_request *req, aios__transfer **t, aios_error *err)
{
    AIOS__UNUSED(ctx);
    AIOS__UNUSED(req);
    *t = NULL;
    return aios__fail(err, AIOS_ENOTSUP, "this build has no HTTP: configure with -Dcurl=enabled");
}

int aios__transfer_step(aios__transfer *t, int32_t timeout_ms, aios_error *err)
{
    AIOS__UNUSED(t);
    AIOS__UNUSED(timeout_ms);
    return aios__fail(err, AIOS_ENOTSUP, "this build has no HTTP: configure with -Dcurl=enabled");
}

void aios__transfer_cancel(aios__transfer *t)
{
    AIOS__UNUSED(t);
}

int aios__transfer_status(const aios__transfer *t)
{
    AIOS__UNUSED(t);
    return 0;
}

const char *aios__transfer_header(const aios__transfer *t, const char *name, size_t *n)
{
    AIOS__UNUSED(t);
    AIOS__UNUSED(name);
    *n = 0;
    return NULL;
}

void aios__transfer_free(aios__transfer *t)
{
    AIOS__UNUSED(t);
}

void aios__transfer_watch(aios__transfer *t, void (*fn)(void *user), void *user)
{
    AIOS__UNUSED(t);
    AIOS__UNUSED(fn);
    AIOS__UNUSED(user);
}

int aios__http_wait(aios_ctx *ctx, int32_t timeout_ms, atomic_uint *woken, aios_error *err)
{
    AIOS__UNUSED(ctx);
    AIOS__UNUSED(timeout_ms);
    AIOS__UNUSED(woken);
    return aios__fail(err, AIOS_ENOTSUP, "this build has no HTTP: configure with -Dcurl=enabled");
}

void aios__http_wake(aios_ctx *ctx, atomic_uint *woken)
{
    AIOS__UNUSED(ctx);
    AIOS__UNUSED(woken);
}

const char *aios__transfer_moved(const aios__transfer *t)
{
    AIOS__UNUSED(t);
    return NULL;
}
