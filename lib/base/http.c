/* SPDX-License-Identifier: Apache-2.0 */
/* A transfer's life: start, steps, end. */
#include "base/http_priv.h"

#include <errno.h>

#define MAX_HEADER ((size_t)256 << 10)
#define MAX_BODY ((uint64_t)64 << 20)
#define CURL_OWN ((size_t)16 << 10) /* charged for what curl has of an open transfer: measured with 7.88 */
#define MAX_WAIT_MS 3600000

/* ---- start and end ----------------------------------------------------------------------------------------------- */

static int ask(aios__transfer *t, const aios__http_request *r, aios_error *err)
{
    aios__asked *a = &t->asked;
    aios__heap *heap = aios__ctx_heap(t->ctx);
    int rc = aios__asked_init(a, heap, r, err);
    if (!rc)
        rc = aios__curl_url(t->http, NULL, r->url, &a->at, err);
    if (!rc)
        rc = aios__asked_check_url(a, &a->at, err);
    if (!rc && a->proxy)
        rc = aios__curl_host(t->http, a->proxy, &a->via, err);
    return rc;
}

static int set_up(aios__transfer *t, const aios__http_request *r, aios_error *err)
{
    aios__came *c = &t->came;
    c->max_header = r->max_header && r->max_header < MAX_HEADER ? r->max_header : MAX_HEADER;
    c->max_body = r->max_body ? r->max_body : MAX_BODY;
    t->on_body = r->on_body;
    t->user = r->user;
    t->why = t->inner = (aios_error)AIOS_INIT(aios_error);
    int rc = ask(t, r, err);
    if (!rc)
        rc = aios__curl_open(t, err);
    if (rc)
        return rc;
    t->started = t->hop_started = aios__now_ns(aios__ctx_env(t->ctx));
    rc = aios__loop_add(t, err);
    if (rc)
        return rc;
    aios__loop_take(t->http);
    rc = aios__curl_add(t, err);
    aios__loop_give(t->http);
    return rc;
}

int aios__http_start(aios_ctx *ctx, const aios__http_request *req, aios__transfer **out, aios_error *err)
{
    *out = NULL;
    if (!req)
        return aios__fail(err, AIOS_EINVAL, "aios__http_start: no request");
    aios__http *h = aios__http_of(ctx, err);
    if (!h)
        return aios__error_code(err, AIOS_ENOMEM);
    aios__transfer *t = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_TEXT, sizeof *t, err);
    if (!t)
        return aios__error_code(err, AIOS_ENOMEM);
    int rc = aios__charge(aios__ctx_heap(ctx), AIOS_MEM_TEXT, CURL_OWN, err);
    if (rc) {
        aios__free(aios__ctx_heap(ctx), t);
        return rc;
    }
    t->ctx = aios__ctx_ref(ctx);
    t->http = h;
    rc = set_up(t, req, err);
    if (rc) {
        aios__transfer_free(t);
        return rc;
    }
    *out = t;
    return AIOS_OK;
}

static void leave(aios__transfer *t)
{
    if (t->added) {
        aios__loop_take(t->http);
        aios__curl_remove(t);
        aios__loop_give(t->http);
    }
    aios__loop_remove(t);
}

void aios__transfer_free(aios__transfer *t)
{
    if (!t)
        return;
    aios__heap *heap = aios__ctx_heap(t->ctx);
    leave(t);
    aios__curl_close(t);
    aios__asked_free(&t->asked, heap);
    aios__came_free(&t->came, heap);
    aios__uncharge(heap, AIOS_MEM_TEXT, CURL_OWN);
    aios_ctx *ctx = t->ctx;
    aios__free(heap, t);
    aios_ctx_free(ctx);
}

/* ---- deadlines ----------------------------------------------------------------------------------------------------- */

static int64_t add_time(int64_t at, int64_t ns)
{
    return ns > INT64_MAX - at ? INT64_MAX : at + ns;
}

int64_t aios__transfer_due(const aios__transfer *t, const char **what)
{
    const aios__asked *a = &t->asked;
    int64_t last = t->came.last_byte;
    const struct {
        int64_t at;
        const char *what;
    } rows[] = {
        {add_time(t->started, a->total_ns), "the whole response took longer than allowed"},
        {t->times_connect && !t->connected && !last ? add_time(t->hop_started, a->connect_ns) : INT64_MAX, "no connection was made in the time allowed"},
        {last ? INT64_MAX : add_time(t->hop_started, a->first_byte_ns), "no answer came in the time allowed"},
        {last && !t->paused ? add_time(last, a->idle_ns) : INT64_MAX, "the response stopped for longer than allowed"},
    };
    size_t first = 0;
    for (size_t i = 1; i < AIOS__ARRAY_LEN(rows); i++)
        first = rows[i].at < rows[first].at ? i : first;
    if (what)
        *what = rows[first].what;
    return rows[first].at;
}

