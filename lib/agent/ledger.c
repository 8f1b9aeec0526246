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

void aios__ledger_add(aios__ledger *l, const aios__ledger *more)
{
    l->cost_micros = add(l->cost_micros, more->cost_micros);
    l->n_input = add(l->n_input, more->n_input);
    l->n_cached = add(l->n_cached, more->n_cached);
}

static uint64_t take(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

void aios__ledger_sub(aios__ledger *l, const aios__ledger *less)
{
    l->cost_micros = take(l->cost_micros, less->cost_micros);
    l->n_input = take(l->n_input, less->n_input);
    l->n_cached = take(l->n_cached, less->n_cached);
}

void aios__ledger_take(aios_run *r, aios_usage *u)
{
    if (r->agent->has_prices)
        u->cost_micros = aios__price(&r->agent->prices, u);
    u->cost_micros = u->cost_micros < INT64_MAX ? u->cost_micros : INT64_MAX;
    aios__use_add(r, (aios__use){.tokens = u->output, .ledger = {u->cost_micros, u->input, u->cached}});
}

void aios__ledger_put(const aios__ledger *l, aios__buf *b, aios_error *err)
{
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
