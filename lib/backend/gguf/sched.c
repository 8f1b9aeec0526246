/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <time.h>

#include "backend/gguf/gguf.h"
#include "backend/gguf/room.h"

/* Logits of one pass; what of them is kept while no turn runs; time of a layer, after which a cancel is seen; longest wait;
   time of a pass with prompts beside replies that rank alike. */
#define LOGIT_BYTES ((size_t)64 << 20)
#define KEEP_BYTES ((size_t)2 << 20)
#define LAYER_NS 20000000
#define GATHER_NS 1000000
#define BESIDE_NS 150000000
/* What waits for memory looks again after so long; without a pass for so long it leads one. */
#define HELD_NS 2000000
#define STILL_NS 20000000

typedef void task_fn(aios__sched *d, aios__gguf_session *s, uint32_t tid);

struct aios__sched {
    aios__net *net;
    aios__caches *caches;
    pthread_mutex_t lock;
    pthread_cond_t done;     /**< a pass ended */
    pthread_cond_t gathered; /**< a turn has come back */
    bool leading, gathering;
    uint32_t n_yields; /**< steps since the last pass that left it to others */
    aios__gguf_session **jobs; /**< all turns */
    uint32_t n, cap;
    uint64_t n_passes, n_turns;
    int64_t moved;   /**< when something was computed last */
    int64_t still;   /**< real time of the end of the last pass */
    uint64_t floor;  /**< rows that the least served of those at work has had, at least */
    int64_t pass_ns, row_ns; /**< of the last pass; of a row in wide ones; as all times here by the clock of the ctx */
    uint32_t max_wants, most_wants; /**< of a pass; of what is being chosen */
    /* of the one who leads */
    aios__gguf_session *picks[AIOS__CHUNK];
    aios__row rows[AIOS__CHUNK];
    uint32_t n_picks, n_rows, n_wants; /**< rows whose logits are wanted */
    int64_t chosen;          /**< its rows were */
    int64_t since;           /**< the pass began */
    float *logits;
    uint32_t n_logits;       /**< rows that fit */
    aios__candidate **rooms; /**< of each thread */
    aios__gguf_session **order; /**< turns in work */
    uint32_t n_order, order_cap;
    uint32_t n_others;       /**< and how many are not */
    task_fn *task;
    aios__gguf_session **tasks;
    uint32_t n_tasks;
    _Atomic uint32_t next;
};

/* ---- life ----------------------------------------------------------------------------------------------------------- */

static int init_sync(aios__sched *d, aios_error *err)
{
    pthread_condattr_t attr;
    int e = pthread_mutex_init(&d->lock, NULL);
    if (e)
        return aios__fail_sys(err, AIOS_ENOMEM, e, "no lock could be made for the model");
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    e = pthread_cond_init(&d->done, &attr);
    if (!e && (e = pthread_cond_init(&d->gathered, &attr)) != 0)
        pthread_cond_destroy(&d->done);
    pthread_condattr_destroy(&attr);
    if (!e)
        return AIOS_OK;
    pthread_mutex_destroy(&d->lock);
    return aios__fail_sys(err, AIOS_ENOMEM, e, "no condition variable could be made for the model");
}

/* Grows a list of turns so that it holds n of them. */
static int grow(aios__sched *d, aios__gguf_session ***list, uint32_t *cap, uint32_t n, aios_error *err)
{
    if (n <= *cap)
        return AIOS_OK;
    n += n / 2 + 16;
    aios__gguf_session **p = aios__realloc(d->net->heap, AIOS_MEM_OTHER, *list, n * sizeof *p, err);
    if (!p)
        return aios__no_memory(err);
    *list = p;
    *cap = n;
    return AIOS_OK;
}

int aios__sched_new(aios__net *net, aios__caches *caches, aios__sched **out, aios_error *err)
{
    aios__sched *d = aios__alloc(net->heap, AIOS_MEM_OTHER, sizeof *d, err);
    if (!d)
        return aios__no_memory(err);
    d->net = net;
    d->caches = caches;
    d->rooms = aios__alloc_array(net->heap, AIOS_MEM_OTHER, net->n_threads, sizeof *d->rooms, err);
    int rc = d->rooms ? grow(d, &d->order, &d->order_cap, 1, err) : aios__no_memory(err);
    rc = rc ? rc : init_sync(d, err);
    if (rc) {
        aios__free(net->heap, d->order);
        aios__free(net->heap, d->rooms);
        aios__free(net->heap, d);
        return rc;
    }
    size_t wants = LOGIT_BYTES / sizeof(float) / net->hp.n_vocab;
    d->max_wants = wants < 1 ? 1 : wants < AIOS__CHUNK ? (uint32_t)wants : AIOS__CHUNK;
    *out = d;
    return AIOS_OK;
}

