/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/gguf/gguf.h"
#include "backend/gguf/room.h"

/* Of the budget one part in so many is kept from caches, as long as several turns want some; at most so much. */
enum { SHARE = 16, MOST_BYTES = 4 << 20 };

static void hold(const aios__room *r, aios__gguf_session *s)
{
    s->job.held = true;
    s->job.held_at = s->job.held_at ? s->job.held_at : r->now;
    s->turn.rc = AIOS_AGAIN;
}

/* From a turn that ranks lower, of a priority below this; what it has computed it computes again, unless it is found. */
static bool take_from(const aios__room *r, uint32_t i, int64_t below)
{
    for (uint32_t k = r->n; k-- > i + 1;) {
        aios__gguf_session *v = r->turns[k];
        if (v->job.held || v->job.priority >= below || !v->kv->n_blocks || !aios__turn_let_go(v))
            continue;
        hold(r, v);
        return true;
    }
    return false;
}

/* Others are at work, or about to be, and will be over. */
static bool others_go_on(const aios__room *r, uint32_t i)
{
    uint32_t n = r->n_others;
    for (uint32_t k = 0; k < r->n; k++)
        n += k != i && !r->turns[k]->job.held;
    int64_t since = r->moved > r->turns[i]->job.held_at ? r->moved : r->turns[i]->job.held_at;
    return n && r->now - since < AIOS__ROOM_PATIENCE_NS;
}

/* True: some memory was found, try again. False: the turn is held, or nothing helps. */
static bool find(const aios__room *r, uint32_t i)
{
    aios__gguf_session *s = r->turns[i];
    aios__job *j = &s->job;
    int64_t equals = (int64_t)j->priority + 1;
    j->held_at = j->held_at ? j->held_at : r->now;
    bool wait = others_go_on(r, i), urgent = r->now >= j->deadline || r->now - j->held_at >= AIOS__ROOM_PATIENCE_NS;
    if (aios__caches_drop(r->caches, j->priority) || take_from(r, i, j->priority))
        return true;
    if ((s->kv->n_blocks || urgent || !wait) && (aios__caches_drop(r->caches, equals) || take_from(r, i, equals)))
        return true;
    if (!wait)
        return aios__caches_drop(r->caches, INT64_MAX);
    if (aios__turn_let_go(s))
        hold(r, s);
    return false;
}

/* What turns need beside their caches is a little, and must be there. */
static bool leaves_some(const aios__room *r, const aios__gguf_session *s)
{
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    if (s->turn.rc != AIOS_AGAIN || r->n + r->n_others < 2)
        return true;
    aios_ctx_usage(s->model->ctx, &u);
    uint64_t least = u.budget / SHARE < MOST_BYTES ? u.budget / SHARE : MOST_BYTES, left = u.budget - u.used;
    return left >= least || left + aios__reclaim(s->model->heap, (size_t)(least - left)) >= least;
}

static void plan(const aios__room *r, uint32_t i)
{
    bool fits;
    do
        fits = aios__turn_plan(r->turns[i]);
    while (!(fits && leaves_some(r, r->turns[i])) && find(r, i));
}

void aios__room_plan(aios__room *r)
{
    bool stuck = false; /* what ranks higher waits for memory: no other that waits is tried */
    aios__caches_patient(r->caches, true);
    for (uint32_t i = 0; i < r->n; i++) {
        aios__gguf_session *s = r->turns[i];
        if (s->job.lent || (s->job.held && stuck))
            continue;
        s->job.held = false;
        plan(r, i);
        stuck = stuck || s->job.held;
        s->job.held_at = s->job.held ? s->job.held_at : 0;
    }
    aios__caches_patient(r->caches, false);
}
