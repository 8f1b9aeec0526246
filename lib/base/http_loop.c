/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who drives, who has news, and deadlines. curl is driven in turns by the threads that step transfers, over one epoll descriptor; the others
 * wait in their lane until a transfer of theirs has news or it is their turn. What came for a transfer that is in no step stands in the
 * list of the lane of the thread that stepped it last, and ends that thread's waiting for another one. A transfer that was passed over
 * for more than a round of its lane is held back by its owner, and keeps nobody awake any more. A transfer with a watch is not listed: the
 * watch is told.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/http_priv.h"

enum { BATCH = 64 };

static int64_t real_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- making and freeing -------------------------------------------------------------------------------------------- */

static int init_cond(pthread_cond_t *c)
{
    pthread_condattr_t attr;
    if (pthread_condattr_init(&attr))
        return -1;
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    int e = pthread_cond_init(c, &attr);
    pthread_condattr_destroy(&attr);
    return e;
}

static int init_locks(aios__http *h)
{
    int n = 0;
    if (pthread_mutex_init(&h->lock, NULL))
        return -1;
    int e = init_cond(&h->idle);
    while (!e && n < AIOS__HTTP_LANES)
        e = init_cond(&h->lanes[n++].wake);
    return e;
}

static int init_poll(aios__http *h, aios_error *err)
{
    h->epoll = epoll_create1(EPOLL_CLOEXEC);
    h->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = h->event};
    if (h->epoll < 0 || h->event < 0 || epoll_ctl(h->epoll, EPOLL_CTL_ADD, h->event, &ev))
        return aios__fail_sys(err, errno == EMFILE || errno == ENFILE ? AIOS_EUNAVAIL : AIOS_EIO, errno, "HTTP needs two descriptors to wait with");
    return AIOS_OK;
}

static void free_http(aios_ctx *ctx, void *p)
{
    aios__http *h = p;
    aios__curl_free(h->curl, h);
    if (h->epoll >= 0)
        close(h->epoll);
    if (h->event >= 0)
        close(h->event);
    for (int i = 0; i < AIOS__HTTP_LANES; i++)
        pthread_cond_destroy(&h->lanes[i].wake);
    pthread_cond_destroy(&h->idle);
    pthread_mutex_destroy(&h->lock);
    aios__free(aios__ctx_heap(ctx), h->alarms);
    aios__free(aios__ctx_heap(ctx), h);
}

static aios__http *make_http(aios_ctx *ctx, aios_error *err)
{
    aios__http *h = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_OTHER, sizeof *h, err);
    if (!h)
        return NULL;
    h->ctx = ctx;
    h->epoll = h->event = -1;
    h->curl_at = -1;
    if (init_locks(h)) {
        aios__free(aios__ctx_heap(ctx), h);
        aios__fail(err, AIOS_ENOMEM, "the system has no room for another mutex");
        return NULL;
    }
    if (!init_poll(h, err))
        h->curl = aios__curl_new(h, err);
    if (h->curl)
        return h;
    free_http(ctx, h);
    return NULL;
}

aios__http *aios__http_of(aios_ctx *ctx, aios_error *err)
{
    aios__http *h = aios__ctx_slot(ctx, AIOS__SLOT_HTTP);
    if (h)
        return h;
    aios__http *mine = make_http(ctx, err);
    if (!mine)
        return NULL;
    aios__ctx_lock(ctx);
    h = aios__ctx_slot(ctx, AIOS__SLOT_HTTP);
    if (!h)
        aios__ctx_slot_set(ctx, AIOS__SLOT_HTTP, mine, free_http);
    aios__ctx_unlock(ctx);
    if (h)
        free_http(ctx, mine);
    return h ? h : mine;
}

/* ---- news ---------------------------------------------------------------------------------------------------------- */

static aios__lane *own_lane(aios__http *h)
{
    uint64_t x = (uint64_t)(uintptr_t)pthread_self() * UINT64_C(0x9e3779b97f4a7c15);
    return &h->lanes[(x >> 32) % AIOS__HTTP_LANES];
}

static bool has_news(const aios__transfer *t)
{
    return t->came.n_body || t->came.head_news || t->ended || t->starved || t->late || atomic_load(&t->cancelled);
}

