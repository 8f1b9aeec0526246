/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file policy.h
 * The one gate in front of every effect.
 */
#ifndef AIOS_POLICY_H
#define AIOS_POLICY_H

#include <aios/event.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { AIOS_ALLOW = 1, AIOS_ASK = 2, AIOS_DENY = 3 };

/** A call about to happen. */
typedef struct aios_action {
    size_t struct_size;
    const char *tool;
    const char *call_id;
    const char *args_json;
    int32_t effect;        /**< AIOS_EFFECT_x */
    int32_t reserved0;
    aios_label context;    /**< join of everything the model has seen */
    uint64_t run;
    uint32_t step;
    uint32_t reserved1;
} aios_action;

typedef struct aios_verdict {
    size_t struct_size;
    int32_t verdict;   /**< AIOS_ALLOW, AIOS_ASK or AIOS_DENY; anything else denies */
    int32_t reserved0;
    char reason[256];  /**< told to the model and the log */
} aios_verdict;

typedef struct aios_policy {
    size_t struct_size;
    void *user;
    /** Called on the thread that drives the run. Non-zero return denies. NULL: READ effects are allowed, others asked. */
    int (*decide)(void *user, const aios_action *action, aios_verdict *out);
} aios_policy;

#ifdef __cplusplus
}
#endif
#endif
