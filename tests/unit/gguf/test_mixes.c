/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Determinism: random mixes of threads, sessions in a batch, chunks, caches, forks, cancels, drivers and guesses give the text
 * and the logits, bit for bit, that each turn gets alone. Usage: test_mixes [MIXES [SEED]]; without arguments the short mode. With
 * them a line of JSON for each mix.
 */
#include <pthread.h>
#include <stdbool.h>
#include <unistd.h>

#include <aios/aios.h>

#include "net_make.h"

enum { N_PROMPTS = 12, MAX_SESSIONS = 10, MAX_TEXT = 4096, VOCAB = 262, PROBE = 7, SHORT_MODE = 50 };

static const char *const archs[] = {"llama", "qwen2", "qwen3", "gemma3"};
static const char schema[] = "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":999},"
                             "\"s\":{\"type\":\"string\",\"maxLength\":20}},\"required\":[\"n\",\"s\"],\"additionalProperties\":false}";

/* What a turn gave: its text, and a hash of the logits behind one more token. */
typedef struct result {
    char text[MAX_TEXT];
    uint64_t hash;
} result;

typedef struct rig {
    char uri[64];
    aios_ctx *ctx;
    aios_model *model;
} rig;

typedef struct part {
    struct mix *mix;
    aios_session *s;
    uint32_t prompt, seed;
    bool cancelled, forked, warm, driver;
    result got;
} part;

typedef struct mix {
    rig *r;
    uint32_t arch, n_threads, n_hosts, n_parts;
    bool polled; /* one host thread steps its sessions in turn */
    part parts[MAX_SESSIONS];
} mix;

static uint64_t rng = 1;
static char prompts[N_PROMPTS][1200];
static result wanted[4][N_PROMPTS];

static uint32_t draw(uint64_t *state, uint32_t n)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(*state >> 33) % n;
}

static void must_or_exit(int rc, const aios_error *err)
{
    if (rc) {
        fprintf(stderr, "%d: %s\n", rc, err->msg);
        exit(1);
    }
}

/* Prompts share beginnings, so that caches and forks have something to keep. */
static void make_prompts(void)
{
    uint64_t state = 99;
    for (uint32_t i = 0; i < N_PROMPTS; i++) {
        uint32_t n = 3 + draw(&state, i % 3 ? 150 : 900), same = i ? draw(&state, n) : 0;
        for (uint32_t k = 0; k < n; k++)
            prompts[i][k] = k < same && prompts[i - 1][k] ? prompts[i - 1][k] : (char)('a' + draw(&state, 26));
    }
}

static void open_rig(rig *r, uint32_t arch, uint32_t n_threads)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_model_config cfg = AIOS_INIT(aios_model_config);
    net_make make = {.arch = archs[arch], .dtype = arch % 2 ? 2 : 8, .tied = 1, .n_ctx = 1024};
    net_file(&make, r->uri);
    cfg.n_threads = n_threads;
    must_or_exit(aios_ctx_new(NULL, &r->ctx, &err), &err);
    must_or_exit(aios_model_open(r->ctx, r->uri, &cfg, &r->model, &err), &err);
}

static void close_rig(rig *r)
{
    aios_model_close(r->model);
    aios_ctx_free(r->ctx);
    unlink(r->uri + 5);
}

/* Every prompt has its own way of being answered: greedy, drawn, with penalties, under a schema. */
static void start(aios_session *s, uint32_t prompt, int32_t priority)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_sampling sampling = AIOS_INIT(aios_sampling);
    aios_request r = AIOS_INIT(aios_request);
    r.raw = prompts[prompt];
    r.n_raw = AIOS_CSTR;
    r.max_tokens = 8 + prompt * 3;
    r.flags = prompt % 4 != 3 ? AIOS_REQUEST_IGNORE_EOS : 0;
    r.priority = priority;
    r.sampling = &sampling;
    sampling.temperature = prompt % 4 ? 1.5f : 0;
    sampling.seed = 1 + prompt;
    sampling.top_k = prompt % 4 == 1 ? 20 : 0;
    sampling.repeat_penalty = prompt % 4 == 2 ? 1.3f : 0;
    r.schema_json = prompt % 4 == 3 ? schema : NULL;
    must_or_exit(aios_session_start(s, &r, &err), &err);
}

