/* SPDX-License-Identifier: Apache-2.0 */
/* Runs whose context is compacted die at every commit and within every summary, and go on in another process with the same requests. */
#include <sys/mman.h>
#include <sys/wait.h>

#include "agent_test.h"
#include "log_store.h"
#include "teller.h"

/* What the processes of a case share. */
typedef struct shared {
    log_faults log;
    uint32_t die_in_summary, n_summaries, n_contexts;
    int32_t code;
} shared;

typedef struct ending {
    char said[200000]; /* the transcript */
    char asked[65536]; /* the last request */
    uint32_t commits, summaries;
} ending;

enum { N_CALLS = 24 };
static shared *sh;
static char dir[64], store_path[96], said_path[96];
static int32_t policy;

static int tool_look(void *user, aios_call *call)
{
    char text[400];
    (void)user;
    memset(text, 'r', sizeof text - 1);
    text[sizeof text - 1] = 0;
    memcpy(text, aios_call_args(call), strlen(aios_call_args(call)));
    return aios_call_finish(call, 0, text, AIOS_CSTR);
}

static int allow(void *user, const aios_action *a, aios_verdict *out)
{
    (void)user, (void)a;
    out->verdict = AIOS_ALLOW;
    return 0;
}

static int write_file(void *user, const void *p, size_t n)
{
    return fwrite(p, 1, n, user) == n ? 0 : AIOS_EIO;
}

static void write_ending(const aios_run *r, const teller *t)
{
    FILE *f = fopen(said_path, "w");
    if (!f || aios_transcript_write_json(aios_run_transcript(r), write_file, f, NULL) || fprintf(f, "\n%s", t->asked) < 0)
        _exit(5);
    fclose(f);
}

static void drive(aios_run *r, teller *t)
{
    const aios_event *ev;
    while (!aios_run_next(r, -1, &ev)) {
        sh->n_contexts += ev->type == AIOS_EVENT_CONTEXT;
        if (ev->type == AIOS_EVENT_ERROR) {
            fprintf(stderr, "%s\n", ev->error->msg);
            sh->code = ev->error->code;
        }
        if (ev->type == AIOS_EVENT_DONE)
            write_ending(r, t);
    }
}

/* Starts the run or goes on with it. Exit 0: it is done; 7: it ended by a failure; 9: it died as it was told. */
static void live(void)
{
    world w;
    static teller t;
    aios_run *r = NULL;
    aios_error err = AIOS_INIT(aios_error);
    aios_compact compact = AIOS_INIT(aios_compact);
    aios_run_options o = AIOS_INIT(aios_run_options);
    compact.policy = policy;
    compact.min_offload = 256;
    t = (teller){.n_ctx = 1000, .n_calls = N_CALLS, .die_in_summary = sh->die_in_summary};
    world_open(&w, NULL, "echo:say never");
    aios_model_close(w.model);
    teller_model(w.ctx, &t, &w.model);
    aios_tool look = make_tool("look", tool_look, NULL);
    look.effect = AIOS_EFFECT_KEYED;
    world_tool(&w, look);
    if (policy == AIOS_COMPACT_OFFLOAD)
        must(aios_toolset_add_read_result(w.ts, &err), &err);
    w.policy.decide = allow;
    w.limits.max_turns = 100;
    w.cfg.model = w.model;
    w.cfg.instructions = "be brief";
    w.cfg.compact = &compact;
    w.cfg.store = log_store_open(w.ctx, store_path, &sh->log);
    world_agent(&w);
    aios_store_close(w.cfg.store);
    o.prompt = "PROMPT";
    o.n_prompt = AIOS_CSTR;
    o.id = "r";
    int rc = aios_run_resume(w.agent, "r", &r, &err);
    if (rc == AIOS_ENOENT)
        rc = aios_run_start_with(w.agent, &o, &r, &err);
    if (rc) {
        fprintf(stderr, "%s\n", err.msg);
        _exit(7);
    }
    drive(r, &t);
    sh->n_summaries += t.n_summaries;
    aios_run_free(r);
    world_close(&w);
    _exit(sh->code ? 7 : 0);
}

