/* SPDX-License-Identifier: Apache-2.0 */
#include "base/digest.h"

int aios__sha256_text(const void *p, size_t n, char out[AIOS__SHA256_TEXT], aios_error *err)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t sum[AIOS__SHA256];
    aios__digest d;
    const aios__slice all = {p, n};
    out[0] = 0;
    int rc = aios__digest_load(&d, err);
    rc = rc ? rc : aios__sha256(&d, &all, 1, sum, err);
    for (size_t i = 0; !rc && i < AIOS__SHA256; i++) {
        out[2 * i] = digits[sum[i] >> 4];
        out[2 * i + 1] = digits[sum[i] & 15];
    }
    out[rc ? 0 : AIOS__SHA256_TEXT - 1] = 0;
    return rc;
}
