/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for the rows of turns that a leader has taken. A turn that finds none takes it from what ranks lower, or lets go of its own and waits
 * until others are over, rather than fail: those that wait hold nothing, so the one that ranks highest of the others has all there is.
 */
#ifndef AIOS_LIB_GGUF_ROOM_H
#define AIOS_LIB_GGUF_ROOM_H

#include "backend/gguf/caches.h"

/** A turn that has waited so long, or whose deadline has come, waits no longer for its equals; and nobody waits for what stands still so long. */
#define AIOS__ROOM_PATIENCE_NS INT64_C(5000000000)

struct aios__gguf_session;
typedef struct aios__room {
    aios__caches *caches;
    struct aios__gguf_session **turns; /**< the highest rank first; job.held of those that wait */
    uint32_t n;
    uint32_t n_others;  /**< turns elsewhere that are not over */
    int64_t now, moved; /**< the clock; when something was computed last */
} aios__room;

/** Plans them all (aios__turn_plan). Those without memory are held, or have failed with EBUDGET if no waiting would help. */
void aios__room_plan(aios__room *r);

#endif
