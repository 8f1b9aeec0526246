/* SPDX-License-Identifier: Apache-2.0 */
/* What requests want beside a conversation, held against what a dialect has words for. */
#include "backend/http/dialect.h"

int aios__check_says(const aios__server *s, const aios_request *req, uint32_t says, aios_error *err)
{
    static const aios_sampling none = {0};
    const aios_sampling *p = req->sampling ? req->sampling : &none;
    const struct {
        uint32_t says;
        bool wanted;
        const char *name;
    } rows[] = {
        {AIOS__SAYS_TOP_K, p->top_k > 0, "sampling.top_k"},
        {AIOS__SAYS_MIN_P, p->min_p > 0, "sampling.min_p"},
        {AIOS__SAYS_REPEAT_PENALTY, p->repeat_penalty > 0 && (p->repeat_penalty < 1 || p->repeat_penalty > 1), "sampling.repeat_penalty"},
        {AIOS__SAYS_PENALTIES, p->frequency_penalty < 0 || p->frequency_penalty > 0, "sampling.frequency_penalty"},
        {AIOS__SAYS_PENALTIES, p->presence_penalty < 0 || p->presence_penalty > 0, "sampling.presence_penalty"},
        {AIOS__SAYS_PENALTY_LAST_N, p->penalty_last_n > 0, "sampling.penalty_last_n"},
        {AIOS__SAYS_SEED, p->seed != 0, "sampling.seed"},
        {AIOS__SAYS_MAX_REASONING, req->max_reasoning > 0, "max_reasoning"},
        {AIOS__SAYS_TOOL_CHOICE, req->n_tools && req->tool_choice == AIOS_TOOLS_REQUIRED, "AIOS_TOOLS_REQUIRED"},
        {AIOS__SAYS_TOOL_CHOICE, req->n_tools && req->tool_choice == AIOS_TOOLS_NAMED, "AIOS_TOOLS_NAMED"},
        {AIOS__SAYS_LOGPROBS, req->flags & AIOS_REQUEST_LOGPROBS, "AIOS_REQUEST_LOGPROBS"},
        {0, req->flags & AIOS_REQUEST_IGNORE_EOS, "AIOS_REQUEST_IGNORE_EOS"},
        {0, req->min_margin > 0, "min_margin"},
    };
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (rows[i].wanted && !(rows[i].says & says))
            return aios__fail(err, AIOS_ENOTSUP, "%s has no %s: leave it out, or use another model", s->dialect->title, rows[i].name);
    return AIOS_OK;
}
