/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256, by libcrypto, which is loaded when it is first asked for. */
#ifndef AIOS_LIB_BASE_DIGEST_H
#define AIOS_LIB_BASE_DIGEST_H

#include "base/base.h"

enum { AIOS__SHA256 = 32, AIOS__SHA256_TEXT = 2 * AIOS__SHA256 + 1 };

typedef struct aios__slice {
    const void *p;
    size_t n;
} aios__slice;

/** The functions of libcrypto that are used. */
typedef struct aios__digest {
    void *f[7];
} aios__digest;

/** Loads them. ENOTSUP in a build without, EUNAVAIL where it is not installed. */
int aios__digest_load(aios__digest *d, aios_error *err);
/** Hash of parts one behind the other. ENOMEM. */
int aios__sha256(const aios__digest *d, const aios__slice *parts, size_t n, uint8_t out[AIOS__SHA256], aios_error *err);
/** Hash of n bytes as 64 hexadecimal digits and a NUL; empty on failure. As aios__digest_load and aios__sha256. */
int aios__sha256_text(const void *p, size_t n, char out[AIOS__SHA256_TEXT], aios_error *err);
/** Keyed hash. */
int aios__hmac_sha256(const aios__digest *d, const uint8_t key[AIOS__SHA256], const void *p, size_t n, uint8_t out[AIOS__SHA256], aios_error *err);

#endif