/* Gives back what only passes need, but for a little. */
static void trim(aios__sched *d, size_t keep)
{
    size_t n_vocab = d->net->hp.n_vocab;
    if (d->n_logits * n_vocab * sizeof(float) > keep) {
        aios__free(d->net->heap, d->logits);
        d->logits = NULL;
        d->n_logits = 0;
    }
    for (uint32_t t = 0; n_vocab * sizeof(aios__candidate) > keep && t < d->net->n_threads; t++) {
        aios__free(d->net->heap, d->rooms[t]);
        d->rooms[t] = NULL;
    }
}

void aios__sched_free(aios__sched *d)
{
    if (!d)
        return;
    aios__heap *h = d->net->heap;
    trim(d, 0);
    aios__free(h, d->rooms);
    aios__free(h, d->jobs);
    aios__free(h, d->order);
    pthread_cond_destroy(&d->gathered);
    pthread_cond_destroy(&d->done);
    pthread_mutex_destroy(&d->lock);
    aios__free(h, d);
}

static int64_t now_ns(const aios__sched *d)
{
    return aios__now_ns(aios__ctx_env(d->net->ctx));
}

/* What the least served of those at work has had; alone, a session counts for nobody. */
static void raise_floor(aios__sched *d)
{
    uint64_t least_served = d->n ? UINT64_MAX : 0;
    for (uint32_t i = 0; i < d->n; i++)
        least_served = d->jobs[i]->job.served < least_served ? d->jobs[i]->job.served : least_served;
    d->floor = least_served > d->floor ? least_served : d->floor;
}

static int64_t behind(int64_t now, int64_t ns)
{
    return !ns ? AIOS__NO_DEADLINE : ns > INT64_MAX - now ? INT64_MAX - 1 : now + ns;
}

int aios__sched_add(aios__sched *d, aios__gguf_session *s, const aios_request *req, aios_error *err)
{
    int64_t now = now_ns(d);
    pthread_mutex_lock(&d->lock);
    int rc = grow(d, &d->jobs, &d->cap, d->n + 1, err);
    if (!rc) {
        raise_floor(d);
        s->job = (aios__job){.state = AIOS__JOB_NEW, .priority = req->priority, .deadline = behind(now, req->deadline_ns), .number = ++d->n_turns,
                             .served = aios__order_enter(s->served, d->floor), .last = d->n_passes, .ready_at = now};
        d->jobs[d->n++] = s;
    }
    pthread_mutex_unlock(&d->lock);
    return rc;
}

void aios__sched_remove(aios__sched *d, aios__gguf_session *s)
{
    pthread_mutex_lock(&d->lock);
    while (s->job.state == AIOS__JOB_RUNNING)
        pthread_cond_wait(&d->done, &d->lock);
    raise_floor(d);
    for (uint32_t i = 0; i < d->n; i++) {
        if (d->jobs[i] != s)
            continue;
        s->served = s->job.served;
        memmove(d->jobs + i, d->jobs + i + 1, (--d->n - i) * sizeof *d->jobs);
        break;
    }
    s->job.state = AIOS__JOB_NONE;
    if (d->gathering)
        pthread_cond_signal(&d->gathered);
    if (!d->n && !d->leading)
        trim(d, KEEP_BYTES);
    pthread_mutex_unlock(&d->lock);
}

/* ---- work of a pass that is each turn's own, on all threads ----------------------------------------------------------- */

static void run_thread(void *user, uint32_t tid, uint32_t n_threads)
{
    aios__sched *d = user;
    AIOS__UNUSED(n_threads);
    for (uint32_t i; (i = atomic_fetch_add(&d->next, 1)) < d->n_tasks;)
        d->task(d, d->tasks[i], tid);
}

static void run_tasks(aios__sched *d, aios__gguf_session **tasks, uint32_t n, task_fn *fn)
{
    d->task = fn;
    d->tasks = tasks;
    d->n_tasks = n;
    atomic_store(&d->next, 0);
    if (n < 2 || aios__net_spmd(d->net, run_thread, d))
        run_thread(d, 0, 1);
}

