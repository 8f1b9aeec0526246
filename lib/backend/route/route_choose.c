/* SPDX-License-Identifier: Apache-2.0 */
/* Who gets a turn: conditions in the order of the file, then the balance among the endpoints of one candidate. */
#include <stdio.h>

#include "backend/route/route_priv.h"

#define SECOND INT64_C(1000000000)
#define WAITS_LAST (30 * SECOND) /* older times say nothing of now */
#define REFUSED_FOR (60 * SECOND) /* an endpoint whose key or quota was refused */
#define LONGEST_OPEN (60 * SECOND)

const char *aios__route_why_text(enum aios__route_why w)
{
    static const char *const texts[] = {
#define X(name, text) text,
        AIOS__ROUTE_WHYS(X)
#undef X
    };
    return texts[w];
}

/* ---- what a turn needs -------------------------------------------------------------------------------------------- */

static size_t length(const char *s)
{
    return s ? strlen(s) : 0;
}

void aios__route_need_of(const aios__route *r, const aios_request *q, aios__route_need *out)
{
    uint64_t n = q->raw ? q->n_raw : 0;
    *out = (aios__route_need){.max_tokens = q->max_tokens, .sticky = AIOS__ROUTE_ENDPOINTS};
    for (uint32_t i = 0; i < aios_transcript_count(q->transcript); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(q->transcript, i, &e);
        out->classes |= e.label.confidentiality;
        for (uint32_t k = 0; k < e.n_parts; k++) {
            const aios_part *p = (const aios_part *)(const void *)((const char *)e.parts + k * e.part_stride);
            out->can |= p->kind == AIOS_PART_IMAGE ? AIOS__ROUTE_IMAGES : p->kind == AIOS_PART_AUDIO ? AIOS__ROUTE_AUDIO : 0;
            n += p->kind == AIOS_PART_IMAGE || p->kind == AIOS_PART_AUDIO ? 4096 : p->n_text + 16;
        }
    }
    for (uint32_t i = 0; i < q->n_tools; i++)
        n += length(q->tools[i].schema_json) + length(q->tools[i].description) + 64;
    n += length(q->schema_json);
    n = n / 4 + 1;
    out->tokens = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
    if (q->n_tools && q->tool_choice != AIOS_TOOLS_NONE)
        out->model_can |= AIOS_MODEL_CAN_TOOLS;
    if (q->grammar)
        out->model_can |= AIOS_MODEL_CAN_GRAMMAR;
    if (q->flags & AIOS_REQUEST_LOGPROBS)
        out->model_can |= AIOS_MODEL_CAN_LOGPROBS;
    if (q->schema_json && r->strict_schema)
        out->model_can |= AIOS_MODEL_CAN_SCHEMA;
}

/* ---- conditions --------------------------------------------------------------------------------------------------- */

static double cost_of(const aios__candidate *c, double input, double cached, double output)
{
    return (input - cached) * c->cost_input + cached * c->cost_cached + output * c->cost_output; /* a price of a million is millionths of one */
}

uint64_t aios__route_cost(const aios__route *r, uint32_t e, const aios_usage *usage)
{
    const aios__candidate *c = &r->candidates[r->endpoints[e].candidate];
    aios_prices p = AIOS_INIT(aios_prices);
    p.input = c->cost_input;
    p.cached = c->cost_cached;
    p.output = c->cost_output;
    return aios__price(&p, usage);
}

static bool over(const aios__route_spend *limit, const aios__route_spend *spent, const aios__route_spend *reserved, uint64_t tokens,
                 double money)
{
    return (limit->tokens && spent->tokens + reserved->tokens + tokens > limit->tokens) ||
           (limit->money > 0 && spent->money + reserved->money + money > limit->money);
}

static int64_t median(const aios__endpoint *e)
{
    int64_t v[AIOS__ROUTE_WAITS];
    uint32_t n = e->n_waits < AIOS__ROUTE_WAITS ? e->n_waits : AIOS__ROUTE_WAITS;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = i;
        for (; k && v[k - 1] > e->waits[i]; k--)
            v[k] = v[k - 1];
        v[k] = e->waits[i];
    }
    return n ? v[n / 2] : 0;
}

