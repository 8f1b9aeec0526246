/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verdict about a call. All capabilities that fit are found, and the strictest holds: their order says nothing, so that adding one can
 * never undo an ask or a deny of another. None fits: the default. Of several policies (delegation) the strictest holds.
 */
#include <stdio.h>

#include "agent/agent_priv.h"
#include "agent/ruleset.h"

typedef struct asking {
    const aios_rules *leaf;
    const aios__ruleset_call *call;
    const aios__cap *cap;
    const char *pointer; /* of the constraint that does not fit */
    char why[128];
} asking;

/* ---- values of arguments ------------------------------------------------------------------------------------------ */

static const aios__json *step(const aios__json *v, const char *key, size_t n)
{
    char name[256], *to = name;
    if (n >= sizeof name)
        return NULL;
    for (size_t i = 0; i < n; i++, to++) {
        *to = key[i];
        if (key[i] == '~')
            *to = key[++i] == '0' ? '~' : '/';
    }
    *to = 0;
    if (aios__json_type(v) != AIOS__JSON_ARRAY)
        return aios__json_get(v, name);
    size_t at = 0;
    for (to = name; *to >= '0' && *to <= '9' && at < 1000000; to++)
        at = at * 10 + (size_t)(*to - '0');
    return *to || to == name ? NULL : aios__json_at(v, at);
}

static const aios__json *value_at(const aios__json *v, const char *pointer)
{
    while (v && *pointer == '/') {
        size_t n = strcspn(++pointer, "/");
        v = step(v, pointer, n);
        pointer += n;
    }
    return v;
}

typedef enum aios__fit text_fit(asking *a, const void *rule, const char *s, size_t n);

/* A value that is a string, or an array of strings: allowed if each fits, denied if one may. */
static enum aios__fit each_text(asking *a, const void *rule, const aios__json *v, text_fit *fn)
{
    bool deny = a->cap->verdict == AIOS_DENY, list = aios__json_type(v) == AIOS__JSON_ARRAY;
    size_t count = list ? aios__json_count(v) : 1;
    enum aios__fit all = deny || !count ? AIOS__FIT_NO : AIOS__FIT_YES;
    for (size_t i = 0; i < count; i++) {
        size_t n = 0;
        const char *s = aios__json_str(list ? aios__json_at(v, i) : v, &n);
        enum aios__fit fit = s ? fn(a, rule, s, n) : AIOS__FIT_UNSURE;
        if (!s)
            snprintf(a->why, sizeof a->why, "is no string");
        if (fit != (deny ? AIOS__FIT_NO : AIOS__FIT_YES))
            return fit;
    }
    return all;
}

/* ---- constraints -------------------------------------------------------------------------------------------------- */

static enum aios__fit path_text(asking *a, const void *rule, const char *s, size_t n)
{
    enum aios__fit fit = aios__path_fit(rule, s, n, a->leaf, a->cap->verdict == AIOS_DENY);
    snprintf(a->why, sizeof a->why, fit == AIOS__FIT_UNSURE ? "leads nobody knows where" : "leads out of its roots, into .git or to the policy");
    return fit;
}

static enum aios__fit fits_paths(asking *a)
{
    enum aios__fit all = AIOS__FIT_YES;
    for (uint32_t i = 0; i < a->cap->n_paths && all == AIOS__FIT_YES; i++) {
        const aios__path_rule *p = &a->cap->paths[i];
        const aios__json *v = value_at(a->call->args, p->pointer);
        a->pointer = p->pointer;
        snprintf(a->why, sizeof a->why, "is missing");
        all = v ? each_text(a, p, v, path_text) : p->optional ? AIOS__FIT_YES : AIOS__FIT_NO;
        if (all == AIOS__FIT_YES && a->cap->verdict != AIOS_DENY && !p->write && a->call->effect != AIOS_EFFECT_READ) {
            snprintf(a->why, sizeof a->why, "may be read, but the tool does more (paths need \"write\")");
            all = AIOS__FIT_NO;
        }
    }
    return all;
}

static enum aios__fit host_text(asking *a, const void *rule, const char *s, size_t n)
{
    const aios__host_rule *h = rule;
    aios__url url;
    const char *why = aios__url_read(s, n, &url);
    snprintf(a->why, sizeof a->why, "%s", why ? why : "leads to a host that is not listed");
    for (uint32_t i = 0; i < h->n_hosts && !why; i++)
        if (aios__host_fits(&h->hosts[i], &url))
            return AIOS__FIT_YES;
    return why ? AIOS__FIT_UNSURE : AIOS__FIT_NO;
}