static void prepare(aios__sched *d, aios__gguf_session *s, uint32_t tid)
{
    AIOS__UNUSED(d);
    AIOS__UNUSED(tid);
    aios__turn_prepare(s);
}

/* Room for the candidates of a draw; one for each thread is enough. */
static int make_room(aios__sched *d, const aios__gguf_session *s, uint32_t tid, aios_error *err)
{
    if (!d->rooms[tid] && s->turn.sampler && aios__sampler_draws(s->turn.sampler))
        d->rooms[tid] = aios__alloc_array(d->net->heap, AIOS_MEM_SCRATCH, d->net->hp.n_vocab, sizeof **d->rooms, err);
    else
        return AIOS_OK;
    return d->rooms[tid] ? AIOS_OK : aios__no_memory(err);
}

static void complete(aios__sched *d, aios__gguf_session *s, uint32_t tid)
{
    if (s->job.rc)
        return;
    int rc = make_room(d, s, tid, &s->turn.err);
    if (rc)
        s->turn.rc = rc;
    else
        aios__turn_computed(s, d->since, d->logits + (size_t)s->job.logit * d->net->hp.n_vocab, d->rooms[tid]);
}

/* ---- which rows ------------------------------------------------------------------------------------------------------- */

static uint32_t sort_ready(aios__sched *d)
{
    bool aged = aios__order_is_aged(d->n_passes);
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->n && n < d->order_cap; i++) {
        aios__gguf_session *s = d->jobs[i];
        if (s->job.state != AIOS__JOB_READY || atomic_load(&s->cancel))
            continue;
        uint32_t at = n++;
        for (; at && aios__order_before(&s->job, &d->order[at - 1]->job, aged); at--)
            d->order[at] = d->order[at - 1];
        d->order[at] = s;
    }
    return n;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static void give(aios__sched *d, aios__gguf_session *s, uint32_t max, uint32_t n_drafts)
{
    aios__job *j = &s->job;
    if (!max || d->n_wants >= d->most_wants)
        return;
    j->row = d->n_rows;
    j->logit = d->n_wants;
    d->n_rows += aios__turn_rows(s, d->rows + d->n_rows, max, least(n_drafts, d->most_wants - d->n_wants - 1));
    d->n_wants += j->n_logits;
    j->state = AIOS__JOB_RUNNING;
    j->last = d->n_passes + 1;
    j->served += j->n_sure;
    j->queue_ns += d->chosen - j->ready_at;
    j->rc = AIOS_OK;
    d->picks[d->n_picks++] = s;
}

/* Rows of prompts, the first of them this: so few that a layer does not take long, and fewer where replies wait for them. */
static uint32_t prompt_budget(const aios__sched *d, const aios__job *first)
{
    int32_t reply = INT32_MIN;
    for (uint32_t i = 0; i < d->n_picks; i++)
        reply = d->picks[i]->job.priority > reply ? d->picks[i]->job.priority : reply;
    int64_t in_time = d->row_ns > 0 ? BESIDE_NS / d->row_ns : 0;
    uint32_t beside = in_time < AIOS__CHUNK ? (uint32_t)in_time : AIOS__CHUNK;
    uint32_t n = aios__order_budget(d->n_rows, reply, first->priority, aios__order_is_aged(d->n_passes), beside, AIOS__CHUNK - d->n_rows);
    if (d->row_ns > 0) {
        int64_t fit = (int64_t)LAYER_NS * d->net->hp.n_layer / d->row_ns / AIOS__ORDER_LEAST * AIOS__ORDER_LEAST;
        n = fit < AIOS__ORDER_LEAST ? least(n, AIOS__ORDER_LEAST) : fit < n ? (uint32_t)fit : n;
    }
    return n;
}

/* Guesses for each reply: none beside prompts, and no more than leave the pass a narrow one, where rows cost little. */
static uint32_t draft_budget(const aios__sched *d, uint32_t n)
{
    uint32_t n_rows = 0;
    for (uint32_t i = 0; i < n; i++)
        n_rows += d->order[i]->job.held || d->order[i]->job.lent ? 0 : d->order[i]->job.prompt ? AIOS__NARROW : d->order[i]->job.n_waiting;
    return n && n_rows < AIOS__NARROW ? (AIOS__NARROW - n_rows) / n : 0;
}