static int run_life(void)
{
    int status;
    pid_t pid = fork();
    if (!pid)
        live();
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    if (!WIFEXITED(status))
        fail_msg("a life ended by signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

static void begin_case(void)
{
    memset(sh, 0, sizeof *sh);
    unlink(store_path);
    unlink(said_path);
}

static void read_ending(ending *e)
{
    FILE *f = fopen(said_path, "r");
    assert_non_null(f);
    assert_non_null(fgets(e->said, sizeof e->said, f));
    size_t n = fread(e->asked, 1, sizeof e->asked - 1, f);
    e->asked[n] = 0;
    fclose(f);
}

static void check_ending(const ending *truth, const char *where, uint32_t at)
{
    static ending now;
    read_ending(&now);
    bool done = !now.asked[0]; /* it was, before it died: nothing more was asked */
    if (strcmp(now.said, truth->said) || (!done && strcmp(now.asked, truth->asked)))
        fail_msg("%s %u: it went on otherwise\n%s\nin place of\n%s", where, at, now.said, truth->said);
    if (done && at < truth->commits)
        fail_msg("%s %u: nothing was asked again", where, at);
}

static void deaths_change_nothing(void)
{
    static ending truth;
    begin_case();
    assert_int_equal(run_life(), 0);
    read_ending(&truth);
    truth.commits = sh->log.commits;
    truth.summaries = sh->n_summaries;
    assert_true(sh->n_contexts >= 2 && (truth.summaries >= 2) == (policy == AIOS_COMPACT_SUMMARISE));
    for (uint32_t at = 1; at <= truth.commits; at++)
        for (int after = 0; after < 2; after++) {
            begin_case();
            *(after ? &sh->log.die_after : &sh->log.die_before) = at;
            assert_int_equal(run_life(), 9);
            sh->log.die_after = sh->log.die_before = 0;
            assert_int_equal(run_life(), 0);
            check_ending(&truth, after ? "died behind commit" : "died before commit", at);
        }
    for (uint32_t at = 1; at <= truth.summaries; at++) {
        begin_case();
        sh->die_in_summary = at;
        assert_int_equal(run_life(), 9);
        sh->die_in_summary = 0;
        assert_int_equal(run_life(), 0);
        check_ending(&truth, "died in summary", at);
    }
}

static void dropping_survives(void **state)
{
    (void)state;
    policy = AIOS_COMPACT_DROP;
    deaths_change_nothing();
}

static void summaries_survive(void **state)
{
    (void)state;
    policy = AIOS_COMPACT_SUMMARISE;
    deaths_change_nothing();
}

static void offloading_survives(void **state)
{
    (void)state;
    policy = AIOS_COMPACT_OFFLOAD;
    deaths_change_nothing();
}

/* ---- journals of enemies ------------------------------------------------------------------------------------------ */

typedef struct copied {
    char *data[200];
    size_t n[200];
    uint32_t kind[200];
    int count;
} copied;

static int copy_record(void *user, const aios_record *r)
{
    copied *c = user;
    assert_true(c->count < 200);
    c->data[c->count] = malloc(r->n_data + 1);
    memcpy(c->data[c->count], r->data, r->n_data);
    c->n[c->count] = r->n_data;
    c->kind[c->count++] = r->kind;
    return 0;
}

static void put_record(aios_store *st, const char *stream, uint32_t kind, const char *data, size_t n)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_store_write w = AIOS_INIT(aios_store_write);
    w.stream = stream;
    w.data = data;
    w.n_data = n;
    w.kind = kind;
    must(aios_store_commit(st, &w, 1, sizeof w, NULL, &err), &err);
}

static uint32_t draw(uint64_t *x)
{
    *x = *x * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(*x >> 33);
}

/* It is refused with a code of its kind, or goes on to some end. */
static void try_journal(world *w, aios_store *st, const char *id)
{
    aios_run *r = NULL;
    const aios_event *ev;
    aios_error err = AIOS_INIT(aios_error);
    aios_run_info info = AIOS_INIT(aios_run_info);
    int rc = aios_run_resume(w->agent, id, &r, &err);
    if (rc && rc != AIOS_EFORMAT && rc != AIOS_EVERSION && rc != AIOS_ESTATE && rc != AIOS_ELIMIT)
        fail_msg("%d: %s", rc, err.msg);
    for (int i = 0; r && i < 2000 && !aios_run_next(r, -1, &ev); i++)
        ;
    aios_run_free(r);
    assert_int_equal(aios_run_info_get(w->ctx, st, id, &info, &err), 0);
}

static void damaged_records_are_refused_or_read(void **state)
{
    (void)state;
    world w;
    static teller t;
    static copied c;
    aios_store *st;
    aios_run *r;
    const aios_event *ev;
    aios_error err = AIOS_INIT(aios_error);
    aios_compact compact = AIOS_INIT(aios_compact);
    aios_run_options o = AIOS_INIT(aios_run_options);
    uint64_t x = 99;
    compact.policy = AIOS_COMPACT_SUMMARISE;
    t = (teller){.n_ctx = 1000, .n_calls = N_CALLS, .lax = true};
    world_open(&w, NULL, "echo:say never");
    aios_model_close(w.model);
    teller_model(w.ctx, &t, &w.model);
    world_tool(&w, make_tool("look", tool_look, NULL));
    must(aios_store_open(w.ctx, "memory:enemies", NULL, &st, &err), &err);
    w.limits.max_turns = 100;
    w.cfg.model = w.model;
    w.cfg.instructions = "be brief";
    w.cfg.compact = &compact;
    w.cfg.store = st;
    world_agent(&w);
    o.prompt = "PROMPT";
    o.n_prompt = AIOS_CSTR;
    o.id = "model";
    must(aios_run_start_with(w.agent, &o, &r, &err), &err);
    while (!aios_run_next(r, -1, &ev))
        ;
    aios_run_free(r);
    must(aios_store_read(st, "run/model", 0, copy_record, &c, &err), &err);
    for (int round = 0; round < 1500; round++) {
        char id[32], stream[40];
        int at = (int)(draw(&x) % (uint32_t)c.count), upto = c.count - (int)(draw(&x) % (uint32_t)c.count);
        uint32_t what = draw(&x) % 5;
        while (what && c.kind[at] != 12) /* mostly those of the context */
            at = (int)(draw(&x) % (uint32_t)c.count);
        snprintf(id, sizeof id, "enemy-%d", round);
        snprintf(stream, sizeof stream, "run/%s", id);
        for (int i = 0; i < (upto > at ? upto : at + 1); i++) {
            size_t n = c.n[i], pos = draw(&x) % n;
            char *p = malloc(n);
            memcpy(p, c.data[i], n);
            if (i == at && what < 3)
                p[pos] = what == 2 ? (char)('0' + draw(&x) % 10) : (char)draw(&x);
            if (i != at || what != 3) /* 3: it is gone; 4: it is there twice */
                put_record(st, stream, i == at && what == 1 ? draw(&x) % 16 : c.kind[i], p, n);
            if (i == at && what == 4)
                put_record(st, stream, c.kind[i], p, n);
            free(p);
        }
        try_journal(&w, st, id);
    }
    for (int i = 0; i < c.count; i++)
        free(c.data[i]);
    aios_store_close(st);
    world_close(&w);
}

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/aios-context-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(store_path, sizeof store_path, "%s/log", dir);
    snprintf(said_path, sizeof said_path, "%s/said", dir);
    sh = mmap(NULL, sizeof *sh, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return sh == MAP_FAILED;
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(store_path);
    unlink(said_path);
    munmap(sh, sizeof *sh);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dropping_survives),
        cmocka_unit_test(summaries_survive),
        cmocka_unit_test(offloading_survives),
        cmocka_unit_test(damaged_records_are_refused_or_read),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
