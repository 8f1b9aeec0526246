/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256, over libcrypto (digest.c alone includes it). */
#ifndef AIOS_LIB_DIGEST_H
#define AIOS_LIB_DIGEST_H

#include "base/base.h"

enum { AIOS__SHA256 = 32, AIOS__SHA256_TEXT = 2 * AIOS__SHA256 + 1 };

/** Sum of n bytes. ENOTSUP: this build, or this machine, has no libcrypto. */
int aios__sha256(const void *p, size_t n, uint8_t out[AIOS__SHA256], aios_error *err);
/** Likewise, as 64 hexadecimal digits and a NUL; empty on failure. */
int aios__sha256_text(const void *p, size_t n, char out[AIOS__SHA256_TEXT], aios_error *err);

#endif
