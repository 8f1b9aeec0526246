/* SPDX-License-Identifier: Apache-2.0 */
/* What the loop itself costs: steps that call a tool, with the scripted model, without a store and with those there are; and runs that wait.
 * Usage: bench_agent [--runs N] [--threads N] [--poll 1] [--model echo|count] [--idle N] [STEPS [STORE...]], STORE as for aios_store_open.
 * JSON lines. --runs N: so many runs at once over one agent and one store, each on a thread of its own, or all on --threads of them, turn by
 * turn; with --poll 1 these wait for descriptors and never inside of a run. Model echo reads a script and the whole prompt each turn; count is the
 * least that a model can be: it counts, as the models that peers are measured with do. */
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <aios/plugin/backend.h>

#include "bench.h"

enum { MAX_RUNS = 256, REPEATS = 5 };

static int act(void *user, aios_call *call)
{
    (void)user;
    return aios_call_finish(call, 0, "42", 2);
}

static int decide(void *user, const aios_action *a, aios_verdict *out)
{
    (void)a;
    out->verdict = *(const int32_t *)user;
    return 0;
}

typedef struct setting {
    const char *store; /* NULL: none */
    int32_t effect, verdict;
    uint32_t n_steps, n_runs, n_threads;
    const char *model;
    uint32_t poll;
} setting;

typedef struct made {
    aios_ctx *ctx;
    aios_store *store;
    aios_agent *agent;
} made;

/* ---- a model that counts: count:N calls the tool N times, then answers ---------------------------------------------- */

typedef struct counting {
    uint32_t n_steps, turn; /* turn: of the conversation, from its length */
    uint32_t at;            /* pieces of the turn that are out */
} counting;

static int count_open(void *user, const aios_backend_open_args *args, void **model, aios_error *err)
{
    (void)user;
    (void)err;
    counting *c = calloc(1, sizeof *c);
    if (!c)
        return AIOS_ENOMEM;
    c->n_steps = (uint32_t)atoi(args->path);
    *model = c;
    return AIOS_OK;
}

static int count_info(void *model, aios_model_info *out)
{
    (void)model;
    out->name = "count";
    out->n_ctx = out->n_ctx_train = 1u << 24;
    out->privacy = AIOS_PRIVACY_LOCAL;
    out->flags = AIOS_MODEL_CAN_TOOLS;
    return AIOS_OK;
}

static int count_session(void *model, const aios_session_config *cfg, void **session, aios_error *err)
{
    (void)cfg;
    (void)err;
    counting *c = calloc(1, sizeof *c);
    if (!c)
        return AIOS_ENOMEM;
    c->n_steps = ((counting *)model)->n_steps;
    *session = c;
    return AIOS_OK;
}

static int count_start(void *session, const aios_request *req, aios_error *err)
{
    (void)err;
    counting *c = session;
    c->turn = aios_transcript_count(req->transcript) / 2; /* behind the prompt: a call and its result a turn */
    c->at = 0;
    return AIOS_OK;
}

static int count_step(void *session, const aios_sink *sink, aios_error *err)
{
    (void)err;
    counting *c = session;
    aios_usage usage = AIOS_INIT(aios_usage);
    char args[32];
    int n = snprintf(args, sizeof args, "{\"n\":%u}", c->turn), rc;
    if (c->at++ == 0) {
        rc = c->turn < c->n_steps ? sink->call(sink->user, "act", args, (size_t)n, NULL) : sink->text(sink->user, "done", 4);
        return rc ? rc : AIOS_AGAIN;
    }
    usage.output = 1;
    rc = sink->usage(sink->user, &usage);
    return rc ? rc : AIOS_DONE;
}

static void count_cancel(void *session)
{
    (void)session; /* a step is over at once */
}

static void register_counting(aios_ctx *ctx)
{
    aios_error err = AIOS_INIT(aios_error);
    const aios_backend_ops ops = {.struct_size = sizeof ops, .name = "count", .open = count_open, .close = free, .info = count_info,
                                  .session_new = count_session, .session_free = free, .start = count_start, .step = count_step, .cancel = count_cancel};
    must(aios_backend_register(ctx, &ops, NULL, &err), &err);
}

/* ---- what is measured ----------------------------------------------------------------------------------------------- */

/* A script that calls the tool n times with other arguments, then answers. */
static char *make_script(const setting *s)
{
    uint32_t n = s->n_steps;
    size_t cap = 64 + (size_t)n * 40, at = 0;
    char *text = malloc(cap);
    if (!strcmp(s->model, "count")) {
        snprintf(text, cap, "count:%u", n);
        return text;
    }
    at += (size_t)snprintf(text, cap, "echo:");
    for (uint32_t i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, cap - at, "call act {\"n\":%u};turn;", i);
    snprintf(text + at, cap - at, "say done");
    return text;
}