static enum aios__fit fits_hosts(asking *a)
{
    enum aios__fit all = AIOS__FIT_YES;
    for (uint32_t i = 0; i < a->cap->n_hosts && all == AIOS__FIT_YES; i++) {
        const aios__host_rule *h = &a->cap->hosts[i];
        const aios__json *v = value_at(a->call->args, h->pointer);
        a->pointer = h->pointer;
        snprintf(a->why, sizeof a->why, "is missing");
        all = v ? each_text(a, h, v, host_text) : AIOS__FIT_NO;
    }
    return all;
}

static enum aios__fit fits_args(asking *a)
{
    aios_error why = AIOS_INIT(aios_error);
    int rc = a->cap->args ? aios__schema_check(a->cap->args, a->call->args, &why) : AIOS_OK;
    a->pointer = "";
    snprintf(a->why, sizeof a->why, "do not fit: %.100s", why.msg);
    return !rc ? AIOS__FIT_YES : rc == AIOS_ESCHEMA ? AIOS__FIT_NO : AIOS__FIT_UNSURE;
}

/* What a call of the capability costs; below 0: it does not say. */
static double cost_of(const aios__cap *c, const aios__ruleset_call *call)
{
    const aios__json *v = c->cost_pointer ? value_at(call->args, c->cost_pointer) : NULL;
    return !c->cost_pointer ? c->cost : aios__json_is_number(v) ? aios__json_real(v, -1) : -1;
}

static enum aios__fit fits_limits(asking *a, uint64_t calls, double spent)
{
    const aios__cap *c = a->cap;
    double cost = cost_of(c, a->call);
    const char *over = NULL;
    if (c->expires_us && a->call->wall_us >= c->expires_us)
        over = "its time is over (expires)";
    else if (a->call->n_args > c->max_bytes)
        over = "the arguments are too large (max_bytes)";
    else if (calls >= c->max_calls)
        over = "its calls are used up (max_calls)";
    else if (c->has_cost && !(cost >= 0 && spent + cost <= c->max_cost))
        over = "its budget is used up (max_cost)";
    if (over)
        snprintf(a->why, sizeof a->why, "%s", over);
    a->pointer = NULL;
    return over ? AIOS__FIT_NO : AIOS__FIT_YES;
}

static bool is_external(const aios__cap *c, const aios__ruleset_call *call)
{
    if (c->external >= 0)
        return c->external;
    return c->n_hosts || call->effect == AIOS_EFFECT_UNSAFE || call->effect == AIOS_EFFECT_KEYED;
}

/* What may flow: the context must be trusted enough for the tool, and everything in it be meant for the tool's readers. */
static bool labels_fit(asking *a)
{
    const aios__cap *c = a->cap;
    uint64_t readers = c->has_readers || is_external(c, a->call) ? c->readers : UINT64_MAX;
    bool trusted = a->call->label.integrity >= c->integrity, meant = !(a->call->label.confidentiality & ~readers);
    if (!trusted)
        snprintf(a->why, sizeof a->why, "text that is not trusted enough is in the context (integrity)");
    else if (!meant)
        snprintf(a->why, sizeof a->why, "confidential text that is not meant for this tool is in the context (confidentiality)");
    a->pointer = NULL;
    return trusted && meant;
}

/* ---- verdicts ----------------------------------------------------------------------------------------------------- */

static bool names(const aios__cap *c, const aios__ruleset_call *call)
{
    size_t n = strlen(call->tool);
    bool tool = c->prefix ? n >= c->n_tool && !memcmp(call->tool, c->tool, c->n_tool) : n == c->n_tool && !strcmp(call->tool, c->tool);
    return tool && (!c->effects || c->effects >> call->effect & 1);
}

static enum aios__fit fits_call(asking *a)
{
    enum aios__fit fit = fits_args(a);
    if (fit == AIOS__FIT_YES)
        fit = fits_paths(a);
    return fit == AIOS__FIT_YES ? fits_hosts(a) : fit;
}

/* The verdict of a capability about a call that it names; 0: it does not fit. */
static int32_t verdict_of(asking *a, uint64_t calls, double spent)
{
    const aios__cap *c = a->cap;
    enum aios__fit fit = fits_call(a);
    if (c->verdict == AIOS_DENY)
        return fit == AIOS__FIT_NO ? 0 : AIOS_DENY;
    if (fit != AIOS__FIT_YES || fits_limits(a, calls, spent) != AIOS__FIT_YES)
        return 0;
    if (!labels_fit(a))
        return c->otherwise && c->otherwise < c->verdict ? c->verdict : c->otherwise;
    const aios_label *l = &a->call->label;
    bool two = a->leaf->rule_of_two && is_external(c, a->call) && l->integrity == AIOS_LABEL_UNTRUSTED && l->confidentiality;
    if (!two || c->verdict != AIOS_ALLOW)
        return c->verdict;
    snprintf(a->why, sizeof a->why, "untrusted and confidential text are both in the context, and this reaches outside (rule_of_two)");
    return AIOS_ASK;
}

