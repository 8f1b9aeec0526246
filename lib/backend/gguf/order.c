/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/gguf/order.h"

bool aios__order_before(const aios__job *a, const aios__job *b, bool aged)
{
    if (a->prompt != b->prompt)
        return b->prompt;
    if (aged && a->last != b->last)
        return a->last < b->last;
    if (a->priority != b->priority)
        return a->priority > b->priority;
    if (a->deadline != b->deadline)
        return a->deadline < b->deadline;
    if (a->prompt && a->served != b->served)
        return a->served < b->served;
    return a->last != b->last ? a->last < b->last : a->number < b->number;
}

bool aios__order_outranks(const aios__job *a, const aios__job *b)
{
    if (a->priority != b->priority)
        return a->priority > b->priority;
    return a->deadline != b->deadline ? a->deadline < b->deadline : a->number < b->number;
}

uint32_t aios__order_budget(uint32_t n_replies, int32_t reply, int32_t prompt, bool aged, uint32_t beside, uint32_t most)
{
    uint32_t n = beside < AIOS__ORDER_BESIDE ? AIOS__ORDER_BESIDE : beside < most ? beside : most;
    if (!n_replies || (prompt > reply && !aged))
        n = most;
    else if (prompt < reply && !aged)
        n = AIOS__ORDER_BELOW;
    n += (AIOS__ORDER_TILE - (n_replies + n) % AIOS__ORDER_TILE) % AIOS__ORDER_TILE;
    return n < most ? n : most;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static bool same_rank(const aios__job *a, const aios__job *b)
{
    return a->priority == b->priority && a->deadline == b->deadline;
}

void aios__order_share(aios__job *const *prompts, uint32_t n, uint32_t left, bool aged)
{
    for (uint32_t from = 0, to; from < n; from = to) {
        for (to = from; to < n && (aged || same_rank(prompts[from], prompts[to])); to++) {
            prompts[to]->share = least(left, least(AIOS__ORDER_QUANTUM, prompts[to]->n_waiting));
            left -= prompts[to]->share;
        }
        for (uint32_t i = from; i < to && left; i++) {
            uint32_t more = least(left, prompts[i]->n_waiting - prompts[i]->share);
            prompts[i]->share += more;
            left -= more;
        }
    }
}

uint64_t aios__order_enter(uint64_t served, uint64_t floor)
{
    uint64_t least_served = floor > AIOS__ORDER_CREDIT ? floor - AIOS__ORDER_CREDIT : 0;
    return served > least_served ? served : least_served;
}
