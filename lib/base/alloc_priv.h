/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AIOS_LIB_ALLOC_PRIV_H
#define AIOS_LIB_ALLOC_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/base.h"

struct aios__heap {
    const aios_env *env;
    _Atomic uint64_t budget, used, peak, refused;
    _Atomic uint64_t by_kind[AIOS_MEM_COUNT], peak_by_kind[AIOS_MEM_COUNT];
    aios_pressure_fn *pressure;
    void *pressure_user;
    pthread_mutex_t lock; /**< guards reclaimers */
    aios__reclaimer *reclaimers;
};

void aios__heap_init(aios__heap *h, const aios_env *env, uint64_t budget, aios_pressure_fn *fn, void *user);
int aios__heap_set_budget(aios__heap *h, uint64_t budget, aios_error *err);
void aios__heap_usage(const aios__heap *h, aios_mem_usage *out);

#endif
