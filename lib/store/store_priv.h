/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AIOS_LIB_STORE_PRIV_H
#define AIOS_LIB_STORE_PRIV_H

#include <aios/plugin/store.h>
#include <pthread.h>

#include "base/base.h"
#include "store/writer.h"

/** Built-in stores; each init registers one. */
int aios__store_memory_init(aios_ctx *ctx, aios_error *err);
int aios__store_sqlite_init(aios_ctx *ctx, aios_error *err);

/** The context of a store. */
aios_ctx *aios__store_ctx(const aios_store *st);

/** n commits more were made than calls. */
void aios__store_count_more(aios_store *st, uint32_t n);

/* ---- writer.c: a thread that commits for those who must not wait ------------------------------------------------------ */

typedef struct aios__writer {
    pthread_mutex_t lock;
    pthread_cond_t work, over;
    aios__late_commit *queue, **end;
    uint32_t n_waiting;
    pthread_t thread;
    bool started, stop;
} aios__writer;

void aios__writer_init(aios__writer *w);
/** Nothing is on its way any more. */
void aios__writer_end(aios__writer *w);
/** That of a store. */
aios__writer *aios__store_writer(aios_store *st);

/** The one failure of a write whose number is another's; next: the number that it would get. Returns ECONFLICT. */
int aios__store_conflict(const aios_store_write *w, uint64_t next, aios_error *err);

/* ---- claims.c: who works on what, among the threads of this process ------------------------------------------------- */

typedef struct aios__claims {
    aios__heap *heap;
    const aios_env *env;
    pthread_mutex_t lock;
    struct aios__claim_node **list; /**< by name */
    size_t n, cap;
    uint64_t epoch;                 /**< of the last one */
} aios__claims;

typedef int aios__list_fn(void *self, const aios_store_list_args *args, aios_error *err);

/** Epochs begin above `base`. ENOMEM. */
int aios__claims_init(aios__claims *c, aios_ctx *ctx, uint64_t base, aios_error *err);
void aios__claims_free(aios__claims *c);
/** The slot claim of a store whose streams `list` lists. */
int aios__claims_take(aios__claims *c, aios__list_fn *list, void *self, const aios_store_claim_args *args, aios_store_claim_out *out, aios_error *err);
/** The slot claim_renew of such a store: its claims hold until they are dropped. */
int aios__claims_renew(void *self, void *handle, aios_error *err);
void aios__claims_drop(aios__claims *c, void *handle);

#endif