static enum aios__route_why why_not(const aios__route *r, uint32_t i, const aios__route_need *q, bool hurry, int64_t now)
{
    const aios__endpoint *e = &r->endpoints[i];
    const aios__candidate *c = &r->candidates[e->candidate];
    uint64_t bit = UINT64_C(1) << i, tokens = (uint64_t)q->tokens + q->max_tokens;
    double money = cost_of(c, q->tokens, 0, q->max_tokens);
    uint32_t n_ctx = c->n_ctx && (!e->n_ctx || c->n_ctx < e->n_ctx) ? c->n_ctx : e->n_ctx;
    if (!e->model)
        return AIOS__WHY_CLOSED;
    if (e->privacy != AIOS_PRIVACY_LOCAL && !c->any_class && q->classes & ~c->classes)
        return AIOS__WHY_PRIVACY;
    if (q->model_can & ~e->can || q->can & ~c->can)
        return AIOS__WHY_CAPABILITY;
    if (e->privacy != AIOS_PRIVACY_LOCAL && n_ctx && q->tokens > n_ctx) /* local ones count for themselves */
        return AIOS__WHY_CONTEXT;
    if (q->tokens < c->min_tokens || (c->max_tokens && q->tokens > c->max_tokens))
        return AIOS__WHY_SIZE;
    if (c->max_cost > 0 && money > c->max_cost * 1e6)
        return AIOS__WHY_COST;
    if (over(&r->limit, &r->spent, &r->reserved, tokens, money) || over(&c->limit, &c->spent, &c->reserved, tokens, money))
        return AIOS__WHY_BUDGET;
    if ((q->tried | q->dead) & bit)
        return AIOS__WHY_FAILED;
    if (e->open_until && (now < e->open_until || e->probing))
        return AIOS__WHY_HEALTH;
    if (c->concurrent && e->running >= c->concurrent)
        return AIOS__WHY_BUSY;
    return hurry && c->max_wait_ns && now - e->waited_at < WAITS_LAST && median(e) > c->max_wait_ns ? AIOS__WHY_LATENCY : AIOS__WHY_NONE;
}

/* ---- balance ------------------------------------------------------------------------------------------------------ */

static bool better(const aios__route *r, const aios__endpoint *a, const aios__endpoint *b)
{
    uint64_t x = (uint64_t)a->running * b->weight, y = (uint64_t)b->running * a->weight;
    return r->least && x != y ? x < y : a->credit > b->credit;
}

/* Among those of `open`, by bit. Every choice pays its credit, which all earn by weight. */
static uint32_t balance(aios__route *r, const aios__candidate *c, uint64_t open, bool take)
{
    uint32_t best = AIOS__ROUTE_ENDPOINTS;
    int64_t sum = 0;
    for (uint32_t i = c->first; i < c->first + c->n; i++) {
        if (!(open >> i & 1))
            continue;
        r->endpoints[i].credit += take ? r->endpoints[i].weight : 0;
        sum += r->endpoints[i].weight;
        if (best == AIOS__ROUTE_ENDPOINTS || better(r, &r->endpoints[i], &r->endpoints[best]))
            best = i;
    }
    if (take)
        r->endpoints[best].credit -= sum;
    return best;
}

static void reserve(aios__route *r, const aios__endpoint *e, const aios__route_need *q, bool undo)
{
    aios__candidate *c = &r->candidates[e->candidate];
    uint64_t tokens = (uint64_t)q->tokens + q->max_tokens;
    double money = cost_of(c, q->tokens, 0, q->max_tokens);
    aios__route_spend *both[] = {&r->reserved, &c->reserved};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(both); i++) {
        both[i]->tokens += undo ? 0 - tokens : tokens;
        both[i]->money += undo ? -money : money;
    }
}

static bool choose_of(aios__route *r, const aios__route_need *q, const aios__candidate *c, bool hurry, bool take, int64_t now,
                      aios__route_pick *out)
{
    uint64_t open = 0;
    uint8_t *why = &out->why[c - r->candidates];
    *why = 0;
    for (uint32_t i = c->first; i < c->first + c->n; i++) {
        enum aios__route_why w = why_not(r, i, q, hurry, now);
        open |= w ? 0 : UINT64_C(1) << i;
        *why = w > *why ? (uint8_t)w : *why;
    }
    if (!open)
        return false;
    *why = 0;
    bool sticks = r->sticky && q->sticky < AIOS__ROUTE_ENDPOINTS && open >> q->sticky & 1;
    out->endpoint = sticks ? q->sticky : balance(r, c, open, take);
    aios__endpoint *e = &r->endpoints[out->endpoint];
    out->how = e->open_until ? "probe" : sticks ? "sticky" : "first";
    if (take) {
        e->probing = e->open_until != 0;
        e->running++;
        reserve(r, e, q, false);
    }
    return true;
}

/* ---- nobody ------------------------------------------------------------------------------------------------------- */

