/* SPDX-License-Identifier: Apache-2.0 */
#include <float.h>

#include "agent/agent_priv.h"

static int limits_in(const aios_limits *src, aios_limits *l, aios_error *err)
{
    int rc = aios__struct_in(l, sizeof *l, src, err);
    if (rc)
        return rc;
    if (l->timeout_ns < 0 || l->tool_timeout_ns < 0)
        return aios__fail(err, AIOS_EINVAL, "limits: a timeout is negative; 0 is the default");
    if (!l->max_turns)
        l->max_turns = 16;
    if (!l->max_calls)
        l->max_calls = 64;
    if (!l->max_tokens)
        l->max_tokens = 16384;
    if (!l->max_turn_tokens)
        l->max_turn_tokens = 1024;
    if (!l->max_result)
        l->max_result = 65536;
    if (l->max_depth > AIOS__MAX_DEPTH)
        return aios__fail_need(err, AIOS_EINVAL, AIOS__MAX_DEPTH, l->max_depth, "limits: max_depth is %u, at most %d are possible", l->max_depth,
                               AIOS__MAX_DEPTH);
    if (!l->max_depth)
        l->max_depth = 4;
    if (!l->timeout_ns)
        l->timeout_ns = 600000000000;
    if (!l->tool_timeout_ns)
        l->tool_timeout_ns = 60000000000;
    return AIOS_OK;
}

static int check_config(aios_ctx *ctx, const aios_agent_config *c, aios_error *err)
{
    bool forced = c->tool_choice == AIOS_TOOLS_REQUIRED || c->tool_choice == AIOS_TOOLS_NAMED;
    if (!c->model)
        return aios__fail(err, AIOS_EINVAL, "an agent needs a model");
    if (c->tool_choice < AIOS_TOOLS_AUTO || c->tool_choice > AIOS_TOOLS_NAMED)
        return aios__fail(err, AIOS_EINVAL, "tool_choice %d is none of AIOS_TOOLS_x", c->tool_choice);
    if (forced && !aios_toolset_count(c->toolset))
        return aios__fail(err, AIOS_EINVAL, "a call is required but the agent has no tools: add them to the toolset first");
    if (c->tool_choice == AIOS_TOOLS_NAMED && (!c->tool_name || !aios__toolset_find(c->toolset, c->tool_name)))
        return aios__fail(err, AIOS_EINVAL, "tool_name \"%.64s\" is none of the toolset's", c->tool_name ? c->tool_name : "");
    if (c->flags & ~(uint32_t)(AIOS_AGENT_ONE_CALL | AIOS_AGENT_PLAIN_CHOICE | AIOS_AGENT_CHANGED))
        return aios__fail(err, AIOS_EINVAL, "flags 0x%x has bits that are no AIOS_AGENT_x", c->flags);
    if (!(c->min_margin >= 0 && c->min_margin <= FLT_MAX))
        return aios__fail(err, AIOS_EINVAL, "min_margin is %g: it must be 0 or more", (double)c->min_margin);
    if (!c->store && (c->hook || c->cache_dir))
        return aios__fail(err, AIOS_EINVAL, "%s is of runs that have a journal: set store", c->hook ? "hook" : "cache_dir");
    if (c->driver > AIOS_DRIVER_THREAD)
        return aios__fail(err, AIOS_EINVAL, "driver %u is none of AIOS_DRIVER_x", c->driver);
    if (c->instructions && !aios__utf8_valid(c->instructions, strlen(c->instructions)))
        return aios__fail(err, AIOS_EINVAL, "the instructions are not valid UTF-8");
    if (c->name && !aios__utf8_valid(c->name, strlen(c->name)))
        return aios__fail(err, AIOS_EINVAL, "the name of the agent is not valid UTF-8");
    if (c->schema_json) {
        aios__schema *s;
        aios_error why = AIOS_INIT(aios_error);
        int rc = aios__schema_new(ctx, c->schema_json, strlen(c->schema_json), &s, &why);
        if (rc)
            return aios__fail_need(err, rc, why.have, why.need, "schema of the reply: %s", why.msg);
        aios__schema_free(s);
    }
    return AIOS_OK;
}

static int dup_str(aios__heap *h, const char *s, char **out, aios_error *err)
{
    *out = s ? aios__strndup(h, AIOS_MEM_TEXT, s, strlen(s), err) : NULL;
    return s && !*out ? aios__nomem(err) : AIOS_OK;
}

