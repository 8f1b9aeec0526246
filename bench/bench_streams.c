/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The streams of bench_http as sessions (stream_load.h has the options): the model's own thread drives, the host's thread waits with one epoll
 * for all descriptors and reads events. Latency is to the event that was read. open_s: seconds until all streams are open;
 * waiting_cpu_percent: of a CPU, while none has a token.
 */
#include "stream_load.h"

typedef struct stream {
    aios_session *s;
    int over;
} stream;

static void open_session(aios_model *m, const aios_transcript *t, stream *s, int ep, unsigned i)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_session_config cfg = AIOS_INIT(aios_session_config);
    aios_request req = AIOS_INIT(aios_request);
    cfg.driver = AIOS_DRIVER_THREAD;
    req.transcript = t;
    must(aios_session_new(m, &cfg, &s->s, &err), &err);
    int fd = aios_session_fd(s->s);
    need(fd >= 0 && !epoll_ctl(ep, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.u32 = i}), "descriptor");
    must(aios_session_start(s->s, &req, &err), &err);
}

/* All that is there. Returns 1 if the stream is over now. */
static unsigned read_events(load *l, stream *s)
{
    const aios_event *ev;
    int rc;
    while ((rc = aios_session_next(s->s, 0, &ev)) == AIOS_OK) {
        const char *at = ev->type == AIOS_EVENT_TEXT ? memchr(ev->text, '@', ev->n_text) : NULL;
        if (ev->type == AIOS_EVENT_ERROR)
            must(ev->error->code, ev->error);
        if (at)
            load_token(l, strtod(at + 1, NULL));
    }
    unsigned over = rc == AIOS_DONE && !s->over;
    s->over = s->over || over;
    return over;
}

static unsigned read_ready(load *l, int ep, stream *all, int wait_ms)
{
    struct epoll_event ev[256];
    unsigned over = 0;
    int n = epoll_wait(ep, ev, 256, wait_ms);
    for (int i = 0; i < n; i++)
        over += read_events(l, &all[ev[i].data.u32]);
    return over;
}

static void open_model(const load *l, aios_ctx **ctx, aios_model **m, aios_transcript **t)
{
    char uri[96];
    aios_error err = AIOS_INIT(aios_error);
    aios_remote_config remote = AIOS_INIT(aios_remote_config);
    aios_model_config cfg = AIOS_INIT(aios_model_config);
    remote.api_key = "none";
    remote.max_retries = AIOS_NO_RETRIES;
    remote.ca_file = l->ca_file;
    cfg.remote = &remote;
    snprintf(uri, sizeof uri, "openai+%s/v1#mock", l->url);
    must(aios_ctx_new(NULL, ctx, &err), &err);
    must(aios_model_open(*ctx, uri, &cfg, m, &err), &err);
    must(aios_transcript_new(*ctx, t, &err), &err);
    must(aios_transcript_add_text(*t, AIOS_ROLE_USER, "hi", AIOS_CSTR, &err), &err);
}

/* Until all is quiet: the server says nothing yet. Of a CPU, what waiting takes. */
static double wait_until_quiet(void)
{
    double waits = 1;
    for (int i = 0; i < 300 && waits > 0.1; i++) {
        waits = cpu_us();
        usleep(200000);
        waits = (cpu_us() - waits) / 2e5;
    }
    return waits;
}

static void measure(load *l)
{
    aios_ctx *ctx;
    aios_model *m;
    aios_transcript *t;
    char more[80];
    unsigned n = l->n_streams;
    stream *all = calloc(n, sizeof *all);
    int ep = epoll_create1(0);
    need(all && ep >= 0, "memory");
    open_model(l, &ctx, &m, &t);
    load_begin(l, ctx);
    double began = now_us();
    for (unsigned i = 0; i < n; i++)
        open_session(m, t, &all[i], ep, i);
    double waits = wait_until_quiet();
    snprintf(more, sizeof more, ",\"open_s\":%.1f,\"waiting_cpu_percent\":%.2f", (now_us() - 2e5 - began) / 1e6, waits * 100);
    load_opened(l, ctx);
    for (unsigned over = 0; over < n;)
        over += read_ready(l, ep, all, 1000);
    load_over(l);
    for (unsigned i = 0; i < n; i++)
        aios_session_free(all[i].s);
    free(all);
    close(ep);
    aios_transcript_free(t);
    aios_model_close(m);
    aios_ctx_free(ctx);
    load_report(l, more);
}

int main(int argc, char **argv)
{
    static const char *const loops[] = {"sessions"};
    return load_main(argc, argv, loops, 1, measure);
}
