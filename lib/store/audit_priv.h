/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AIOS_LIB_STORE_AUDIT_PRIV_H
#define AIOS_LIB_STORE_AUDIT_PRIV_H

#include <aios/audit.h>

#include "base/digest.h"
#include "store/store_priv.h"

/** Where a chain stands. */
typedef struct aios__chain {
    aios__digest digest;
    uint64_t seq;               /**< of its last row */
    uint64_t key_seq;           /**< row that the key is of; 0: there is none */
    bool is_signed;             /**< its last row is */
    uint8_t hash[AIOS__SHA256]; /**< of that row; before row 1 that of the stream's name */
    uint8_t key[AIOS__SHA256];
} aios__chain;

/** What a record's data begins with. Numbers in the order of little-endian machines. */
typedef struct aios__audit_row {
    char magic[4];
    uint32_t is_signed;
    int64_t wall_us;
    uint8_t hash[AIOS__SHA256];
    uint8_t mac[AIOS__SHA256];
} aios__audit_row;

int aios__chain_begin(aios__chain *c, const char *stream, const uint8_t *key, uint64_t key_seq, aios_error *err);
/** Holds a record against the chain and moves on behind it. *bad: AIOS_AUDIT_x; then the chain stays. */
int aios__chain_check(aios__chain *c, const aios_record *r, int32_t *bad, aios_error *err);

#endif
