/* SPDX-License-Identifier: Apache-2.0 */
/* The library is loaded when a sum is first asked for: at the start of every process it would cost more than most of them need. */
#include "base/digest.h"
#include "config.h"

#if AIOS_HAVE_CRYPTO
#include <dlfcn.h>
#include <openssl/evp.h>

typedef __typeof__(&EVP_Q_digest) digest_fn;

/* NULL if this machine lacks libcrypto. Once loaded it stays. */
static digest_fn find_digest(void)
{
    digest_fn fn = NULL;
    void *so = dlopen("libcrypto.so.3", RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
    void *p = so ? dlsym(so, "EVP_Q_digest") : NULL;
    memcpy(&fn, &p, sizeof fn);
    if (so)
        dlclose(so);
    return fn;
}

int aios__sha256(const void *p, size_t n, uint8_t out[AIOS__SHA256], aios_error *err)
{
    size_t got = 0;
    digest_fn digest = find_digest();
    if (!digest)
        return aios__fail(err, AIOS_ENOTSUP, "libcrypto.so.3, which sums need, is missing: install OpenSSL 3");
    if (!digest(NULL, "SHA256", NULL, p, n, out, &got) || got != AIOS__SHA256)
        return aios__fail(err, AIOS_ENOTSUP, "libcrypto does not offer SHA-256 here");
    return AIOS_OK;
}
#else
int aios__sha256(const void *p, size_t n, uint8_t out[AIOS__SHA256], aios_error *err)
{
    AIOS__UNUSED(p);
    AIOS__UNUSED(n);
    AIOS__UNUSED(out);
    return aios__fail(err, AIOS_ENOTSUP, "this build has no SHA-256: build it with OpenSSL 3 (-Dcrypto=enabled)");
}
#endif

int aios__sha256_text(const void *p, size_t n, char out[AIOS__SHA256_TEXT], aios_error *err)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t sum[AIOS__SHA256];
    out[0] = 0;
    int rc = aios__sha256(p, n, sum, err);
    for (size_t i = 0; !rc && i < AIOS__SHA256; i++) {
        out[2 * i] = digits[sum[i] >> 4];
        out[2 * i + 1] = digits[sum[i] & 15];
    }
    out[rc ? 0 : AIOS__SHA256_TEXT - 1] = 0;
    return rc;
}