static void say(aios_verdict *out, uint32_t i, const asking *a)
{
    const char *reason = a->cap->reason;
    if (reason)
        snprintf(out->reason, sizeof out->reason, "%s (/capabilities/%u)", reason, i);
    else if (a->pointer)
        snprintf(out->reason, sizeof out->reason, "/capabilities/%u: the argument%s %.60s %s", i, a->pointer[0] ? "" : "s", a->pointer, a->why);
    else
        snprintf(out->reason, sizeof out->reason, "/capabilities/%u: %s", i, a->why);
}

/* One policy. `use` is the part of its capabilities. */
static void decide(const aios_rules *leaf, const aios__ruleset_call *call, const aios__ruleset_use *use, bool *fitting, aios_verdict *out,
                   bool *handle)
{
    bool named = false;
    out->verdict = 0;
    for (uint32_t i = 0; i < leaf->n_caps; i++) {
        asking a = {.leaf = leaf, .call = call, .cap = &leaf->caps[i]};
        if (!names(a.cap, call))
            continue;
        int32_t v = verdict_of(&a, use->calls[i], use->cost[i]);
        fitting[i] = v && v != AIOS_DENY;
        *handle = *handle || (v && a.cap->handle);
        if (v > out->verdict) {
            out->verdict = v;
            out->reason[0] = 0;
            if (v == a.cap->verdict)
                a.why[0] = 0, a.pointer = NULL;
            if (a.why[0] || a.cap->reason || v == AIOS_DENY)
                say(out, i, &a);
        } else if (!v && !out->verdict && !named && a.cap->verdict != AIOS_DENY) {
            say(out, i, &a); /* the first that might have been meant */
            named = true;
        }
    }
    if (out->verdict)
        return;
    out->verdict = leaf->dflt;
    if (!named)
        snprintf(out->reason, sizeof out->reason, "no capability is for %.64s", call->tool);
}

/* at: of the leaf's first capability. */
static void charge(const aios_rules *leaf, uint32_t at, const aios__ruleset_call *call, aios__ruleset_use *use, const bool *fitting)
{
    for (uint32_t i = 0; i < leaf->n_caps; i++) {
        if (!fitting[at + i])
            continue;
        double cost = cost_of(&leaf->caps[i], call);
        aios__taken c = {.cap = at + i, .n = 1, .cost = cost > 0 ? cost : 0};
        aios__ruleset_charge(use, &c);
        if (use->last)
            use->last[use->n_last++] = c;
    }
}

void aios__ruleset_charge(aios__ruleset_use *use, const aios__taken *c)
{
    use->calls[c->cap] += c->n;
    use->cost[c->cap] += c->cost;
}

int aios__ruleset_decide(const aios_rules *r, const aios__ruleset_call *call, aios__ruleset_use *use, aios_verdict *out, bool *handle,
                         aios_error *err)
{
    aios_rules *const self[] = {(aios_rules *)(uintptr_t)r};
    aios_rules *const *leaves = r->n_leaves ? r->leaves : self;
    uint32_t n = r->n_leaves ? r->n_leaves : 1, at = 0;
    bool *fitting = aios__alloc_array(aios__ctx_heap(r->ctx), AIOS_MEM_OTHER, r->n_caps, sizeof *fitting, err);
    if (!fitting)
        return aios__error_code(err, AIOS_ENOMEM);
    *handle = r->handles;
    out->verdict = 0;
    for (uint32_t i = 0; i < n; at += leaves[i++]->n_caps) {
        aios_verdict v = AIOS_INIT(aios_verdict);
        aios__ruleset_use part = {.calls = use->calls + at, .cost = use->cost + at};
        decide(leaves[i], call, &part, fitting + at, &v, handle);
        if (v.verdict > out->verdict) {
            out->verdict = v.verdict;
            memcpy(out->reason, v.reason, sizeof out->reason);
        }
    }
    at = 0;
    use->n_last = 0;
    for (uint32_t i = 0; i < n && out->verdict != AIOS_DENY; at += leaves[i++]->n_caps)
        charge(leaves[i], at, call, use, fitting);
    aios__free(aios__ctx_heap(r->ctx), fitting);
    return AIOS_OK;
}
