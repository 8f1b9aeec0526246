/* SPDX-License-Identifier: Apache-2.0 */
/* A tool call has two ends, the run's and the tool's. Each holds a reference, so either may go first. */
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/agent_priv.h"

int aios__hub_new(aios_ctx *ctx, aios__hub **out, aios_error *err)
{
    aios__hub *h = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_OTHER, sizeof *h, err);
    if (!h)
        return aios__nomem(err);
    atomic_init(&h->fd, -1);
    atomic_init(&h->refs, 1);
    h->ctx = aios__ctx_ref(ctx);
    *out = h;
    return AIOS_OK;
}

aios__hub *aios__hub_ref(aios__hub *h)
{
    atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
    return h;
}

void aios__hub_unref(aios__hub *h)
{
    if (!h || atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) != 1)
        return;
    aios_ctx *ctx = h->ctx;
    if (atomic_load(&h->fd) >= 0)
        close(atomic_load(&h->fd));
    aios__free(aios__ctx_heap(ctx), h);
    aios_ctx_free(ctx);
}

void aios__hub_wake(const aios__hub *h)
{
    uint64_t one = 1;
    int fd = atomic_load(&h->fd);
    ssize_t r = fd < 0 ? 0 : write(fd, &one, sizeof one);
    AIOS__UNUSED(r); /* a full counter is readable already */
}

int aios__hub_fd(aios__hub *h, bool *made)
{
    int fd = atomic_load(&h->fd);
    *made = false;
    if (fd < 0) {
        fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        atomic_store(&h->fd, fd);
        *made = fd >= 0;
    }
    return fd;
}

static aios__heap *heap_of(const aios_call *c)
{
    return aios__ctx_heap(c->hub->ctx);
}

void aios__call_ref(aios_call *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
}

void aios__call_unref(aios_call *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    aios__heap *h = heap_of(c);
    aios__hub *hub = c->hub;
    aios_toolset *ts = c->ts;
    aios__call_unref(c->before);
    aios__free(h, c->filled);
    aios__free(h, c->result);
    aios__free(h, c);
    aios_toolset_free(ts);
    aios__hub_unref(hub);
}

int aios__call_new(aios__hub *hub, aios_toolset *ts, const aios_event *ev, aios_call **out, aios_error *err)
{
    size_t n_id = strlen(ev->call_id) + 1, n_name = strlen(ev->name) + 1;
    aios_call *c = aios__alloc(aios__ctx_heap(hub->ctx), AIOS_MEM_OTHER, sizeof *c + n_id + n_name + ev->n_text + 1, err);
    if (!c)
        return aios__nomem(err);
    atomic_init(&c->refs, 1);
    c->hub = aios__hub_ref(hub);
    c->ts = aios__toolset_ref(ts);
    c->id = c->bytes;
    c->name = c->id + n_id;
    c->args = c->name + n_name;
    c->n_args = ev->n_text;
    memcpy(c->id, ev->call_id, n_id);
    memcpy(c->name, ev->name, n_name);
    if (ev->n_text)
        memcpy(c->args, ev->text, ev->n_text);
    *out = c;
    return AIOS_OK;
}

const char *aios_call_args(const aios_call *c)
{
    return !c ? NULL : c->filled ? c->filled : c->args;
}

const char *aios__call_text(const aios_call *c, size_t *n)
{
    *n = c->filled ? c->n_filled : c->n_args;
    return c->filled ? c->filled : c->args;
}

const char *aios_call_id(const aios_call *c)
{
    return c ? c->id : NULL;
}

const char *aios_call_traceparent(const aios_call *c)
{
    return c ? c->traceparent : NULL;
}

const char *aios_call_name(const aios_call *c)
{
    return c ? c->name : NULL;
}

const char *aios_call_key(const aios_call *c)
{
    return c ? c->key : NULL;
}

int aios_call_cancelled(const aios_call *c)
{
    if (!c)
        return 1;
    int64_t deadline = atomic_load(&c->deadline);
    return atomic_load(&c->hub->cancel) || atomic_load(&c->state) == AIOS__CALL_GONE ||
           (deadline && aios__now_ns(aios__ctx_env(c->hub->ctx)) >= deadline);
}

