/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests and tokens a minute, by the generic cell rate algorithm (ITU-T I.371): each has a time at which the next one is due, which what
 * is sent moves on by its share of a minute. Evenly spaced, with no more than a second's worth at once.
 */
#include <time.h>

#include "backend/http/remote_priv.h"

#define MINUTE INT64_C(60000000000)
#define SLACK INT64_C(1000000000)
#define NAP INT64_C(20000000)
#define LONGEST (60 * MINUTE) /* that one request may cost: its tokens are what a server says */

static int64_t share(uint32_t per_min, uint64_t n)
{
    double ns = per_min ? (double)n * (double)MINUTE / per_min : 0;
    return ns < (double)LONGEST ? (int64_t)ns : LONGEST;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

int64_t aios__gate_enter(aios__remote *m, uint32_t n_tokens)
{
    aios__gate *g = &m->gate;
    int64_t now = aios__now_ns(aios__ctx_env(m->server.ctx));
    if (!m->requests_per_min && !m->tokens_per_min)
        return 0;
    pthread_mutex_lock(&g->lock);
    int64_t wait = later(later(m->requests_per_min ? g->request_due - now : 0, m->tokens_per_min ? g->token_due - now : 0), 0);
    wait = wait > SLACK ? wait - SLACK : 0;
    if (!wait) {
        g->request_due = later(g->request_due, now) + share(m->requests_per_min, 1);
        g->token_due = later(g->token_due, now) + share(m->tokens_per_min, n_tokens);
    }
    pthread_mutex_unlock(&g->lock);
    return wait;
}

void aios__gate_settle(aios__remote *m, uint32_t estimated, uint64_t counted)
{
    if (!m->tokens_per_min)
        return;
    pthread_mutex_lock(&m->gate.lock);
    m->gate.token_due += share(m->tokens_per_min, counted) - share(m->tokens_per_min, estimated);
    pthread_mutex_unlock(&m->gate.lock);
}

int aios__gate_wait(aios__remote *m, uint32_t n_tokens, int64_t end, aios_error *err)
{
    const aios_env *env = aios__ctx_env(m->server.ctx);
    int64_t left;
    while ((left = aios__gate_enter(m, n_tokens)) > 0) {
        if (left > end - aios__now_ns(env))
            return aios__fail(err, AIOS_ERATE, "%s: the limits of this model allow the request in %lld s only, which is longer than its deadline", m->host,
                              (long long)(left / 1000000000));
        struct timespec ts = {.tv_nsec = (long)(left < NAP ? left : NAP)};
        nanosleep(&ts, NULL);
    }
    return AIOS_OK;
}
