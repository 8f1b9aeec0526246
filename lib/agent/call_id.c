/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of calls. A decision reaches a call by its id, people type ids into shells, and below a call stand those of the agent that it calls,
 * as "call_1/call_2": so an id is one in all of its run's transcript, and nothing but a plain word. What else a model or server says is renamed.
 */
#include <stdio.h>

#include "agent/agent_priv.h"

#define MAX_ID 256u
#define MAX_THEIRS 999999999u /* of call_N: nobody counts up for us */
#define MIN_DIGEST 8u         /* hexadecimal digits that may be meant as a digest's beginning */

/* As ours, of whatever length. */
static bool is_numbered(const char *id)
{
    return !strncmp(id, "call_", 5) && id[5] && !id[5 + strspn(id + 5, "0123456789")];
}

static bool reads_as_digest(const char *id)
{
    size_t n = strspn(id, "0123456789abcdefABCDEF");
    return n >= MIN_DIGEST && !id[n];
}

static bool is_plain(const char *id)
{
    size_t n = strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-+=@,");
    return n && n <= MAX_ID && !id[n] && *id != '-';
}

static bool may_keep(const char *id)
{
    uint64_t number = aios__call_number(id);
    if (number)
        return number <= MAX_THEIRS;
    return is_plain(id) && !is_numbered(id) && !reads_as_digest(id);
}

static bool is_taken(const aios_run *r, const char *id)
{
    for (uint32_t i = 0; i < r->n_turn_calls; i++)
        if (!strcmp(r->calls[i].call->id, id))
            return true;
    return aios__transcript_has_call(r->t, id);
}

const char *aios__run_call_id(const aios_run *r, const char *id, char own[AIOS__OWN_ID])
{
    uint64_t last = aios__transcript_last_call(r->t);
    if (id && may_keep(id) && !is_taken(r, id))
        return id;
    for (uint32_t i = 0; i < r->n_turn_calls; i++) {
        uint64_t n = aios__call_number(r->calls[i].call->id);
        last = n > last ? n : last;
    }
    do
        snprintf(own, AIOS__OWN_ID, "call_%llu", (unsigned long long)++last);
    while (is_taken(r, own));
    return own;
}

/* ---- found by it -------------------------------------------------------------------------------------------------- */

/* What is meant below this call: the rest of the name, or the digest; NULL: nothing. */
static const char *name_below(const aios__run_call *c, const char *name, bool is_digest)
{
    size_t n = strlen(c->call->id);
    if (!c->sub || is_digest)
        return c->sub ? name : NULL;
    return !strncmp(name, c->call->id, n) && name[n] == '/' ? name + n + 1 : NULL;
}

aios__run_call *aios__run_find_ask(aios_run *r, const char *name, bool is_digest, aios_run **owner)
{
    aios__run_call *found = NULL;
    for (uint32_t i = 0; i < r->n_turn_calls && !found; i++) {
        aios__run_call *c = &r->calls[i];
        const char *below = name_below(c, name, is_digest);
        if (c->state == AIOS__RC_ASK && !strcmp(is_digest ? c->gate.digest : c->call->id, name)) {
            *owner = r;
            found = c;
        } else if (below) {
            found = aios__run_find_ask(c->sub, below, is_digest, owner);
        }
    }
    return found;
}