static int copy_config(aios_agent *a, const aios_agent_config *c, aios_error *err)
{
    aios__heap *h = aios__ctx_heap(a->ctx);
    int rc = limits_in(c->limits, &a->limits, err);
    if (!rc)
        rc = aios__struct_in(&a->policy, sizeof a->policy, c->policy, err);
    aios__ruleset_ref(a->policy.rules);
    if (!rc)
        rc = aios__struct_in(&a->sampling, sizeof a->sampling, c->sampling, err);
    if (!rc)
        rc = dup_str(h, c->instructions, &a->instructions, err);
    if (!rc)
        rc = dup_str(h, c->schema_json, &a->schema_json, err);
    if (!rc)
        rc = dup_str(h, c->tool_name, &a->tool_name, err);
    if (!rc)
        rc = dup_str(h, c->cache_dir, &a->cache_dir, err);
    if (!rc)
        rc = dup_str(h, c->name, &a->name, err);
    if (!rc)
        rc = aios__struct_in(&a->hook, sizeof a->hook, c->hook, err);
    if (!rc)
        rc = aios__struct_in(&a->prices, sizeof a->prices, c->prices, err);
    if (!rc)
        rc = aios__prices_check(&a->prices, err);
    a->has_prices = c->prices != NULL;
    if (!rc)
        rc = aios__compact_in(c->compact, &a->compact, err);
    if (!rc)
        rc = dup_str(h, a->compact.instructions, &a->compact_text, err);
    a->compact.instructions = a->compact_text;
    if (!rc)
        rc = aios__struct_in(&a->hooks, sizeof a->hooks, c->hooks, err);
    if (!rc)
        rc = aios__handoff_add(a, c, err);
    a->has_sampling = c->sampling != NULL;
    a->tool_choice = c->tool_choice;
    a->flags = c->flags;
    a->min_margin = c->min_margin;
    a->driver = c->driver;
    return rc;
}

static void free_agent(aios_agent *a)
{
    aios_ctx *ctx = a->ctx;
    aios__heap *h = aios__ctx_heap(ctx);
    aios_session_free(a->idle);
    aios_model_close(a->model);
    aios_toolset_free(a->toolset);
    aios__handoff_drop(a);
    aios_rules_free(a->policy.rules);
    aios__free(h, a->instructions);
    aios__free(h, a->schema_json);
    aios__free(h, a->tool_name);
    aios__free(h, a->cache_dir);
    aios__free(h, a->name);
    aios__free(h, a->compact_text);
    aios_telemetry_free(a->telemetry);
    aios_store_close(a->store);
    pthread_mutex_destroy(&a->lock);
    aios__free(h, a);
    aios_ctx_free(ctx);
}

int aios_agent_new(aios_ctx *ctx, const aios_agent_config *src, aios_agent **out, aios_error *err)
{
    aios_agent_config c;
    if (!ctx || !src || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_agent_new: %s is NULL", !ctx ? "ctx" : !src ? "cfg" : "a");
    *out = NULL;
    int rc = aios__struct_in(&c, sizeof c, src, err);
    if (!rc)
        rc = check_config(ctx, &c, err);
    if (rc)
        return rc;
    aios_agent *a = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_OTHER, sizeof *a, err);
    if (!a)
        return aios__nomem(err);
    if (pthread_mutex_init(&a->lock, NULL)) {
        aios__free(aios__ctx_heap(ctx), a);
        return aios__fail(err, AIOS_ENOMEM, "the system has no room for another mutex");
    }
    atomic_init(&a->refs, 1);
    a->ctx = aios__ctx_ref(ctx);
    a->model = aios__model_ref(c.model);
    a->toolset = aios__toolset_ref(c.toolset);
    a->store = aios_store_ref(c.store);
    a->telemetry = aios__telemetry_ref(c.telemetry);
    rc = copy_config(a, &c, err);
    aios_model_info info = AIOS_INIT(aios_model_info);
    a->privacy = aios_model_info_get(a->model, &info) ? AIOS_PRIVACY_REMOTE : info.privacy;
    if (!rc)
        rc = aios__workers_init(&a->workers, err);
    if (rc) {
        free_agent(a);
        return rc;
    }
    *out = a;
    return AIOS_OK;
}

aios_agent *aios__agent_ref(aios_agent *a)
{
    atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
    return a;
}

void aios_agent_free(aios_agent *a)
{
    if (!a || atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) != 1)
        return;
    aios__grip_loose(a);
    aios__workers_destroy(&a->workers);
    free_agent(a);
}

int aios__agent_take_session(aios_agent *a, aios_session **s, aios_error *err)
{
    pthread_mutex_lock(&a->lock);
    *s = a->idle;
    a->idle = NULL;
    pthread_mutex_unlock(&a->lock);
    if (*s)
        return aios_session_retain(*s, 1, err);
    aios_session_config cfg = AIOS_INIT(aios_session_config);
    cfg.driver = a->driver;
    int rc = aios_session_new(a->model, &cfg, s, err);
    return rc ? rc : aios_session_retain(*s, 1, err);
}

void aios__agent_give_session(aios_agent *a, aios_session *s)
{
    if (s)
        aios_session_retain(s, 0, NULL);
    pthread_mutex_lock(&a->lock);
    aios_session *old = a->idle;
    a->idle = s;
    pthread_mutex_unlock(&a->lock);
    aios_session_free(old);
}