static made make(const setting *s)
{
    made m = {NULL, NULL, NULL};
    aios_error err = AIOS_INIT(aios_error);
    aios_agent_config cfg = AIOS_INIT(aios_agent_config);
    aios_limits limits = AIOS_INIT(aios_limits);
    aios_policy policy = AIOS_INIT(aios_policy);
    aios_tool tool = AIOS_INIT(aios_tool);
    aios_model_config mc = AIOS_INIT(aios_model_config);
    mc.n_ctx = 1u << 24;
    char *script = make_script(s);
    must(aios_ctx_new(NULL, &m.ctx, &err), &err);
    register_counting(m.ctx);
    must(aios_model_open(m.ctx, script, &mc, &cfg.model, &err), &err);
    free(script);
    must(aios_toolset_new(m.ctx, &cfg.toolset, &err), &err);
    tool.name = "act";
    tool.fn = act;
    tool.effect = s->effect;
    must(aios_toolset_add(cfg.toolset, &tool, &err), &err);
    if (s->store)
        must(aios_store_open(m.ctx, s->store, NULL, &m.store, &err), &err);
    limits.max_turns = limits.max_calls = s->n_steps + 2;
    policy.decide = decide;
    policy.user = (void *)(uintptr_t)&s->verdict;
    cfg.policy = &policy;
    cfg.limits = &limits;
    cfg.store = m.store;
    must(aios_agent_new(m.ctx, &cfg, &m.agent, &err), &err);
    aios_model_close(cfg.model);
    aios_toolset_free(cfg.toolset);
    return m;
}

static void unmake(made *m)
{
    aios_agent_free(m->agent);
    aios_store_close(m->store);
    aios_ctx_free(m->ctx);
}

/* Some of the runs, driven turn by turn by one thread. */
typedef struct driver {
    pthread_t thread;
    aios_agent *agent;
    uint32_t n, poll;
    aios_run *runs[MAX_RUNS];
} driver;

/* As far as there is something to do. True: it is over. */
static bool drain(aios_run *r)
{
    const aios_event *ev;
    int rc;
    while ((rc = aios_run_next(r, 0, &ev)) == AIOS_OK)
        if (ev->type == AIOS_EVENT_ERROR)
            must(ev->error->code, ev->error);
    return rc == AIOS_DONE;
}

/* An event loop as hosts have them: a run is looked at when its descriptor says so. */
static void drive_by_polling(driver *d)
{
    struct epoll_event ready[64], e = {.events = EPOLLIN};
    int ep = epoll_create1(EPOLL_CLOEXEC);
    uint32_t left = d->n;
    for (uint32_t i = 0; i < d->n; i++) {
        e.data.u32 = i;
        int fd = aios_run_fd(d->runs[i]);
        if (fd < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e)) {
            fprintf(stderr, "bench_agent: no descriptor for run %u: raise the limit (ulimit -n)\n", i);
            exit(1);
        }
    }
    while (left) {
        int n = epoll_wait(ep, ready, 64, -1);
        for (int k = 0; k < n; k++) {
            aios_run **r = &d->runs[ready[k].data.u32];
            if (!*r || !drain(*r))
                continue;
            aios_run_free(*r);
            *r = NULL;
            left--;
        }
    }
    close(ep);
}

static void *drive(void *user)
{
    driver *d = user;
    aios_error err = AIOS_INIT(aios_error);
    const aios_event *ev;
    uint32_t left = d->n;
    aios_run_options o = AIOS_INIT(aios_run_options);
    o.prompt = "go";
    o.n_prompt = 2;
    o.flags = d->poll ? AIOS_START_LATE : 0;
    for (uint32_t i = 0; i < d->n; i++)
        must(aios_run_start_with(d->agent, &o, &d->runs[i], &err), &err);
    if (d->poll) {
        drive_by_polling(d);
        return NULL;
    }
    while (left)
        for (uint32_t i = 0; i < d->n; i++) {
            if (!d->runs[i] || aios_run_next(d->runs[i], -1, &ev) == AIOS_OK) {
                if (d->runs[i] && ev->type == AIOS_EVENT_ERROR)
                    must(ev->error->code, ev->error);
                continue;
            }
            aios_run_free(d->runs[i]);
            d->runs[i] = NULL;
            left--;
        }
    return NULL;
}

/* Seconds, in us, of all runs. */
static double run_all(const setting *s, aios_agent *agent)
{
    static driver drivers[MAX_RUNS];
    double at = now_us();
    for (uint32_t i = 0; i < s->n_threads; i++) {
        drivers[i].agent = agent;
        drivers[i].poll = s->poll;
        drivers[i].n = s->n_runs / s->n_threads + (i < s->n_runs % s->n_threads);
        if (s->n_threads > 1 && pthread_create(&drivers[i].thread, NULL, drive, &drivers[i]))
            exit(1);
    }
    if (s->n_threads == 1)
        drive(&drivers[0]);
    for (uint32_t i = 0; s->n_threads > 1 && i < s->n_threads; i++)
        pthread_join(drivers[i].thread, NULL);
    return now_us() - at;
}