/* An earlier one of `takers` computes what comes next here: it is taken over then. */
static bool is_twin(aios__gguf_session *const *takers, uint32_t n, const aios__gguf_session *s)
{
    for (uint32_t i = 0; i < n; i++)
        if (takers[i]->turn.at == s->turn.at && aios__turn_common(takers[i], s) > s->turn.at + AIOS__ORDER_LEAST)
            return true;
    return false;
}

/* Of n prompts in order those that use up `left` rows, none that another computes; gives their number. */
static uint32_t choose_takers(aios__gguf_session **prompts, uint32_t n, uint32_t left, aios__job *takers[AIOS__CHUNK])
{
    uint32_t n_takers = 0;
    for (uint32_t i = 0; i < n && left; i++) {
        if (is_twin(prompts, n_takers, prompts[i]))
            continue;
        prompts[n_takers] = prompts[i];
        takers[n_takers++] = &prompts[i]->job;
        left -= least(left, least(AIOS__ORDER_QUANTUM, prompts[i]->job.n_waiting));
    }
    return n_takers;
}

/* Chooses the rows of the next pass; false if there are none. */
static bool pick(aios__sched *d)
{
    aios__job *takers[AIOS__CHUNK];
    uint32_t n = sort_ready(d), n_replies = 0;
    d->n_picks = d->n_rows = d->n_wants = 0;
    d->chosen = now_ns(d);
    while (n_replies < n && !d->order[n_replies]->job.prompt)
        n_replies++;
    /* a prompt gets something whatever the number of replies */
    uint32_t n_drafts = draft_budget(d, n), room = AIOS__CHUNK - (n_replies < n ? AIOS__ORDER_LEAST : 0);
    d->most_wants = d->max_wants - (n_replies < n && d->max_wants > 1);
    for (uint32_t i = 0; i < n_replies; i++)
        give(d, d->order[i], least(d->order[i]->job.n_waiting, room - least(room, d->n_rows)), n_drafts);
    d->most_wants = d->max_wants;
    if (n_replies == n)
        return d->n_picks > 0;
    aios__gguf_session **prompts = d->order + n_replies;
    uint32_t left = prompt_budget(d, &prompts[0]->job), n_takers = choose_takers(prompts, n - n_replies, left, takers);
    aios__order_share(takers, n_takers, left, aios__order_is_aged(d->n_passes));
    for (uint32_t i = 0; i < n_takers; i++)
        give(d, prompts[i], takers[i]->share, 0);
    return d->n_picks > 0;
}

/* ---- a pass ----------------------------------------------------------------------------------------------------------- */

static bool is_cancelled(void *user)
{
    const aios__sched *d = user;
    for (uint32_t i = 0; i < d->n_picks; i++)
        if (atomic_load_explicit(&d->picks[i]->cancel, memory_order_relaxed))
            return true;
    return false;
}

static int make_logits(aios__sched *d, uint32_t n, aios_error *err)
{
    if (n <= d->n_logits)
        return AIOS_OK;
    aios__free(d->net->heap, d->logits);
    d->logits = aios__alloc_array(d->net->heap, AIOS_MEM_SCRATCH, (size_t)n * d->net->hp.n_vocab, sizeof *d->logits, err);
    d->n_logits = d->logits ? n : 0;
    return d->logits ? AIOS_OK : aios__no_memory(err);
}

/* Rows of picks [from, to). */
static int eval(aios__sched *d, uint32_t from, uint32_t to, aios_error *err)
{
    const aios__job *a = &d->picks[from]->job, *z = &d->picks[to - 1]->job;
    uint32_t n_wants = z->logit + z->n_logits;
    int rc = make_logits(d, n_wants, err);
    aios__batch b = {.rows = d->rows + a->row, .n = z->row + z->n_rows - a->row, .stop = is_cancelled, .user = d};
    b.logits = d->logits ? d->logits + (size_t)a->logit * d->net->hp.n_vocab : NULL;
    return rc ? rc : aios__net_pass(d->net, &b, err);
}

static void set_outcome(aios__gguf_session *s, int rc, const aios_error *err)
{
    s->job.rc = rc;
    if (!rc || rc == AIOS_ECANCELED)
        return;
    s->turn.rc = rc;
    aios__error_copy(&s->turn.err, err);
}