/* Valid UTF-8 without NUL, at most MAX_RESULT bytes of the tool's. */
static int repair(aios__buf *b, const char *s, size_t n, aios_error *err)
{
    size_t cut = n > AIOS__MAX_RESULT ? AIOS__MAX_RESULT : n, from = 0, i = 0;
    if (cut < n)
        cut = aios__utf8_whole(s, cut);
    aios__buf_reserve(b, cut, err);
    while (i < cut) {
        uint32_t cp;
        size_t len = s[i] ? aios__utf8_decode(s + i, cut - i, &cp) : 0;
        if (len) {
            i += len;
            continue;
        }
        aios__buf_add(b, s + from, i - from, err);
        aios__buf_adds(b, "\xef\xbf\xbd", err);
        from = ++i;
    }
    int rc = aios__buf_add(b, s ? s + from : "", cut - from, err);
    return rc || cut == n ? rc : aios__buf_addf(b, err, "\n[cut: the result had %zu bytes]", n);
}

int aios_call_get_label(const aios_call *c, aios_label *label)
{
    if (!c || !label)
        return AIOS_EINVAL;
    *label = c->label;
    return AIOS_OK;
}

int aios_call_set_label(aios_call *c, const aios_label *label)
{
    if (!c || !label || label->integrity < AIOS_LABEL_UNTRUSTED || label->integrity > AIOS_LABEL_SYSTEM || label->reserved0)
        return AIOS_EINVAL;
    if (atomic_load(&c->user_done))
        return AIOS_ESTATE;
    bool trusted = c->tool && c->tool->pub.flags & AIOS_TOOL_TRUSTED;
    if (label->integrity > (trusted ? AIOS_LABEL_USER : c->base.integrity) || (!trusted && c->base.confidentiality & ~label->confidentiality))
        return AIOS_EDENIED;
    c->label = *label;
    return AIOS_OK;
}

static void store_result(aios_call *c, int32_t status, const char *s, size_t n)
{
    aios_error err = AIOS_INIT(aios_error);
    aios__buf b;
    aios__buf_init(&b, heap_of(c), AIOS_MEM_TEXT, 0);
    int rc = repair(&b, s, n, &err);
    if (rc) {
        aios__buf_free(&b);
        c->status = rc;
        return;
    }
    c->status = status;
    c->result = b.p;
    c->n_result = b.n;
}

int aios_call_finish(aios_call *c, int32_t status, const char *s, size_t n)
{
    if (!c || status > 0 || (!s && n && n != AIOS_CSTR))
        return AIOS_EINVAL;
    if (atomic_exchange(&c->user_done, 1))
        return AIOS_ESTATE;
    uint32_t open = AIOS__CALL_OPEN;
    int rc = AIOS_OK;
    if (atomic_compare_exchange_strong(&c->state, &open, AIOS__CALL_WRITING)) {
        store_result(c, status, s ? s : "", !s ? 0 : n == AIOS_CSTR ? strlen(s) : n);
        atomic_store(&c->state, AIOS__CALL_FINISHED);
        aios__hub_wake(c->hub);
    } else {
        rc = c->gone_code; /* too late: the run has gone on */
    }
    aios__call_unref(c);
    return rc;
}

bool aios__call_abandon(aios_call *c, int32_t code)
{
    uint32_t open = AIOS__CALL_OPEN;
    if (atomic_load(&c->state) == AIOS__CALL_OPEN)
        c->gone_code = code; /* written before the state that makes it readable */
    return atomic_compare_exchange_strong(&c->state, &open, AIOS__CALL_GONE) || open != AIOS__CALL_WRITING;
}

void aios__call_invoke(aios_call *c)
{
    aios__call_ref(c); /* ours: the tool's own goes with finish */
    int rc = AIOS_ECANCELED;
    if (atomic_load(&c->state) == AIOS__CALL_OPEN)
        rc = (c->reconciling ? c->tool->pub.reconcile : c->tool->pub.fn)(c->tool->pub.user, c);
    if (rc != AIOS_AGAIN) {
        static const char none[] = "the tool returned without a result";
        aios_call_finish(c, rc < 0 ? rc : AIOS_ETOOL, rc < 0 ? NULL : none, rc < 0 ? 0 : sizeof none - 1);
    }
    aios__call_unref(c);
}