static bool may_come(const aios__route *r, const aios__route_need *q, const aios__route_pick *p)
{
    for (uint32_t i = 0; i < r->n_candidates; i++) {
        const aios__candidate *c = &r->candidates[i];
        uint64_t all = (c->n == 64 ? 0 : UINT64_C(1) << c->n) - 1;
        bool again = p->why[i] == AIOS__WHY_FAILED && (q->dead >> c->first & all) != all;
        if (p->why[i] == AIOS__WHY_HEALTH || p->why[i] == AIOS__WHY_BUSY || again)
            return true;
    }
    return false;
}

static int fail_budget(const aios__route *r, const aios__route_need *q, const aios__route_pick *p, const char *list, aios_error *err)
{
    const aios__candidate *c = NULL;
    for (uint32_t i = 0; i < r->n_candidates && !c; i++)
        c = p->why[i] == AIOS__WHY_BUDGET ? &r->candidates[i] : NULL;
    uint64_t tokens = (uint64_t)q->tokens + q->max_tokens;
    double money = cost_of(c, q->tokens, 0, q->max_tokens);
    bool whole = over(&r->limit, &r->spent, &r->reserved, tokens, money);
    const aios__route_spend *limit = whole ? &r->limit : &c->limit, *spent = whole ? &r->spent : &c->spent;
    bool by_tokens = limit->tokens && spent->tokens + tokens > limit->tokens;
    double have = by_tokens ? (double)limit->tokens - (double)spent->tokens : limit->money - spent->money;
    return aios__fail_need(err, AIOS_EQUOTA, have > 0 ? (uint64_t)have : 0, by_tokens ? tokens : (uint64_t)money,
                           "the budget of %s has not the %s that this turn may take (%s)", whole ? "the router" : c->name,
                           by_tokens ? "tokens" : "money, in millionths,", list);
}

static int fail_nobody(const aios__route *r, const aios__route_need *q, const aios__route_pick *p, aios_error *err)
{
    static const struct {
        enum aios__route_why why;
        int code;
    } rows[] = {{AIOS__WHY_BUDGET, AIOS_EQUOTA}, {AIOS__WHY_COST, AIOS_EQUOTA}, {AIOS__WHY_CONTEXT, AIOS_ECONTEXT},
                {AIOS__WHY_SIZE, AIOS_ECONTEXT},
                {AIOS__WHY_CAPABILITY, AIOS_ENOTSUP}, {AIOS__WHY_PRIVACY, AIOS_EDENIED}};
    char list[300] = "";
    size_t n = 0;
    uint32_t n_ctx = 0;
    for (uint32_t i = 0; i < r->n_candidates; i++) {
        const aios__endpoint *e = &r->endpoints[r->candidates[i].first];
        if (n < sizeof list - 1)
            n += (size_t)snprintf(list + n, sizeof list - n, "%s%s: %s", i ? ", " : "", r->candidates[i].name, aios__route_why_text(p->why[i]));
        n_ctx = p->why[i] == AIOS__WHY_CONTEXT && e->n_ctx > n_ctx ? e->n_ctx : n_ctx;
    }
    list[aios__utf8_whole(list, strlen(list))] = 0;
    for (size_t k = 0; k < AIOS__ARRAY_LEN(rows); k++)
        for (uint32_t i = 0; i < r->n_candidates; i++)
            if (p->why[i] == rows[k].why && rows[k].why == AIOS__WHY_BUDGET)
                return fail_budget(r, q, p, list, err);
            else if (p->why[i] == rows[k].why)
                return aios__fail_need(err, rows[k].code, n_ctx, n_ctx ? q->tokens : 0, "no candidate takes this turn (%s)", list);
    return aios__fail(err, AIOS_EUNAVAIL, "no candidate is left for this turn (%s)", list);
}

/* The least telling of the reasons at its endpoints, as choose_of has it. */
static const char *why_passed(const aios__route *r, const aios__candidate *c, const aios__route_need *q, int64_t now)
{
    enum aios__route_why most = AIOS__WHY_NONE;
    for (uint32_t i = c->first; i < c->first + c->n; i++) {
        enum aios__route_why w = why_not(r, i, q, false, now);
        most = w > most ? w : most;
    }
    return most ? aios__route_why_text(most) : "not tried";
}

/* Such failures first as stay, then such as may pass, then those who were passed over. */
static int rank_of(int code)
{
    bool passes = code == AIOS_EUNAVAIL || code == AIOS_ERATE || code == AIOS_ETIMEDOUT || code == AIOS_EPROTO || code == AIOS_EIO;
    return !code ? 2 : passes ? 1 : 0;
}