static void fail_step(aios__transfer *t, int code, const char *what)
{
    if (!t->why.code)
        aios__fail(&t->why, code, "%s: %s", t->asked.at.host, what);
}

/* What came in the last moment counts: it was handed on before this. But a server that never pauses has an end too. */
static void fail_if_late(aios__transfer *t, bool any)
{
    const char *what;
    int64_t now = aios__now_ns(aios__ctx_env(t->ctx));
    pthread_mutex_lock(&t->http->lock);
    bool flows = any || t->came.n_body, over = now >= add_time(t->started, t->asked.total_ns);
    bool late = aios__transfer_due(t, &what) <= now && (!flows || over) && !t->ended;
    pthread_mutex_unlock(&t->http->lock);
    if (late)
        fail_step(t, AIOS_ETIMEDOUT, what);
}

/* ---- steps --------------------------------------------------------------------------------------------------------- */

/* A transfer that paused goes on once its owner has taken all. */
static void resume(aios__transfer *t)
{
    aios__http *h = t->http;
    pthread_mutex_lock(&h->lock);
    bool go = t->paused && !t->came.n_body && !t->starved && !t->ended;
    pthread_mutex_unlock(&h->lock);
    if (!go)
        return;
    aios__loop_take(h);
    pthread_mutex_lock(&h->lock);
    t->paused = false;
    t->came.last_byte = aios__now_ns(aios__ctx_env(t->ctx)); /* the pause was not the server's */
    aios__loop_alarm(t);
    pthread_mutex_unlock(&h->lock);
    aios__curl_resume(t);
    aios__loop_give(h);
}

/* The whole response is here, or curl failed; true: the transfer is over. */
static bool settle(aios__transfer *t)
{
    pthread_mutex_lock(&t->http->lock);
    bool ended = t->ended && !t->came.n_body, head_done = t->came.head_done, hop = t->came.hop;
    pthread_mutex_unlock(&t->http->lock);
    if (!ended || t->why.code)
        return ended;
    if (t->end_code)
        aios__error_copy(&t->why, &t->inner);
    else if (!head_done)
        fail_step(t, AIOS_EPROTO, "the answer is no HTTP response");
    else if (hop)
        return aios__redirect_follow(t, &t->why);
    return true;
}

/* What the step gives: the failure, the end, or AIOS_AGAIN. */
static int conclude(aios__transfer *t, aios_error *err)
{
    if (!t->why.code && atomic_load(&t->cancelled))
        fail_step(t, AIOS_ECANCELED, "the transfer was cancelled");
    bool over = settle(t);
    if (t->why.code) {
        leave(t);
        return aios__error_copy(err, &t->why);
    }
    t->done = over;
    if (over)
        leave(t);
    return over ? AIOS_DONE : AIOS_AGAIN;
}

static int bound_ms(int32_t timeout_ms)
{
    return timeout_ms < 0 || timeout_ms > MAX_WAIT_MS ? MAX_WAIT_MS : timeout_ms;
}

static void await_news(aios__transfer *t, int32_t timeout_ms)
{
    aios_error why = AIOS_INIT(aios_error);
    aios__await w = {.t = t};
    resume(t);
    if (aios__loop_wait(t->http, &w, bound_ms(timeout_ms), &why))
        fail_step(t, why.code, why.msg);
}

int aios__transfer_step(aios__transfer *t, int32_t timeout_ms, aios_error *err)
{
    if (t->why.code || t->done)
        return t->done ? AIOS_DONE : aios__error_copy(err, &t->why);
    aios__loop_enter(t);
    bool any = aios__came_deliver(t);
    if (!any && !t->why.code) {
        await_news(t, timeout_ms);
        any = aios__came_deliver(t);
    }
    if (!t->why.code)
        fail_if_late(t, any);
    int rc = conclude(t, err);
    aios__loop_leave(t);
    return rc;
}

void aios__transfer_watch(aios__transfer *t, void (*fn)(void *user), void *user)
{
    resume(t);
    aios__loop_watch(t, fn, user);
}

int aios__http_wait(aios_ctx *ctx, int32_t timeout_ms, atomic_uint *woken, aios_error *err)
{
    aios__await w = {.woken = woken};
    aios__http *h = aios__http_of(ctx, err);
    if (!h)
        return aios__error_code(err, AIOS_ENOMEM);
    int rc = aios__loop_wait(h, &w, bound_ms(timeout_ms), err);
    atomic_store(woken, 0);
    return rc;
}

void aios__http_wake(aios_ctx *ctx, atomic_uint *woken)
{
    aios__http *h = aios__ctx_slot(ctx, AIOS__SLOT_HTTP);
    if (!atomic_exchange(woken, 1) && h)
        aios__loop_wake(h);
}

void aios__transfer_cancel(aios__transfer *t)
{
    int e = errno;
    aios__loop_cancel(t);
    errno = e;
}
