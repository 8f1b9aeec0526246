/* SPDX-License-Identifier: Apache-2.0 */
/* The only file that includes headers of libcrypto. */
#include <dlfcn.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/digest.h"

#define CRYPTO_FUNCTIONS(X) X(EVP_MD_CTX_new) X(EVP_MD_CTX_free) X(EVP_DigestInit_ex) X(EVP_DigestUpdate) X(EVP_DigestFinal_ex) X(EVP_sha256) X(HMAC)

typedef struct api {
#define X(name) __typeof__(&name) p_##name;
    CRYPTO_FUNCTIONS(X)
#undef X
} api;

_Static_assert(sizeof(api) == sizeof(aios__digest), "a pointer for each");

/* Once loaded the library stays. */
int aios__digest_load(aios__digest *d, aios_error *err)
{
    static const char *const names[] = {
#define X(name) #name,
        CRYPTO_FUNCTIONS(X)
#undef X
    };
    void *so = dlopen("libcrypto.so.3", RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
    bool all = so;
    for (size_t i = 0; all && i < AIOS__ARRAY_LEN(names); i++)
        all = (d->f[i] = dlsym(so, names[i])) != NULL;
    if (so)
        dlclose(so);
    return all ? AIOS_OK : aios__fail(err, AIOS_EUNAVAIL, "libcrypto.so.3, which hashes need, is missing or too old");
}

int aios__sha256(const aios__digest *d, const aios__slice *parts, size_t n, uint8_t out[AIOS__SHA256], aios_error *err)
{
    api f;
    memcpy(&f, d, sizeof f);
    EVP_MD_CTX *c = f.p_EVP_MD_CTX_new();
    bool ok = c && f.p_EVP_DigestInit_ex(c, f.p_EVP_sha256(), NULL) == 1;
    for (size_t i = 0; ok && i < n; i++)
        ok = f.p_EVP_DigestUpdate(c, parts[i].p, parts[i].n) == 1;
    ok = ok && f.p_EVP_DigestFinal_ex(c, out, NULL) == 1;
    f.p_EVP_MD_CTX_free(c);
    return ok ? AIOS_OK : aios__fail(err, AIOS_ENOMEM, "libcrypto has no memory for a hash, or is set up not to give SHA-256");
}

int aios__hmac_sha256(const aios__digest *d, const uint8_t key[AIOS__SHA256], const void *p, size_t n, uint8_t out[AIOS__SHA256], aios_error *err)
{
    api f;
    unsigned size = AIOS__SHA256;
    memcpy(&f, d, sizeof f);
    return f.p_HMAC(f.p_EVP_sha256(), key, AIOS__SHA256, p, n, out, &size)
               ? AIOS_OK
               : aios__fail(err, AIOS_ENOMEM, "libcrypto has no memory for a hash, or is set up not to give SHA-256");
}