/* Reads what there is; 1 once the turn is over. */
static int read_events(aios_session *s, int32_t timeout_ms, result *out)
{
    const aios_event *ev;
    int rc = aios_session_next(s, timeout_ms, &ev);
    if (rc == AIOS_OK && ev->type == AIOS_EVENT_TEXT)
        strncat(out->text, ev->text, sizeof out->text - strlen(out->text) - 1);
    if (rc == AIOS_OK && ev->type == AIOS_EVENT_ERROR && ev->error->code != AIOS_ECANCELED)
        snprintf(out->text, sizeof out->text, "error %d: %.400s", ev->error->code, ev->error->msg);
    return rc == AIOS_DONE || rc < 0;
}

static void hash_logits(aios_session *s, result *out)
{
    static const int32_t probe = PROBE;
    aios_error err = AIOS_INIT(aios_error);
    float logits[VOCAB];
    must_or_exit(aios_session_eval(s, &probe, 1, logits, 1, &err), &err);
    out->hash = 14695981039346656037ull;
    for (size_t i = 0; i < sizeof logits; i++)
        out->hash = (out->hash ^ ((const unsigned char *)logits)[i]) * 1099511628211ull;
}

/* What was in the session before: nothing, another turn, a cancelled one, a prefix, tokens in pieces. */
static void warm_up(part *p, uint64_t *state)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_request r = AIOS_INIT(aios_request);
    result ignored = {0};
    uint32_t n = (uint32_t)strlen(prompts[p->prompt]), cut = draw(state, n), step = 1 + draw(state, 60);
    char prefix[1200] = {0};
    int32_t ids[1200];
    switch (draw(state, 4)) {
    case 0:
        start(p->s, draw(state, N_PROMPTS), 0);
        for (uint32_t left = p->cancelled ? draw(state, 6) : UINT32_MAX; left && !read_events(p->s, -1, &ignored); left--)
            ;
        aios_session_cancel(p->s);
        while (!read_events(p->s, -1, &ignored))
            ;
        break;
    case 1:
        memcpy(prefix, prompts[p->prompt], cut ? cut : 1);
        r.raw = prefix;
        r.n_raw = AIOS_CSTR;
        must_or_exit(aios_session_prewarm(p->s, &r, &err), &err);
        break;
    case 2:
        must_or_exit(aios_model_tokenize(p->mix->r->model, prompts[p->prompt], cut, 0, ids, 1200, &n, &err), &err);
        for (uint32_t i = 0; i < n; i += step)
            must_or_exit(aios_session_eval(p->s, ids + i, n - i < step ? n - i : step, NULL, 0, &err), &err);
        break;
    default:
        break;
    }
}

static void run_part(part *p)
{
    start(p->s, p->prompt, (int32_t)(p->seed % 3));
    while (!read_events(p->s, -1, &p->got))
        ;
    hash_logits(p->s, &p->got);
}

/* Parts are divided among host threads; each runs its own one after the other, or all in turn. */
typedef struct host {
    mix *m;
    uint32_t id;
} host;

static void *run_host(void *arg)
{
    const host *h = arg;
    mix *m = h->m;
    bool over[MAX_SESSIONS] = {0};
    for (uint32_t i = h->id; i < m->n_parts; i += m->n_hosts) {
        if (!m->polled)
            run_part(&m->parts[i]);
        else
            start(m->parts[i].s, m->parts[i].prompt, (int32_t)(m->parts[i].seed % 3));
    }
    for (uint32_t left = m->polled; left;) {
        left = 0;
        for (uint32_t i = h->id; i < m->n_parts; i += m->n_hosts) {
            over[i] = over[i] || read_events(m->parts[i].s, 0, &m->parts[i].got);
            left += !over[i];
        }
    }
    for (uint32_t i = h->id; m->polled && i < m->n_parts; i += m->n_hosts)
        hash_logits(m->parts[i].s, &m->parts[i].got);
    return NULL;
}

