/* SPDX-License-Identifier: Apache-2.0 */
/* In place of digest.c where the build has no libcrypto. */
#include "base/digest.h"

int aios__digest_load(aios__digest *d, aios_error *err)
{
    AIOS__UNUSED(d);
    return aios__fail(err, AIOS_ENOTSUP, "this build has no hashes: configure with -Dcrypto=enabled");
}

int aios__sha256(const aios__digest *d, const aios__slice *parts, size_t n, uint8_t out[AIOS__SHA256], aios_error *err)
{
    AIOS__UNUSED(d);
    AIOS__UNUSED(parts);
    AIOS__UNUSED(n);
    AIOS__UNUSED(out);
    return aios__fail(err, AIOS_ENOTSUP, "this build has no hashes: configure with -Dcrypto=enabled");
}

int aios__hmac_sha256(const aios__digest *d, const uint8_t key[AIOS__SHA256], const void *p, size_t n, uint8_t out[AIOS__SHA256], aios_error *err)
{
    AIOS__UNUSED(key);
    AIOS__UNUSED(p);
    AIOS__UNUSED(n);
    return aios__sha256(d, NULL, 0, out, err);
}
