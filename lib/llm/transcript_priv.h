/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AIOS_LIB_TRANSCRIPT_PRIV_H
#define AIOS_LIB_TRANSCRIPT_PRIV_H

#include <stdatomic.h>

#include "llm/llm.h"

/** One block: head, parts, extras, then the bytes that they point to. Immutable, so copies of a transcript share it. */
typedef struct aios__entry {
    _Atomic uint32_t refs;
    aios_entry pub;
    const char **extra; /**< n_parts + 1: unknown JSON members of each part, then of the entry; NULL: none */
    aios_part parts[];
} aios__entry;

struct aios_transcript {
    aios_ctx *ctx;
    aios__heap *heap;
    aios__entry **entries;
    uint32_t n, cap;
    uint64_t next_id;
    uint64_t last_call; /**< largest number of the ids "call_N" in it, 0: there is none */
    char *extra; /**< unknown JSON members of the whole */
};

/** The part's text is bytes, not UTF-8. */
static inline bool aios__part_is_bytes(int32_t kind)
{
    return kind == AIOS_PART_IMAGE || kind == AIOS_PART_AUDIO || kind == AIOS_PART_DATA;
}
/** Appends entry i of another transcript as it is, id and all. */
int aios__transcript_share(aios_transcript *t, const aios_transcript *from, uint32_t i, aios_error *err);
/** Appends a full-size entry. extra (may be NULL): n_parts + 1 strings. id 0: the next one. */
int aios__transcript_append(aios_transcript *t, const aios_entry *e, const char *const *extra, uint64_t id, aios_error *err);

#endif