static void bench_steps(const char *name, setting s)
{
    double best = 1e300, n_steps = (double)s.n_steps * s.n_runs;
    aios_store_info info = AIOS_INIT(aios_store_info);
    for (int i = 0; i < REPEATS; i++) {
        made m = make(&s);
        double us = run_all(&s, m.agent) / n_steps;
        best = us < best ? us : best;
        if (m.store)
            aios_store_info_get(m.store, &info);
        unmake(&m);
    }
    printf("{\"bench\":\"agent_step\",\"model\":\"%s\",\"store\":\"%s\",\"effect\":\"%s\",\"runs\":%u,\"threads\":%u,\"poll\":%u,\"steps\":%u,"
           "\"us_per_step\":%.2f,\"steps_per_s\":%.0f,\"commits_per_step\":%.2f,\"syncs_per_step\":%.2f}\n",
           s.model, name, s.effect == AIOS_EFFECT_READ ? "read" : "keyed", s.n_runs, s.n_threads, s.poll, s.n_steps, best, 1e6 / best,
           (double)info.n_commits / n_steps, (double)info.n_syncs / n_steps);
    fflush(stdout);
}

/* Runs that wait for a decision, all alive: bytes of the heap each. */
static void bench_idle(const char *store, uint32_t n)
{
    setting s = {store, AIOS_EFFECT_UNSAFE, AIOS_ASK, 1, 1, 1, "echo", 0};
    made m = make(&s);
    aios_error err = AIOS_INIT(aios_error);
    aios_mem_usage before = AIOS_INIT(aios_mem_usage), after = AIOS_INIT(aios_mem_usage);
    aios_run **runs = calloc(n, sizeof *runs);
    const aios_event *ev;
    uint32_t k = 0;
    aios_ctx_usage(m.ctx, &before);
    for (; k < n; k++) {
        if (aios_run_start(m.agent, NULL, "go", 2, &runs[k], &err)) {
            fprintf(stderr, "idle runs end at %u: %s\n", k, err.msg);
            break;
        }
        while (aios_run_next(runs[k], -1, &ev) == AIOS_OK)
            ;
    }
    aios_ctx_usage(m.ctx, &after);
    printf("{\"bench\":\"agent_idle\",\"store\":\"%s\",\"runs\":%u,\"bytes_per_run\":%.0f}\n", store ? store : "none", k,
           k ? (double)(after.used - before.used) / k : 0);
    for (uint32_t i = 0; i < k; i++)
        aios_run_free(runs[i]);
    free(runs);
    unmake(&m);
}

typedef struct arguments {
    uint32_t steps, runs, threads, idle, poll;
    const char *model;
    int next; /* of argv: the first store */
} arguments;

static arguments read_arguments(int argc, char **argv)
{
    arguments a = {100, 1, 0, 400, 0, "echo", 1};
    const struct {
        const char *name;
        uint32_t *value;
    } numbers[] = {{"--runs", &a.runs}, {"--threads", &a.threads}, {"--idle", &a.idle}, {"--poll", &a.poll}};
    for (; a.next + 1 < argc && !strncmp(argv[a.next], "--", 2); a.next += 2) {
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
            if (!strcmp(argv[a.next], numbers[i].name))
                *numbers[i].value = (uint32_t)atoi(argv[a.next + 1]);
        if (!strcmp(argv[a.next], "--model"))
            a.model = argv[a.next + 1];
    }
    if (a.next < argc)
        a.steps = (uint32_t)atoi(argv[a.next++]);
    a.threads = a.threads ? a.threads : a.runs;
    if (!a.steps || !a.runs || a.runs > MAX_RUNS || a.threads > a.runs) {
        fprintf(stderr, "bench_agent: 1 to %d runs, at most as many threads, and steps\n", MAX_RUNS);
        exit(2);
    }
    return a;
}

int main(int argc, char **argv)
{
    const arguments a = read_arguments(argc, argv);
    static const char *const own[] = {"memory:"};
    const char *const *stores = a.next < argc ? (const char *const *)argv + a.next : own;
    int n_stores = a.next < argc ? argc - a.next : 1;
    struct rlimit files;
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max; /* four descriptors a run that is polled */
        setrlimit(RLIMIT_NOFILE, &files);
    }
    for (int i = -1; i < n_stores; i++)
        for (int effect = 0; effect < 2; effect++) {
            const char *store = i < 0 ? NULL : stores[i];
            int32_t kind = effect ? AIOS_EFFECT_KEYED : AIOS_EFFECT_READ;
            bench_steps(store ? store : "none", (setting){store, kind, AIOS_ALLOW, a.steps, a.runs, a.threads, a.model, a.poll});
        }
    for (int i = 0; a.idle && i < 2; i++)
        bench_idle(i ? "memory:" : NULL, a.idle);
    return 0;
}
