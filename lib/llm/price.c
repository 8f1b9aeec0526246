/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "llm/llm.h"

uint64_t aios__price(const aios_prices *p, const aios_usage *u)
{
    double cached = u->cached < u->input ? u->cached : u->input; /* a price of a million is millionths of one */
    double cost = ceil((u->input - cached) * p->input + cached * p->cached + u->output * p->output);
    return cost >= 9e18 ? INT64_MAX : cost > 0 ? (uint64_t)cost : 0;
}