/* What failed together is tried alone, so that it fails only those who cannot be helped. */
static void compute_singly(aios__sched *d)
{
    for (uint32_t i = 0; i < d->n_picks; i++) {
        aios_error err = AIOS_INIT(aios_error);
        d->picks[i]->job.logit = 0;
        set_outcome(d->picks[i], eval(d, i, i + 1, &err), &err);
        complete(d, d->picks[i], 0);
    }
}

static void compute(aios__sched *d)
{
    aios_error err = AIOS_INIT(aios_error);
    d->since = now_ns(d);
    int rc = eval(d, 0, d->n_picks, &err);
    int64_t took = d->pass_ns = now_ns(d) - d->since;
    if (!rc && d->n_rows >= AIOS__ORDER_LEAST)
        d->row_ns = d->row_ns ? (3 * d->row_ns + took / d->n_rows) / 4 : took / d->n_rows;
    if (rc && rc != AIOS_ECANCELED && d->n_picks > 1) {
        compute_singly(d);
        return;
    }
    for (uint32_t i = 0; i < d->n_picks; i++)
        set_outcome(d->picks[i], rc, &err);
    if (!rc)
        run_tasks(d, d->picks, d->n_picks, complete);
}

/* Takes the turns that are in a state and gives the lock back until they are done with; false if there are none. */
static bool take_all(aios__sched *d, bool (*fits)(const aios__gguf_session *s))
{
    d->n_order = 0;
    for (uint32_t i = 0; i < d->n && d->n_order < d->order_cap; i++) {
        if (!fits(d->jobs[i]) || atomic_load(&d->jobs[i]->cancel))
            continue;
        d->jobs[i]->job.lent = d->jobs[i]->job.state == AIOS__JOB_DONE;
        d->jobs[i]->job.state = AIOS__JOB_RUNNING;
        d->order[d->n_order++] = d->jobs[i];
    }
    d->n_others = d->n - d->n_order;
    if (d->n_order)
        pthread_mutex_unlock(&d->lock);
    return d->n_order > 0;
}

static bool is_new(const aios__gguf_session *s)
{
    return s->job.state == AIOS__JOB_NEW;
}

/* What wants rows, and what goes on once its thread comes back: that may have memory for the others. */
static bool goes_on(const aios__gguf_session *s)
{
    const aios__job *j = &s->job;
    return j->state == AIOS__JOB_READY || j->state == AIOS__JOB_HELD || (j->state == AIOS__JOB_DONE && !j->waiting && s->turn.rc == AIOS_AGAIN);
}

static void give_back(aios__sched *d)
{
    pthread_mutex_lock(&d->lock);
    for (uint32_t i = 0; i < d->n_order; i++) {
        aios__job *j = &d->order[i]->job;
        j->state = j->lent || d->order[i]->turn.rc != AIOS_AGAIN ? AIOS__JOB_DONE : j->held ? AIOS__JOB_HELD : AIOS__JOB_READY;
        j->lent = false;
    }
}

static void sort_by_rank(aios__sched *d)
{
    for (uint32_t i = 1; i < d->n_order; i++) {
        aios__gguf_session *s = d->order[i];
        uint32_t at = i;
        for (; at && aios__order_outranks(&s->job, &d->order[at - 1]->job); at--)
            d->order[at] = d->order[at - 1];
        d->order[at] = s;
    }
}

/* Turns that have not begun, then all: planning looks at what the others have, so it is one thread's work. */
static void plan(aios__sched *d)
{
    if (take_all(d, is_new)) {
        run_tasks(d, d->order, d->n_order, prepare);
        give_back(d);
    }
    if (!take_all(d, goes_on))
        return;
    sort_by_rank(d);
    aios__room room = {.caches = d->caches, .turns = d->order, .n = d->n_order, .n_others = d->n_others, .now = now_ns(d), .moved = d->moved};
    aios__room_plan(&room);
    uint32_t n_drafts = draft_budget(d, d->n_order);
    for (uint32_t i = 0; n_drafts && i < d->n_order; i++)
        if (!d->order[i]->job.held && !d->order[i]->job.lent)
            aios__turn_guess(d->order[i], n_drafts);
    give_back(d);
}

/* A turn that goes on, whose thread will come at once. */
static bool is_expected(const aios__gguf_session *s)
{
    return s->job.state == AIOS__JOB_DONE && s->turn.rc == AIOS_AGAIN && (s->job.waiting || !s->job.late);
}

static bool expects(const aios__sched *d)
{
    for (uint32_t i = 0; i < d->n; i++)
        if (is_expected(d->jobs[i]))
            return true;
    return false;
}