static void make_part(mix *m, uint32_t i)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_session_config cfg = AIOS_INIT(aios_session_config);
    part *p = &m->parts[i];
    p->mix = m;
    p->prompt = draw(&rng, N_PROMPTS);
    p->seed = draw(&rng, 1000);
    p->cancelled = draw(&rng, 2);
    p->warm = draw(&rng, 3);
    p->driver = draw(&rng, 3) == 0;
    p->forked = i && draw(&rng, 3) == 0;
    cfg.driver = p->driver ? AIOS_DRIVER_THREAD : AIOS_DRIVER_CALLER;
    cfg.speculation = draw(&rng, 3) ? AIOS_SPECULATION_AUTO : AIOS_SPECULATION_OFF;
    if (p->forked)
        must_or_exit(aios_session_fork(m->parts[draw(&rng, i)].s, &p->s, &err), &err);
    else
        must_or_exit(aios_session_new(m->r->model, &cfg, &p->s, &err), &err);
    if (p->warm)
        warm_up(p, &rng);
}

static bool run_mix(uint32_t number, bool print)
{
    rig r;
    mix m = {.r = &r, .arch = draw(&rng, 4), .n_threads = 1 + draw(&rng, 3), .n_hosts = 1 + draw(&rng, 4), .n_parts = 1 + draw(&rng, MAX_SESSIONS)};
    pthread_t threads[4];
    host hosts[4];
    bool same = true;
    m.polled = draw(&rng, 2);
    open_rig(&r, m.arch, m.n_threads);
    for (uint32_t i = 0; i < m.n_parts; i++)
        make_part(&m, i);
    for (uint32_t i = 0; i < m.n_hosts; i++) {
        hosts[i] = (host){&m, i};
        if (pthread_create(&threads[i], NULL, run_host, &hosts[i]))
            exit(1);
    }
    for (uint32_t i = 0; i < m.n_hosts; i++)
        pthread_join(threads[i], NULL);
    for (uint32_t i = 0; i < m.n_parts; i++) {
        const part *p = &m.parts[i];
        const result *want = &wanted[m.arch][p->prompt];
        bool equal = want->hash == p->got.hash && !strcmp(want->text, p->got.text);
        if (!equal)
            fprintf(stderr, "mix %u (%s, %u threads, %u hosts), part %u, prompt %u: \"%s\" instead of \"%s\"\n", number, archs[m.arch], m.n_threads,
                    m.n_hosts, i, p->prompt, p->got.text, want->text);
        same = same && equal;
        aios_session_free(p->s);
    }
    if (print)
        printf("{\"mix\": %u, \"arch\": \"%s\", \"threads\": %u, \"hosts\": %u, \"polled\": %s, \"sessions\": %u, \"same\": %s}\n", number, archs[m.arch],
               m.n_threads, m.n_hosts, m.polled ? "true" : "false", m.n_parts, same ? "true" : "false");
    close_rig(&r);
    return same;
}

/* Each turn alone, in a fresh session, on one thread, without guesses. */
static void run_alone(void)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_session_config cfg = AIOS_INIT(aios_session_config);
    cfg.speculation = AIOS_SPECULATION_OFF;
    for (uint32_t a = 0; a < 4; a++) {
        rig r;
        open_rig(&r, a, 1);
        for (uint32_t i = 0; i < N_PROMPTS; i++) {
            part p = {.prompt = i};
            must_or_exit(aios_session_new(r.model, &cfg, &p.s, &err), &err);
            run_part(&p);
            wanted[a][i] = p.got;
            aios_session_free(p.s);
        }
        close_rig(&r);
    }
}

int main(int argc, char **argv)
{
    uint32_t n = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : SHORT_MODE, n_same = 0;
    rng = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    make_prompts();
    run_alone();
    for (uint32_t i = 0; i < n; i++)
        n_same += run_mix(i, argc > 1);
    printf("{\"bench\": \"mixes\", \"mixes\": %u, \"same\": %u}\n", n, n_same);
    return n_same == n ? 0 : 1;
}
