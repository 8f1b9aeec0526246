/* SPDX-License-Identifier: Apache-2.0 */
/* A thread of a store that commits for those who must not wait: what came together is one commit. None exists before somebody hands it something. */
#ifndef AIOS_LIB_STORE_WRITER_H
#define AIOS_LIB_STORE_WRITER_H

#include <stdatomic.h>
#include <stdbool.h>

#include <aios/store.h>

/** A commit on its way. Its owner fills the first part, and leaves all of it alone until it is over. */
typedef struct aios__late_commit {
    const aios_store_write *writes; /**< n, one behind the other; they and what they point to stay until it is over */
    uint32_t n;
    void (*tell)(void *user);       /**< it is over; called under a lock, so it may wake somebody and no more */
    void *user;
    struct aios__late_commit *next; /**< from here on the writer's */
    size_t n_bytes;
    _Atomic bool over;
    int rc;
    aios_error err;
} aios__late_commit;

/** True if a commit of this store waits for a medium or a network. */
bool aios__store_is_slow(const aios_store *st);
/** Hands it over; those of one owner are committed in the order of their coming. False: the system has no thread left, and nothing was done. */
bool aios__store_commit_late(aios_store *st, aios__late_commit *c);
/** Returns when it is over, and its owner may have it back. */
void aios__late_wait(aios_store *st, const aios__late_commit *c);

#endif
