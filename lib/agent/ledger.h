/* SPDX-License-Identifier: Apache-2.0 */
/* What the model turns of a run took: money, and tokens of prompts. */
#ifndef AIOS_LIB_LEDGER_H
#define AIOS_LIB_LEDGER_H

#include <aios/agent.h>

#include "base/base.h"

struct aios__journal_record;

typedef struct aios__ledger {
    uint64_t cost_micros; /**< at most INT64_MAX */
    uint64_t n_input;     /**< cached ones included */
    uint64_t n_cached;
} aios__ledger;

/** EINVAL: a price that is none. */
int aios__prices_check(const aios_prices *p, aios_error *err);
/** Prices *u by the agent's prices, if it has some, and adds it to the run. */
void aios__ledger_take(aios_run *r, aios_usage *u);
/** Sums stay within INT64_MAX. */
void aios__ledger_add(aios__ledger *l, const aios__ledger *more);
void aios__ledger_sub(aios__ledger *l, const aios__ledger *less);
/** Members of a record. */
void aios__ledger_put(const aios__ledger *l, aios__buf *b, aios_error *err);
/** Reads them; records of older versions have none. EFORMAT. */
int aios__ledger_read(const struct aios__journal_record *rec, aios__ledger *out, aios_error *err);

#endif
