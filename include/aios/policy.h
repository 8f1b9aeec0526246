/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file policy.h
 * The one gate in front of every effect.
 */
#ifndef AIOS_POLICY_H
#define AIOS_POLICY_H

#include <aios/ctx.h>
#include <aios/event.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A declarative policy (docs/policy.md). Never changes. Thread-safety: safe. */
typedef struct aios_rules aios_rules;

enum { AIOS_ALLOW = 1, AIOS_ASK = 2, AIOS_DENY = 3 };

/** A call about to happen. */
typedef struct aios_action {
    size_t struct_size;
    const char *tool;
    const char *call_id;
    const char *args_json; /**< as the tool gets them: values in place of handles */
    int32_t effect;        /**< AIOS_EFFECT_x */
    int32_t reserved0;
    aios_label context;    /**< join of everything the model has seen, and of the values behind handles in the arguments */
    uint64_t run;
    uint32_t step;
    uint32_t depth;        /**< 0: of the agent's own run; else of an agent that it called, that many levels below */
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
    /** Called on the thread that drives the run. Non-zero return denies. NULL, and no rules: READ effects are allowed, others asked. */
    int (*decide)(void *user, const aios_action *action, aios_verdict *out);
    /** Asked first, NULL: none; a reference is held. What they deny, decide is not asked; else the stricter of the two holds. */
    aios_rules *rules;
} aios_policy;

/** Reads a policy of n bytes (or AIOS_CSTR). EFORMAT (no JSON), EVERSION, EINVAL (with the JSON pointer of what is wrong), ESCHEMA (of args). */
AIOS_API int aios_rules_parse(aios_ctx *ctx, const char *json, size_t n, aios_rules **rules, aios_error *err);
/**
 * As aios_rules_parse, of a file that no tool can have written: EDENIED if it, or a folder above it, belongs to somebody else than this user or
 * root or can be written by others, or lies under a root that the policy itself lets tools write to.
 */
AIOS_API int aios_rules_open(aios_ctx *ctx, const char *path, aios_rules **rules, aios_error *err);
/** Rules of a sub-agent: both are asked about each call, and the stricter holds. ELIMIT: delegated more than 16 times. References are held. */
AIOS_API int aios_rules_narrow(aios_rules *parent, aios_rules *child, aios_rules **rules, aios_error *err);
/** SHA-256 of the canonical policy, 64 hexadecimal digits; "" where this build has none. Borrowed. */
AIOS_API const char *aios_rules_digest(const aios_rules *rules);
/** The bit of a class of confidentiality by its name in the policy; 0 if it has none of that name. */
AIOS_API uint64_t aios_rules_class(const aios_rules *rules, const char *name);
/** Drops the caller's reference; agents and narrowed rules keep it alive. NULL is fine. */
AIOS_API void aios_rules_free(aios_rules *rules);

#ifdef __cplusplus
}
#endif
#endif
