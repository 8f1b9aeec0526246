/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/agent_priv.h"

int aios__prices_check(const aios_prices *p, aios_error *err)
{
    const struct {
        const char *name;
        double price;
    } rows[] = {{"input", p->input}, {"cached", p->cached}, {"output", p->output}};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (!(rows[i].price >= 0 && rows[i].price <= AIOS__MAX_PRICE))
            return aios__fail(err, AIOS_EINVAL, "prices.%s is %g: it must be from 0 to %g for a million tokens", rows[i].name, rows[i].price, AIOS__MAX_PRICE);
    return AIOS_OK;
}

static uint64_t add(uint64_t a, uint64_t b)
{
    return b > INT64_MAX - a ? INT64_MAX : a + b;
}

void aios__ledger_take(aios_run *r, aios_usage *u)
{
    aios__ledger *l = &r->ledger;
    if (r->agent->has_prices)
        u->cost_micros = aios__price(&r->agent->prices, u);
    u->cost_micros = u->cost_micros < INT64_MAX ? u->cost_micros : INT64_MAX;
    l->cost_micros = add(l->cost_micros, u->cost_micros);
    l->n_input = add(l->n_input, u->input);
    l->n_cached = add(l->n_cached, u->cached);
    r->n_tokens += u->output;
}

int aios__ledger_check(const aios_run *r, aios_error *err)
{
    uint64_t most = r->agent->limits.max_cost, spent = r->ledger.cost_micros;
    if (!most || spent < most)
        return AIOS_OK;
    return aios__fail_need(err, AIOS_ELIMIT, most, spent + 1, "the run has cost %.6g, and may cost %.6g (limits.max_cost, in millionths; the command: --max-cost)",
                           (double)spent / 1e6, (double)most / 1e6);
}

void aios__ledger_put(const aios_run *r, aios__buf *b, aios_error *err)
{
    const aios__ledger *l = &r->ledger;
    aios__buf_addf(b, err, ",\"cost\":%llu,\"input\":%llu,\"cached\":%llu", (unsigned long long)l->cost_micros, (unsigned long long)l->n_input,
                   (unsigned long long)l->n_cached);
}

int aios__ledger_read(const aios__journal_record *rec, aios__ledger *out, aios_error *err)
{
    const struct {
        const char *key;
        uint64_t *to;
    } rows[] = {{"cost", &out->cost_micros}, {"input", &out->n_input}, {"cached", &out->n_cached}};
    int rc = AIOS_OK;
    for (size_t i = 0; !rc && i < AIOS__ARRAY_LEN(rows); i++)
        if (aios__json_get(rec->root, rows[i].key))
            rc = aios__journal_number(rec, rows[i].key, INT64_MAX, rows[i].to, err);
    return rc;
}