static void list(aios__transfer *t)
{
    aios__lane *l = t->lane;
    t->prev = l->last;
    t->next = NULL;
    *(l->last ? &l->last->next : &l->first) = t;
    l->last = t;
    t->ready_at = l->n_steps;
    t->listed = true;
}

static void unlist(aios__transfer *t)
{
    if (!t->listed)
        return;
    *(t->prev ? &t->prev->next : &t->lane->first) = t->next;
    *(t->next ? &t->next->prev : &t->lane->last) = t->prev;
    t->listed = false;
}

static void tell(aios__transfer *t)
{
    if (t->told)
        return;
    t->told = true;
    t->lane->n_told++;
    t->watch(t->watch_user);
}

void aios__loop_news(aios__transfer *t)
{
    if (!t->lane)
        return;
    if (t->watch)
        tell(t);
    else if (!t->in_step && !t->listed)
        list(t);
    if (t->lane->n_waiting)
        pthread_cond_broadcast(&t->lane->wake);
}

void aios__loop_watch(aios__transfer *t, void (*fn)(void *user), void *user)
{
    aios__http *h = t->http;
    pthread_mutex_lock(&h->lock);
    if (t->lane) {
        unlist(t);
        t->watch = fn;
        t->watch_user = user;
        t->told = false;
        if (has_news(t))
            tell(t);
    }
    pthread_mutex_unlock(&h->lock);
}

/* Is there something that keeps the thread of lane l from waiting? */
static bool has_reason(const aios__lane *l, const aios__await *w)
{
    if (!w->t)
        return l->n_told != w->n_told || atomic_load(w->woken);
    return has_news(w->t) || (l->last && l->n_steps - l->last->ready_at <= 2 * (uint64_t)l->n_transfers + 1);
}

void aios__loop_enter(aios__transfer *t)
{
    aios__http *h = t->http;
    pthread_mutex_lock(&h->lock);
    aios__lane *l = own_lane(h);
    unlist(t);
    t->watch = NULL;
    if (t->lane && t->lane != l) {
        t->lane->n_transfers--;
        l->n_transfers++;
        t->lane = l;
    }
    l->n_steps++;
    t->in_step = true;
    pthread_mutex_unlock(&h->lock);
}

void aios__loop_leave(aios__transfer *t)
{
    aios__http *h = t->http;
    pthread_mutex_lock(&h->lock);
    t->in_step = false;
    if (t->lane && t->late) { /* something came in the last moment */
        t->late = false;
        aios__loop_alarm(t);
    }
    if (t->lane && has_news(t))
        list(t);
    pthread_mutex_unlock(&h->lock);
}

/* A signal handler may come between any two lines: an atomic stack and write(2) alone. */
void aios__loop_cancel(aios__transfer *t)
{
    aios__http *h = t->http;
    uint64_t one = 1;
    if (atomic_exchange(&t->cancelled, true))
        return;
    aios__transfer *top = atomic_load(&h->cancelled);
    do
        t->next_cancelled = top;
    while (!atomic_compare_exchange_weak(&h->cancelled, &top, t));
    (void)!write(h->event, &one, sizeof one);
}

void aios__loop_wake(aios__http *h)
{
    uint64_t one = 1;
    atomic_store(&h->woken, true);
    (void)!write(h->event, &one, sizeof one);
}

static void tell_woken(aios__http *h)
{
    bool any = atomic_exchange(&h->woken, false);
    for (int i = 0; any && i < AIOS__HTTP_LANES; i++)
        if (h->lanes[i].n_waiting)
            pthread_cond_broadcast(&h->lanes[i].wake);
}

static void tell_cancelled(aios__http *h)
{
    for (aios__transfer *t = atomic_exchange(&h->cancelled, NULL), *next; t; t = next) {
        next = t->next_cancelled;
        aios__loop_news(t);
    }
}

/* ---- deadlines: a heap of transfers by alarm_at, which is never behind the first deadline -------------------------- */

static void put_alarm(aios__http *h, size_t i, aios__transfer *t)
{
    h->alarms[i] = t;
    t->alarm_i = i + 1;
}

