/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file snapshot.h
 * JSON while it is being written: at any byte the part that is sure, closed into a valid value.
 */
#ifndef AIOS_SNAPSHOT_H
#define AIOS_SNAPSHOT_H

#include <aios/ctx.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aios_snapshot aios_snapshot;

enum {
    AIOS_SNAPSHOT_COMPLETE = 1, /**< the value is whole; only blanks may follow */
    AIOS_SNAPSHOT_IN_TEXT = 2,  /**< a string is still growing: the one at `path` */
    AIOS_SNAPSHOT_HELD = 4      /**< bytes have come that are not shown yet: of a key, a number, a word, an escape */
};

/** What is sure so far. Its texts live until the next call with the snapshot. */
typedef struct aios_snapshot_view {
    size_t struct_size;
    const char *json;    /**< compact and valid; strings, arrays and objects grow, numbers and words appear when they are whole */
    size_t n_json;       /**< bytes, and a NUL behind them */
    const char *path;    /**< JSON pointer of what is still growing; all that is not on the way to it is whole. NULL: nothing grows */
    uint32_t flags;      /**< AIOS_SNAPSHOT_x */
    uint32_t reserved0;
} aios_snapshot_view;

/** Makes an empty one. Thread-safety of the object: one thread at a time. ENOMEM, EBUDGET. */
AIOS_API int aios_snapshot_new(aios_ctx *ctx, aios_snapshot **s, aios_error *err);
/** NULL is fine. */
AIOS_API void aios_snapshot_free(aios_snapshot *s);
/**
 * Takes n bytes more, in any pieces; each byte costs the same however much came before. EFORMAT (have = bytes taken in all) where the
 * text leaves JSON, nests deeper than 200 or has a NUL, also an escaped one; nothing more is taken then, and the view stays. EINVAL
 * after aios_snapshot_end: reset it for another text.
 */
AIOS_API int aios_snapshot_add(aios_snapshot *s, const char *p, size_t n, aios_error *err);
/** The text is over: a number at the root is whole now. EFORMAT if the value is not. */
AIOS_API int aios_snapshot_end(aios_snapshot *s, aios_error *err);
/** Fills *out; AIOS_AGAIN while no value has begun. Costs the depth of the value, not its length. */
AIOS_API int aios_snapshot_get(aios_snapshot *s, aios_snapshot_view *out, aios_error *err);
/** Back to the beginning, for another text. */
AIOS_API void aios_snapshot_reset(aios_snapshot *s);

#ifdef __cplusplus
}
#endif
#endif
