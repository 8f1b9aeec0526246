/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file audit.h
 * A log that shows what was changed in it: rows of a stream, each with the hash of the one before.
 *
 * Row hash = SHA-256(hash before || number, kind, length, data). A plain chain shows accidents only, since who writes may compute it anew.
 * With a key each row also has HMAC-SHA-256(key, row hash), and the key becomes SHA-256 of itself and is wiped: who takes the machine over
 * later can change no earlier row. A tail that was cut is shown by the anchor: a head kept elsewhere.
 */
#ifndef AIOS_AUDIT_H
#define AIOS_AUDIT_H

#include <aios/store.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aios_audit aios_audit;

/** Bytes of a hash and of a key. */
enum { AIOS_AUDIT_HASH = 32 };

/** A point of the chain, to be kept where the store's writer cannot reach it. */
typedef struct aios_audit_head {
    size_t struct_size;
    uint64_t seq;               /**< of the row; 0: none yet */
    uint8_t hash[32];           /**< AIOS_AUDIT_HASH */
} aios_audit_head;
/** Told the head after a commit of it; on the thread that called, with no lock held. */
typedef void aios_audit_anchor_fn(void *user, const aios_audit_head *head);

typedef struct aios_audit_config {
    size_t struct_size;
    const uint8_t *key;         /**< AIOS_AUDIT_HASH bytes; copied, evolved, wiped. NULL: a plain chain, of which no row is signed yet */
    uint64_t key_seq;           /**< the row that the key is of, the next one at most: key n + 1 is SHA-256 of key n; 0: row 1 */
    aios_audit_anchor_fn *anchor;
    void *anchor_user;
    uint32_t anchor_every;      /**< rows between anchors; 0: 64 */
    uint32_t reserved0;
} aios_audit_config;

/** What of a row, or of the log, is not as it was written. */
enum {
    AIOS_AUDIT_WHOLE = 0,
    AIOS_AUDIT_FORMAT = 1,      /**< the row is no row of an audit */
    AIOS_AUDIT_HASHED = 2,      /**< its hash is another: it was changed, or one before it is missing or elsewhere */
    AIOS_AUDIT_SIGNED = 3,      /**< its HMAC is another: written by somebody without the key */
    AIOS_AUDIT_MISSING = 4,     /**< rows are not there: from the beginning, or in front of the anchor */
    AIOS_AUDIT_ANCHORED = 5     /**< the row of the anchor has another hash */
};

typedef struct aios_audit_report {
    size_t struct_size;
    uint64_t n_rows;            /**< that are as they were written */
    uint64_t bad_seq;           /**< number of the first that is not, 0: none */
    int32_t bad;                /**< AIOS_AUDIT_x */
    uint32_t reserved0;
    aios_audit_head head;       /**< behind the rows that are good */
} aios_audit_report;

/**
 * Opens the audit in a stream of st and verifies what is there, to find its end. cfg may be NULL. EFORMAT: it is not whole (see
 * aios_audit_verify). EINVAL: its rows are signed, and there is no key, or one of another row. ENOTSUP, EUNAVAIL: there is no libcrypto. One writer at a time: another's row makes commits ECONFLICT.
 * Ownership: aios_audit_free. Thread-safety of the object: one thread at a time, from append_writes to committed.
 */
AIOS_API int aios_audit_open(aios_store *st, const char *stream, const aios_audit_config *cfg, aios_audit **a, aios_error *err);
/** Wipes the key. NULL is fine. */
AIOS_API void aios_audit_free(aios_audit *a);
/**
 * Makes the write of a row, to be part of the commit that holds the effect it tells of; several calls, several rows. *w borrows from a
 * until aios_audit_committed. At most AIOS_STORE_MAX_RECORD - 80 bytes of data.
 */
AIOS_API int aios_audit_append_writes(aios_audit *a, uint32_t kind, const void *data, size_t n, aios_store_write *w, aios_error *err);
/** Tells how that commit ended: 0 moves the chain on (and may call the anchor), anything else takes the rows back. ESTATE: there are none. */
AIOS_API int aios_audit_committed(aios_audit *a, int code, aios_error *err);
/** A row in a commit of its own. */
AIOS_API int aios_audit_append(aios_audit *a, uint32_t kind, const void *data, size_t n, aios_error *err);
/** The end of the chain. */
AIOS_API int aios_audit_head_get(const aios_audit *a, aios_audit_head *out);
/**
 * Verifies a stream: with key (AIOS_AUDIT_HASH bytes, of row 1, or NULL) its HMACs, with anchor (or NULL) that it reaches so far. 0 and
 * report->bad WHOLE, or EFORMAT, and the report says which row is the first bad one, and how.
 */
AIOS_API int aios_audit_verify(aios_store *st, const char *stream, const uint8_t *key, const aios_audit_head *anchor, aios_audit_report *report, aios_error *err);

#ifdef __cplusplus
}
#endif
#endif
