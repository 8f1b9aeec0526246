/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How soon a cancelled turn is over: bench_cancel MODEL.gguf [ROUNDS [THREADS]]. A JSON line for each phase that the cancel falls into at a
 * random instant: a long prompt alone, one beside another session's reply, a reply, one under a schema; milliseconds from
 * aios_session_cancel to the event that says so.
 */
#include <pthread.h>
#include <string.h>

#include "bench.h"

enum { MAX_ROUNDS = 10000, PROMPT_WORDS = 1500 };

static const char schema[] = "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"minLength\":40},\"n\":{\"type\":\"integer\"}},"
                             "\"required\":[\"name\",\"n\"],\"additionalProperties\":false}";

static const struct phase {
    const char *name;
    int long_prompt, beside, constrained;
} phases[] = {{"prompt", 1, 0, 0}, {"prompt beside a reply", 1, 1, 0}, {"reply", 0, 0, 0}, {"constrained reply", 0, 0, 1}};

/* A turn on a thread of its own. */
typedef struct turn {
    aios_session *s;
    pthread_t thread;
    int code;
    double over_at; /* us */
} turn;

static char long_text[PROMPT_WORDS * 8];
static unsigned long long rng = 1;

static double draw(void)
{
    rng = rng * 6364136223846793005ull + 1442695040888963407ull;
    return (double)(rng >> 40) / (double)(1 << 24);
}

static void *read_all(void *arg)
{
    turn *t = arg;
    const aios_event *ev;
    while (aios_session_next(t->s, -1, &ev) == AIOS_OK)
        if (ev->type == AIOS_EVENT_ERROR)
            t->code = ev->error->code;
    t->over_at = now_us();
    return NULL;
}

/* `number` makes each prompt another one, so that none is in a cache. */
static void begin(aios_model *m, turn *t, const struct phase *p, unsigned number)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_request r = AIOS_INIT(aios_request);
    char *text = malloc(sizeof long_text + 64);
    if (!text)
        exit(1);
    snprintf(text, sizeof long_text + 64, "%u: %s", number, p->long_prompt ? long_text : "Tell me of the sea.");
    r.raw = text;
    r.n_raw = AIOS_CSTR;
    r.max_tokens = p->constrained ? 100 : 40;
    r.flags = p->constrained ? 0 : AIOS_REQUEST_IGNORE_EOS;
    r.schema_json = p->constrained ? schema : NULL;
    *t = (turn){0};
    must(aios_session_new(m, NULL, &t->s, &err), &err);
    must(aios_session_start(t->s, &r, &err), &err);
    if (pthread_create(&t->thread, NULL, read_all, t))
        exit(1);
    free(text);
}

static void end(turn *t)
{
    pthread_join(t->thread, NULL);
    aios_session_free(t->s);
}

/* Seconds. */
static double time_turn(aios_model *m, const struct phase *p)
{
    turn t;
    double since = now_us();
    begin(m, &t, p, 999999);
    end(&t);
    return (now_us() - since) / 1e6;
}

static void measure(aios_model *m, const struct phase *p, unsigned rounds)
{
    static double ms[MAX_ROUNDS];
    static const struct phase reply = {.name = "reply"};
    double took = time_turn(m, p);
    unsigned n = 0;
    aios_model_info info = AIOS_INIT(aios_model_info);
    aios_model_info_get(m, &info);
    for (unsigned i = 0; i < rounds; i++) {
        turn t, other;
        if (p->beside)
            begin(m, &other, &reply, i);
        begin(m, &t, p, i);
        double wait = took * draw();
        nanosleep(&(struct timespec){.tv_sec = (time_t)wait, .tv_nsec = (long)((wait - (double)(time_t)wait) * 1e9)}, NULL);
        double asked = now_us();
        aios_session_cancel(t.s);
        end(&t);
        if (t.code == AIOS_ECANCELED) /* else it was over already */
            ms[n++] = (t.over_at - asked) / 1e3;
        if (p->beside) {
            aios_session_cancel(other.s);
            end(&other);
        }
    }
    qsort(ms, n, sizeof *ms, by_size);
    if (n)
        printf("{\"bench\":\"cancel\",\"model\":\"%s\",\"threads\":%u,\"phase\":\"%s\",\"turn_ms\":%.1f,\"n\":%u,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}\n",
               info.name, info.n_threads, p->name, took * 1e3, n, ms[n / 2], ms[n * 99 / 100], ms[n - 1]);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    aios_model_config cfg = AIOS_INIT(aios_model_config);
    aios_error err = AIOS_INIT(aios_error);
    aios_ctx *ctx = NULL;
    aios_model *m = NULL;
    const char *path = argc > 1 ? argv[1] : getenv("AIOS_MODEL");
    unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 60;
    if (!path || rounds < 1 || rounds > MAX_ROUNDS) {
        fprintf(stderr, "usage: bench_cancel MODEL.gguf [ROUNDS [THREADS]], at most %d rounds\n", MAX_ROUNDS);
        return 77; /* skipped */
    }
    cfg.n_threads = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 0;
    for (unsigned i = 0; i < PROMPT_WORDS; i++)
        snprintf(long_text + strlen(long_text), 8, "%s", i % 3 ? " word" : " other");
    must(aios_ctx_new(NULL, &ctx, &err), &err);
    must(aios_model_open(ctx, path, &cfg, &m, &err), &err);
    for (size_t i = 0; i < sizeof phases / sizeof phases[0]; i++)
        measure(m, &phases[i], (unsigned)rounds);
    aios_model_close(m);
    aios_ctx_free(ctx);
    return 0;
}