/* Moves what stands at i to where its time belongs. */
static void settle_alarm(aios__http *h, size_t i)
{
    aios__transfer *t = h->alarms[i];
    for (size_t up; i && h->alarms[up = (i - 1) / 2]->alarm_at > t->alarm_at; i = up)
        put_alarm(h, i, h->alarms[up]);
    for (;;) {
        size_t down = 2 * i + 1;
        if (down + 1 < h->n_alarms && h->alarms[down + 1]->alarm_at < h->alarms[down]->alarm_at)
            down++;
        if (down >= h->n_alarms || h->alarms[down]->alarm_at >= t->alarm_at)
            break;
        put_alarm(h, i, h->alarms[down]);
        i = down;
    }
    put_alarm(h, i, t);
}

static void set_alarm(aios__transfer *t, int64_t at)
{
    t->alarm_at = at;
    settle_alarm(t->http, t->alarm_i - 1);
}

void aios__loop_alarm(aios__transfer *t)
{
    if (t->alarm_i)
        set_alarm(t, aios__transfer_due(t, NULL));
}

/* Bytes that came put a deadline off without a word here, so that one which seems over is looked at again. */
static void ring_alarms(aios__http *h, int64_t now)
{
    while (h->n_alarms && h->alarms[0]->alarm_at <= now) {
        aios__transfer *t = h->alarms[0];
        int64_t due = aios__transfer_due(t, NULL);
        t->late = due <= now;
        set_alarm(t, t->late ? INT64_MAX : due);
        if (t->late)
            aios__loop_news(t);
    }
}

/* The heap may ask the host for memory, who may free transfers: no lock is held. */
static int reserve_alarm(aios__http *h, aios_error *err)
{
    for (;;) {
        pthread_mutex_lock(&h->lock);
        size_t cap = h->cap_alarms;
        bool room = h->n_alarms < cap;
        pthread_mutex_unlock(&h->lock);
        if (room)
            return AIOS_OK;
        size_t want = cap ? cap * 2 : 16;
        void *p = aios__realloc(aios__ctx_heap(h->ctx), AIOS_MEM_OTHER, NULL, want * sizeof *h->alarms, err);
        if (!p)
            return aios__error_code(err, AIOS_ENOMEM);
        pthread_mutex_lock(&h->lock);
        void *old = p;
        if (h->cap_alarms < want) {
            old = h->alarms;
            if (h->n_alarms)
                memcpy(p, h->alarms, h->n_alarms * sizeof *h->alarms);
            h->alarms = p;
            h->cap_alarms = want;
        }
        pthread_mutex_unlock(&h->lock);
        aios__free(aios__ctx_heap(h->ctx), old);
    }
}

int aios__loop_add(aios__transfer *t, aios_error *err)
{
    aios__http *h = t->http;
    for (bool added = false; !added;) {
        int rc = reserve_alarm(h, err);
        if (rc)
            return rc;
        pthread_mutex_lock(&h->lock);
        added = h->n_alarms < h->cap_alarms; /* else another thread took the place */
        if (added) {
            t->lane = own_lane(h);
            t->lane->n_transfers++;
            put_alarm(h, h->n_alarms++, t);
            aios__loop_alarm(t);
        }
        pthread_mutex_unlock(&h->lock);
    }
    return AIOS_OK;
}

void aios__loop_remove(aios__transfer *t)
{
    aios__http *h = t->http;
    pthread_mutex_lock(&h->lock);
    tell_cancelled(h);
    if (t->lane) {
        unlist(t);
        t->lane->n_transfers--;
        t->lane = NULL;
        size_t i = t->alarm_i - 1;
        t->alarm_i = 0;
        if (i != --h->n_alarms) {
            put_alarm(h, i, h->alarms[h->n_alarms]);
            settle_alarm(h, i);
        }
    }
    pthread_mutex_unlock(&h->lock);
}

/* ---- turns --------------------------------------------------------------------------------------------------------- */

/* With the lock held: nobody drives, so somebody who waits is told. */
static void pass_on(aios__http *h)
{
    if (h->wanted)
        pthread_cond_signal(&h->idle);
    for (int i = 0; !h->wanted && i < AIOS__HTTP_LANES; i++)
        if (h->lanes[i].n_waiting) {
            pthread_cond_signal(&h->lanes[i].wake);
            return;
        }
}