/* At most `room` bytes with the NUL, in whole characters. */
static size_t add_cause(char *out, size_t room, const char *name, const aios__route_cause *cause, const char *passed)
{
    char one[320];
    int n_name = (int)aios__utf8_whole(name, strnlen(name, 60));
    if (cause->code)
        snprintf(one, sizeof one, "%.*s: %s: %s", n_name, name, aios_code_name(cause->code), cause->msg);
    else
        snprintf(one, sizeof one, "%.*s: %s", n_name, name, passed);
    size_t n = strlen(one);
    n = aios__utf8_whole(one, n < room ? n : room - 1);
    memcpy(out, one, n);
    out[n] = 0;
    return n;
}

int aios__route_fail_all(aios__route *r, const aios__route_need *q, const aios__route_cause *causes, const aios_error *last, aios_error *err)
{
    char list[sizeof last->msg] = "";
    size_t n = 0;
    uint32_t left = r->n_candidates;
    int64_t now = aios__now_ns(aios__ctx_env(r->ctx));
    if (left == 1)
        return aios__error_copy(err, last);
    n = (size_t)snprintf(list, sizeof list, "none of %u candidates answered: ", left);
    pthread_mutex_lock(&r->lock);
    for (int rank = 0; rank < 3; rank++)
        for (uint32_t i = 0; i < r->n_candidates; i++) {
            if (rank_of(causes[i].code) != rank)
                continue;
            size_t room = (sizeof list - n) / left--;
            n += add_cause(list + n, room < 3 ? 1 : room - 2, r->candidates[i].name, &causes[i], why_passed(r, &r->candidates[i], q, now));
            n += (size_t)snprintf(list + n, sizeof list - n, "%s", left ? "; " : "");
        }
    pthread_mutex_unlock(&r->lock);
    return aios__fail_need(err, last->code, last->have, last->need, "%s", list);
}

int aios__route_choose(aios__route *r, const aios__route_need *q, bool take, aios__route_pick *out, aios_error *err)
{
    int64_t now = aios__now_ns(aios__ctx_env(r->ctx));
    bool found = false;
    memset(out, 0, sizeof *out);
    pthread_mutex_lock(&r->lock);
    for (int pass = 0; pass < 2 && !found; pass++) /* a slow one is better than none */
        for (uint32_t i = 0; i < r->n_candidates && !found; i++)
            found = choose_of(r, q, &r->candidates[i], !pass, take, now, out);
    int rc = found ? AIOS_OK : may_come(r, q, out) ? AIOS_AGAIN : fail_nobody(r, q, out, err);
    pthread_mutex_unlock(&r->lock);
    return rc;
}

/* ---- what became of it -------------------------------------------------------------------------------------------- */

static void judge(const aios__route *r, aios__endpoint *e, bool probe, int code, int64_t now)
{
    bool refused = code == AIOS_EAUTH || code == AIOS_EQUOTA;
    bool ill = code == AIOS_EUNAVAIL || code == AIOS_ERATE || code == AIOS_ETIMEDOUT || code == AIOS_EPROTO || code == AIOS_EIO;
    bool answered = !code || (probe && code != AIOS_ECANCELED && !ill && !refused); /* a refusal of the request is a sign of life */
    e->probing = e->probing && !probe;
    if (answered) {
        e->failures = 0;
        e->open_until = 0;
        e->open_ns = r->open_ns;
    } else if (refused) {
        e->open_until = now + REFUSED_FOR;
    } else if (ill && (++e->failures >= r->failures || probe)) {
        e->open_until = now + e->open_ns;
        e->open_ns = e->open_ns < LONGEST_OPEN / 2 ? e->open_ns * 2 : LONGEST_OPEN;
    }
}

void aios__route_report(aios__route *r, uint32_t i, const aios__route_need *q, int code, const aios_usage *usage, int64_t wait_ns)
{
    aios__endpoint *e = &r->endpoints[i];
    aios__candidate *c = &r->candidates[e->candidate];
    int64_t now = aios__now_ns(aios__ctx_env(r->ctx));
    pthread_mutex_lock(&r->lock);
    e->running--;
    reserve(r, e, q, true);
    aios__route_spend *both[] = {&r->spent, &c->spent};
    for (size_t k = 0; k < AIOS__ARRAY_LEN(both); k++) {
        both[k]->tokens += (uint64_t)usage->input + usage->output;
        both[k]->money += cost_of(c, usage->input, usage->cached, usage->output);
    }
    if (wait_ns >= 0) {
        e->waits[e->n_waits++ % AIOS__ROUTE_WAITS] = wait_ns;
        e->waited_at = now;
    }
    judge(r, e, q->probe, code, now);
    pthread_mutex_unlock(&r->lock);
}