/* The clock that a condition variable waits by, whatever that of the ctx says. */
static int64_t real_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct timespec real_in(int64_t ns)
{
    ns += real_now();
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
}

/* Waits a little for turns of the last pass whose threads are about to bring them back. */
static void gather(aios__sched *d)
{
    struct timespec ts = real_in(d->pass_ns / 8 < GATHER_NS ? d->pass_ns / 8 : GATHER_NS);
    int e = 0;
    d->gathering = true;
    while (expects(d) && e != ETIMEDOUT)
        e = pthread_cond_timedwait(&d->gathered, &d->lock, &ts);
    d->gathering = false;
    for (uint32_t i = 0; e == ETIMEDOUT && i < d->n; i++)
        d->jobs[i]->job.late |= is_expected(d->jobs[i]);
}

/* With the lock held, which is given back while the pass runs. */
static void lead(aios__sched *d)
{
    d->leading = true;
    d->n_yields = 0;
    gather(d);
    grow(d, &d->order, &d->order_cap, d->n, NULL); /* without memory, fewer at a time */
    plan(d);
    if (pick(d)) {
        pthread_mutex_unlock(&d->lock);
        compute(d);
        pthread_mutex_lock(&d->lock);
    }
    int64_t now = now_ns(d);
    d->moved = d->n_picks ? now : d->moved;
    d->still = real_now();
    for (uint32_t i = 0; i < d->n_picks; i++) {
        d->picks[i]->job.state = d->picks[i]->job.rc == AIOS_ECANCELED ? AIOS__JOB_READY : AIOS__JOB_DONE;
        d->picks[i]->job.done_at = d->picks[i]->job.ready_at = now;
    }
    d->n_picks = 0;
    d->n_passes++;
    d->leading = false;
    pthread_cond_broadcast(&d->done);
}

/* One that waits for memory leads only where nobody else would. With the lock held. */
static bool rests(aios__sched *d, const aios__job *j, bool parks)
{
    bool others = false;
    for (uint32_t i = 0; i < d->n && !others; i++)
        others = d->jobs[i]->job.state != AIOS__JOB_HELD;
    struct timespec ts = real_in(HELD_NS);
    if (others && !parks)
        pthread_cond_timedwait(&d->done, &d->lock, &ts);
    return others && j->state == AIOS__JOB_HELD && real_now() - d->still < STILL_NS;
}

/*
 * A thread that drives many sessions first brings back what the last pass computed, instead of leading one for each that was not in it: those
 * passes would lack the others. With the lock held.
 */
static bool yields(aios__sched *d)
{
    bool others = false;
    for (uint32_t i = 0; i < d->n && !others; i++)
        others = d->jobs[i]->job.state == AIOS__JOB_DONE;
    return others && d->n_yields++ < d->n;
}

bool aios__sched_wait(aios__sched *d, aios__gguf_session *s, bool parks, bool *held)
{
    aios__job *j = &s->job;
    pthread_mutex_lock(&d->lock);
    uint64_t begin = d->n_passes;
    *held = j->state == AIOS__JOB_HELD && rests(d, j, parks);
    bool leave = *held || (parks && j->state != AIOS__JOB_DONE && yields(d));
    j->waiting = !leave;
    while (!leave && j->state != AIOS__JOB_DONE && d->n_passes == begin) {
        if (d->leading)
            pthread_cond_wait(&d->done, &d->lock);
        else
            lead(d);
    }
    bool done = j->state == AIOS__JOB_DONE;
    j->waiting = done;
    pthread_mutex_unlock(&d->lock);
    return done;
}

void aios__sched_go_on(aios__sched *d, aios__gguf_session *s)
{
    pthread_mutex_lock(&d->lock);
    s->job.state = s->job.held ? AIOS__JOB_HELD : AIOS__JOB_READY;
    s->job.waiting = false;
    s->job.ready_at = now_ns(d);
    s->job.late = s->job.ready_at - s->job.done_at > GATHER_NS;
    if (d->gathering)
        pthread_cond_signal(&d->gathered);
    pthread_mutex_unlock(&d->lock);
}

uint64_t aios__sched_passes(aios__sched *d)
{
    pthread_mutex_lock(&d->lock);
    uint64_t n = d->n_passes;
    pthread_mutex_unlock(&d->lock);
    return n;
}