void aios__loop_take(aios__http *h)
{
    uint64_t one = 1;
    pthread_mutex_lock(&h->lock);
    h->wanted++;
    while (h->driven) {
        (void)!write(h->event, &one, sizeof one);
        pthread_cond_wait(&h->idle, &h->lock);
    }
    h->wanted--;
    h->driven = true;
    pthread_mutex_unlock(&h->lock);
}

void aios__loop_give(aios__http *h)
{
    pthread_mutex_lock(&h->lock);
    h->driven = false;
    pass_on(h);
    pthread_mutex_unlock(&h->lock);
}

/* True if it is our turn; false once there is a reason to go on without, or the time is over. */
static bool wait_turn(aios__http *h, aios__lane *l, const aios__await *w, int64_t until)
{
    struct timespec end = {.tv_sec = (time_t)(until / 1000000000), .tv_nsec = (long)(until % 1000000000)};
    bool ours = false;
    int e = 0;
    pthread_mutex_lock(&h->lock);
    while (!e && !has_reason(l, w)) {
        ours = !h->driven && !h->wanted;
        if (ours)
            break;
        l->n_waiting++;
        e = pthread_cond_timedwait(&l->wake, &h->lock, &end);
        l->n_waiting--;
    }
    if (ours)
        h->driven = true;
    else if (!h->driven)
        pass_on(h); /* the signal may have been meant for somebody who drives */
    pthread_mutex_unlock(&h->lock);
    return ours;
}

static int work_timer(aios__http *h, aios_error *err)
{
    if (h->curl_at < 0 || h->curl_at > real_ns())
        return AIOS_OK;
    h->curl_at = -1;
    return aios__curl_work(h, -1, 0, err);
}

/* Milliseconds to wait for sockets, rounded up; 0: there is something else to do. */
static int poll_ms(aios__http *h, const aios__lane *l, const aios__await *w, int64_t until)
{
    int64_t now = aios__now_ns(aios__ctx_env(h->ctx)), left = until - real_ns();
    pthread_mutex_lock(&h->lock);
    ring_alarms(h, now);
    bool stop = h->wanted || has_reason(l, w);
    int64_t alarm = h->n_alarms ? h->alarms[0]->alarm_at - now : INT64_MAX;
    pthread_mutex_unlock(&h->lock);
    int64_t curl = h->curl_at < 0 ? INT64_MAX : h->curl_at - real_ns();
    left = alarm < left ? alarm : left;
    left = curl < left ? curl : left;
    if (stop || left <= 0)
        return 0;
    return left > INT64_C(3600000000000) ? 3600000 : (int)((left + 999999) / 1000000);
}

static int work_sockets(aios__http *h, int wait_ms, aios_error *err)
{
    struct epoll_event ev[BATCH];
    uint64_t count;
    int rc = AIOS_OK, n = epoll_wait(h->epoll, ev, BATCH, wait_ms);
    for (int i = 0; i < n && !rc; i++) {
        if (ev[i].data.fd != h->event) {
            rc = aios__curl_work(h, ev[i].data.fd, ev[i].events, err);
            continue;
        }
        (void)!read(h->event, &count, sizeof count);
        pthread_mutex_lock(&h->lock);
        tell_cancelled(h);
        tell_woken(h);
        pthread_mutex_unlock(&h->lock);
    }
    return rc;
}

/* One round, by whose turn it is. */
static int drive(aios__http *h, const aios__lane *l, const aios__await *w, int64_t until, aios_error *err)
{
    int rc = work_timer(h, err);
    if (!rc)
        rc = work_sockets(h, poll_ms(h, l, w, until), err);
    if (!rc)
        rc = work_timer(h, err);
    aios__curl_finished(h);
    return rc;
}

int aios__loop_wait(aios__http *h, aios__await *w, int wait_ms, aios_error *err)
{
    int64_t until = real_ns() + (int64_t)wait_ms * 1000000;
    aios__lane *l = own_lane(h);
    int rc = AIOS_OK;
    pthread_mutex_lock(&h->lock);
    w->n_told = l->n_told;
    pthread_mutex_unlock(&h->lock);
    do {
        if (!wait_turn(h, l, w, until))
            break;
        rc = drive(h, l, w, until, err);
        aios__loop_give(h);
    } while (!rc && real_ns() < until);
    return rc;
}
