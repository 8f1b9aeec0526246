/* SPDX-License-Identifier: Apache-2.0 */
/* Runs that die at every commit and at every effect, and go on in another process: nothing twice, nothing lost, what is unknown is said.
 * Each is driven by who waits for it, and by who polls its descriptor, whose commits are on their way meanwhile. */
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "compose_test.h"
#include "log_store.h"

/* What the processes of a case share. */
typedef struct shared {
    log_faults log;
    uint32_t effects;            /* tools that began to act */
    uint32_t kill_before, kill_after; /* effect, from 1 */
    uint32_t n_unknown;          /* UNKNOWN events */
    uint32_t n_eunknown;         /* results that tell the model so */
    uint32_t n_lives;
    int32_t code;                /* of the ERROR that ended the last life */
    int32_t start_code;
    bool sqlite;                 /* the store */
    char asked[65];              /* digest of what was asked in a life that is over; "": nothing */
    int32_t answer;              /* to it */
    uint32_t n_away;             /* answers given between two lives */
} shared;

static shared *sh;
static char dir[64], store_path[96], ledger_path[96], said_path[96];

static bool ledger_has(const char *key)
{
    char line[256];
    bool found = false;
    FILE *f = fopen(ledger_path, "r");
    while (f && fgets(line, sizeof line, f) && !found)
        found = strstr(line, key) != NULL;
    if (f)
        fclose(f);
    return found;
}

/* The effect: a line in a file that nothing takes back. */
static void act(const aios_call *call)
{
    char line[256];
    uint32_t number = __atomic_add_fetch(&sh->effects, 1, __ATOMIC_SEQ_CST);
    if (number == sh->kill_before)
        _exit(9);
    int n = snprintf(line, sizeof line, "%s %s %.150s\n", aios_call_key(call), aios_call_name(call), aios_call_args(call));
    int fd = open(ledger_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line, (size_t)n) != n)
        _exit(3);
    close(fd);
    if (number == sh->kill_after)
        _exit(9);
}

static int tool_act(void *user, aios_call *call)
{
    (void)user;
    act(call);
    return aios_call_finish(call, 0, "acted", AIOS_CSTR);
}

/* Its other end knows the key. */
static int tool_keyed(void *user, aios_call *call)
{
    (void)user;
    if (!ledger_has(aios_call_key(call)))
        act(call);
    return aios_call_finish(call, 0, "acted", AIOS_CSTR);
}

/* What it gives stays outside of the context. */
static int tool_mail(void *user, aios_call *call)
{
    char text[128];
    (void)user;
    snprintf(text, sizeof text, "mail of %.100s", aios_call_args(call));
    return aios_call_finish(call, 0, text, AIOS_CSTR);
}

static int find_out(void *user, aios_call *call)
{
    (void)user;
    bool had = ledger_has(aios_call_key(call));
    return aios_call_finish(call, had ? 0 : AIOS_ENOENT, had ? "acted" : NULL, AIOS_CSTR);
}

static int cannot_tell(void *user, aios_call *call)
{
    (void)user;
    (void)call;
    return AIOS_EIO;
}

static void add_tool(world *w, const char *name, aios_tool_fn *fn, int32_t effect, uint32_t flags, int (*reconcile)(void *, aios_call *))
{
    aios_tool t = make_tool(name, fn, NULL);
    t.effect = effect;
    t.flags = flags;
    t.reconcile = reconcile;
    world_tool(w, t);
}

static int allow_all(void *user, const aios_action *a, aios_verdict *out)
{
    (void)user;
    out->verdict = !strncmp(a->tool, "ask_", 4) ? AIOS_ASK : AIOS_ALLOW;
    return 0;
}

typedef struct scenario {
    const char *name, *script;
    int32_t unknown; /* what the host says of what nobody knows */
    bool at_most_once; /* an effect may be missing, if it was said to be unknown */
    const char *policy; /* with ' for "; NULL: decide alone */
    bool away; /* who is asked answers when the program is gone */
} scenario;

#define COUNTS "{'version':1,'capabilities':[{'tool':'keyed','max_calls':2},{'tool':'local','cost':'/n','max_cost':5.5},{'tool':'add','max_calls':1}]}"
#define HIDES "{'version':1,'endorse_bits':2,'rule_of_two':false,'capabilities':[{'tool':'mail','results':'handle'},{'tool':'extract'}," \
              "{'tool':'keyed','confidentiality':'any'},{'tool':'local','integrity':'tool'},{'tool':'sure','confidentiality':'any'}]}"
#define ASKS "{'version':1,'ask':{'budget':3},'capabilities':[{'tool':'ask_*','verdict':'ask'},{'tool':'keyed','max_calls':1},{'tool':'sure','verdict':'ask'}]}"
#define ABOVE "{'version':1,'ask':{'budget':1},'capabilities':[{'tool':'helper'},{'tool':'keyed','max_calls':2},{'tool':'sure'},{'tool':'ask_local','verdict':'ask'}]}"
#define SO(n) "call extract {\"handle\":\"$v1\",\"schema\":{\"enum\":[true," #n "]},\"question\":\"so?\"}"
#define ASKED "echo:say true;turn;call ask_local {\"n\":1};call ask_keyed {\"n\":2};call keyed {\"n\":3};turn;call sure {\"n\":4};call keyed {\"n\":5};turn;" \
              "call ask_keyed {\"n\":6};turn;say all asked"

static const scenario scenarios[] = {
    {.name = "no tools", .script = "echo:say hello world"},
    {.name = "read", .script = "echo:call add {\"a\":1,\"b\":2};turn;call add {\"a\":3,\"b\":2};turn;say done"},
    {.name = "keyed", .script = "echo:call keyed {\"n\":1};turn;call keyed {\"n\":2};turn;say paid"},
    {.name = "unsafe with reconcile", .script = "echo:call sure {\"n\":1};turn;call add {\"a\":1,\"b\":2};turn;call sure {\"n\":2};turn;say sent"},
    {.name = "unsafe, denied", .script = "echo:call blind {\"n\":1};turn;call blind {\"n\":2};turn;say sent", .unknown = AIOS_DENY, .at_most_once = true},
    {.name = "unsafe, cannot tell", .script = "echo:call mute {\"n\":1};turn;say sent", .unknown = AIOS_DENY, .at_most_once = true},
    {.name = "local, many at once, some asked",
     .script = "echo:call local {\"n\":1};call add {\"a\":1,\"b\":2};call ask_local {\"n\":2};call keyed_thread {\"n\":3};call ask_keyed {\"n\":4};call nobody {};turn;"
     "call local {\"n\":5};call local {\"n\":6};turn;say all done"},
    {.name = "rules that count", .policy = COUNTS, .unknown = AIOS_DENY,
     .script = "echo:say true;turn;call keyed {\"n\":1};call local {\"n\":2};turn;call keyed {\"n\":2};call local {\"n\":4};call add {\"a\":1,\"b\":2};turn;call keyed {\"n\":3};"
               "call local {\"n\":3};call add {\"a\":3,\"b\":2};turn;call local {\"n\":1};turn;say done"},
    {.name = "handles", .policy = HIDES, .unknown = AIOS_DENY,
     .script = "echo:say true;turn;call mail {\"n\":1};turn;call keyed {\"to\":\"$v1\"};call mail {\"n\":2};call sure {\"to\":\"$v2\"};turn;" SO(1)
               ";call sure {\"to\":[\"$v2\"]};turn;call keyed {\"to\":\"$v1 $v2\",\"cc\":\"$v2\"};turn;call local {\"n\":1};turn;say done"},
    {.name = "extractions", .policy = HIDES, .unknown = AIOS_DENY, /* two bits are trusted: local goes until the third */
     .script = "echo:say true;turn;call mail {\"n\":1};turn;" SO(1) ";turn;call local {\"n\":1};" SO(2) ";turn;call local {\"n\":2};" SO(3)
               ";turn;call local {\"n\":3};turn;say done"},
    {.name = "handles without rules", .unknown = AIOS_DENY,
     .script = "echo:say true;turn;call mail {\"n\":1};turn;call sure {\"to\":\"$v1\"};call mail {\"n\":2};turn;call keyed {\"to\":\"$v2\"};turn;say done"},
    {.name = "asks with digests", .policy = ASKS, .script = ASKED},
    {.name = "answered while it is gone", .policy = ASKS, .script = ASKED, .away = true},
    {.name = "agents that are called, two at once", .script = "echo:call keyed {\"n\":1};turn;call helper {\"prompt\":\"a\"};call helper {\"prompt\":\"b\"};turn;say helped"},
    {.name = "agents that are called, under rules that count", .policy = ABOVE, .unknown = AIOS_DENY,
     .script = "echo:say true;turn;call keyed {\"n\":1};turn;call helper {\"prompt\":\"a\"};turn;call helper {\"prompt\":\"b\"};turn;call keyed {\"n\":4};turn;say helped"},
    {.name = "handed over and back", .script = "echo:call keyed {\"n\":1};turn;call transfer_to_desk {};turn;turn;turn;call sure {\"n\":4};turn;say home again"},
};
static const char helper_script[] = "echo:call sure {\"n\":1};turn;call ask_local {\"n\":2};call keyed {\"n\":3};turn;say did it";
static const char desk_script[] = "echo:turn;turn;call sure {\"n\":2};call ask_local {\"n\":3};turn;call transfer_to_first {}";

static aios_store *open_sqlite(aios_ctx *ctx)
{
    char uri[128];
    aios_store *st = NULL;
    aios_error err = AIOS_INIT(aios_error);
    snprintf(uri, sizeof uri, "sqlite:%s", store_path);
    int rc = aios_store_open(ctx, uri, NULL, &st, &err);
    if (rc) {
        fprintf(stderr, "%s\n", err.msg);
        sh->start_code = rc;
        _exit(8);
    }
    return st;
}

static aios_rules *parse_rules(aios_ctx *ctx, const char *policy)
{
    char json[1024];
    aios_rules *rules = NULL;
    aios_error err = AIOS_INIT(aios_error);
    snprintf(json, sizeof json, "%s", policy);
    for (char *s = json; *s; s++)
        *s = *s == '\'' ? '"' : *s;
    if (aios_rules_parse(ctx, json, AIOS_CSTR, &rules, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        _exit(8);
    }
    return rules;
}

/* What was asked in an earlier life is answered before the next; if that life's end came between, it has been. */
static void answer_asked(aios_ctx *ctx, aios_store *st)
{
    aios_error err = AIOS_INIT(aios_error);
    int rc = sh->asked[0] ? aios_run_approve(ctx, st, "r", sh->asked, sh->answer, &err) : 0;
    if (rc && rc != AIOS_ENOENT) {
        sh->start_code = rc;
        _exit(7);
    }
    sh->n_away += sh->asked[0] && !rc;
    sh->asked[0] = 0;
}

static void add_acting(world *w)
{
    add_tool(w, "keyed", tool_keyed, AIOS_EFFECT_KEYED, 0, NULL);
    add_tool(w, "sure", tool_act, AIOS_EFFECT_UNSAFE, 0, find_out);
    add_tool(w, "ask_local", tool_act, AIOS_EFFECT_LOCAL, AIOS_TOOL_ANY_THREAD, find_out);
}

/* The agent "helper", over the store of the one that calls it. */
static void add_helper(world *w)
{
    other o;
    other_open(w, &o, helper_script);
    world of = {.ts = o.ts};
    add_acting(&of);
    o.policy.decide = allow_all;
    o.cfg.store = w->cfg.store;
    other_agent(w, &o);
    add_agent(w->ts, o.agent, "helper");
    other_close(&o);
}

/* The agent "desk", to which the first one may hand over, and back. */
static aios_agent *new_desk(world *w)
{
    other o;
    aios_handoff back = AIOS_INIT(aios_handoff);
    back.name = "first";
    other_open(w, &o, desk_script);
    world of = {.ts = o.ts};
    add_acting(&of);
    o.policy.decide = allow_all;
    o.cfg.handoffs = &back;
    o.cfg.handoff_stride = sizeof back;
    o.cfg.n_handoffs = 1;
    other_agent(w, &o);
    aios_agent *a = o.agent;
    o.agent = NULL;
    other_close(&o);
    return a;
}

static void open_world(world *w, const scenario *s)
{
    aios_error err = AIOS_INIT(aios_error);
    world_open(w, NULL, s->script);
    add_acting(w);
    add_tool(w, "keyed_thread", tool_keyed, AIOS_EFFECT_KEYED, AIOS_TOOL_ANY_THREAD, NULL);
    add_tool(w, "ask_keyed", tool_keyed, AIOS_EFFECT_KEYED, 0, NULL);
    add_tool(w, "blind", tool_act, AIOS_EFFECT_UNSAFE, 0, NULL);
    add_tool(w, "mute", tool_act, AIOS_EFFECT_UNSAFE, 0, cannot_tell);
    add_tool(w, "local", tool_act, AIOS_EFFECT_LOCAL, AIOS_TOOL_TRUSTED, find_out);
    add_tool(w, "mail", tool_mail, AIOS_EFFECT_READ, AIOS_TOOL_HANDLE, NULL);
    must(aios_toolset_add_extract(w->ts, &err), &err);
    w->policy.decide = s->policy ? NULL : allow_all;
    w->policy.rules = s->policy ? parse_rules(w->ctx, s->policy) : NULL;
    w->cfg.store = sh->sqlite ? open_sqlite(w->ctx) : log_store_open(w->ctx, store_path, &sh->log);
    w->cfg.instructions = "be brief";
    add_helper(w);
    aios_handoff desk = AIOS_INIT(aios_handoff);
    desk.name = "desk";
    desk.agent = new_desk(w);
    w->cfg.handoffs = &desk;
    w->cfg.handoff_stride = sizeof desk;
    w->cfg.n_handoffs = 1;
    world_agent(w);
    answer_asked(w->ctx, w->cfg.store);
    aios_rules_free(w->policy.rules);
    aios_agent_free(desk.agent);
    aios_store_close(w->cfg.store);
}

static int write_file(void *user, const void *p, size_t n)
{
    return fwrite(p, 1, n, user) == n ? 0 : AIOS_EIO;
}

/* False: nobody is here to answer. */
static bool answer(aios_run *r, const scenario *s, const aios_event *ev)
{
    bool unknown = ev->type == AIOS_EVENT_UNKNOWN;
    int32_t verdict = unknown ? s->unknown : s->policy && !strcmp(ev->name, "ask_local") ? AIOS_DENY : AIOS_ALLOW;
    if (s->away && !unknown) {
        sh->answer = verdict;
        snprintf(sh->asked, sizeof sh->asked, "%s", ev->digest ? ev->digest : ev->call_id);
        return false;
    }
    sh->n_unknown += unknown;
    if (ev->digest ? aios_run_decide_digest(r, ev->digest, verdict, NULL) : aios_run_decide(r, ev->call_id, verdict, NULL))
        _exit(4);
    return true;
}

static bool polled;

/* Without waiting inside of the run, where that is what is tried; a wake that does not come ends the life. */
static int next_event(aios_run *r, const aios_event **ev)
{
    int rc;
    struct pollfd p = {.fd = polled ? aios_run_fd(r) : -1, .events = POLLIN};
    if (!polled || sh->asked[0])
        return aios_run_next(r, -1, ev);
    while ((rc = aios_run_next(r, 0, ev)) == AIOS_AGAIN)
        if (poll(&p, 1, 20000) != 1)
            _exit(6);
    return rc;
}

static void drive(aios_run *r, const scenario *s)
{
    const aios_event *ev;
    while (!next_event(r, &ev)) {
        if (ev->type == AIOS_EVENT_ASK || ev->type == AIOS_EVENT_UNKNOWN) {
            if (!answer(r, s, ev))
                continue;
        } else if (ev->type == AIOS_EVENT_RESULT && ev->code == AIOS_EUNKNOWN) {
            sh->n_eunknown++;
        } else if (ev->type == AIOS_EVENT_ERROR) {
            sh->code = ev->error->code;
        } else if (ev->type == AIOS_EVENT_DONE) {
            FILE *f = fopen(said_path, "w");
            if (!f || aios_transcript_write_json(aios_run_transcript(r), write_file, f, NULL))
                _exit(5);
            fclose(f);
        }
    }
}

enum { AWAY = 10 };

/* One life of the program: starts the run or goes on with it. Exit 0: it is done; 7: it ended by a failure; AWAY: it waits for an answer. */
static void live(const scenario *s)
{
    world w;
    aios_run *r = NULL;
    aios_error err = AIOS_INIT(aios_error);
    open_world(&w, s);
    aios_run_options o = AIOS_INIT(aios_run_options);
    o.prompt = "go";
    o.n_prompt = AIOS_CSTR;
    o.id = "r";
    if (!strncmp(s->script, "echo:say true;", 14)) { /* that turn is for extractions: the run has it behind it */
        must(aios_transcript_new(w.ctx, &o.transcript, &err), &err);
        add_reply(o.transcript);
    }
    int rc = aios_run_resume(w.agent, "r", &r, &err);
    if (rc == AIOS_ENOENT)
        rc = aios_run_start_with(w.agent, &o, &r, &err);
    sh->code = 0;
    sh->start_code = rc;
    if (rc)
        _exit(7);
    drive(r, s);
    aios_run_free(r);
    aios_transcript_free(o.transcript);
    world_close(&w);
    _exit(sh->code ? 7 : sh->asked[0] ? AWAY : 0);
}

static int run_one_life(const scenario *s)
{
    int status;
    sh->n_lives++;
    pid_t pid = fork();
    if (!pid)
        live(s);
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    if (!WIFEXITED(status))
        fail_msg("%s: a life ended by signal %d", s->name, WTERMSIG(status));
    return WEXITSTATUS(status);
}

/* Lives that end since nobody is there to answer are one. */
static int run_life(const scenario *s)
{
    int rc;
    while ((rc = run_one_life(s)) == AWAY)
        ;
    return rc;
}

static void begin_case(void)
{
    static const char *const more[] = {"", "-wal", "-shm", "-lock", "-journal", ".lock"};
    memset(sh, 0, sizeof *sh);
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", store_path, more[i]);
        unlink(path);
    }
    unlink(ledger_path);
    unlink(said_path);
}

static void clear_faults(void)
{
    sh->log.die_before = sh->log.die_after = sh->log.fail_at = sh->log.fail_read_at = 0;
    sh->kill_before = sh->kill_after = 0;
}

static size_t read_whole(const char *path, char *out, size_t n)
{
    FILE *f = fopen(path, "r");
    size_t got = f ? fread(out, 1, n - 1, f) : 0;
    out[got] = 0;
    if (f)
        fclose(f);
    return got;
}

/* Lines of the ledger; fails if a key stands there twice, or an effect that an undisturbed run has not (ledger; NULL: it is that). */
static uint32_t count_ledger(const char *where, char *text, size_t size, const char *right)
{
    uint32_t n = 0;
    read_whole(ledger_path, text, size);
    for (char *p = text; *p; p = strchr(p, '\n') + 1, n++) {
        char line[256];
        snprintf(line, sizeof line, "%.*s\n", (int)strcspn(p, "\n") - 32, p + 32); /* without what names the run */
        if (right && !strstr(right, line))
            fail_msg("%s: an effect that nobody wanted: %s", where, line);
        char key[49];
        memcpy(key, p, 48);
        key[48] = 0;
        if (strstr(strchr(p, '\n'), key))
            fail_msg("%s: the effect of %s happened twice", where, key);
    }
    return n;
}

/* What an undisturbed run has: text of its transcript, commits, effects. */
typedef struct truth {
    char said[65536], ledger[8192];
    uint32_t commits, effects, reads, n_away;
} truth;

static void find_truth(const scenario *s, truth *t)
{
    begin_case();
    assert_int_equal(run_life(s), 0);
    t->commits = sh->log.commits;
    t->reads = sh->log.reads;
    t->n_away = sh->n_away;
    t->effects = count_ledger(s->name, t->ledger, sizeof t->ledger, NULL);
    assert_true(read_whole(said_path, t->said, sizeof t->said) > 0);
}

static void check_end(const scenario *s, const truth *t, const char *where)
{
    static char said[65536], ledger[8192];
    uint32_t n = count_ledger(where, ledger, sizeof ledger, t->ledger);
    read_whole(said_path, said, sizeof said);
    if (sh->n_eunknown ? !s->at_most_once : n != t->effects || strcmp(said, t->said))
        fail_msg("%s: %u effects where %u are right, %u unknown; said\n%s\nin place of\n%s", where, n, t->effects, sh->n_eunknown, said, t->said);
    if (n + sh->n_eunknown < t->effects || n > t->effects)
        fail_msg("%s: %u effects of %u, only %u told as unknown", where, n, t->effects, sh->n_eunknown);
    if (sh->n_away > t->n_away)
        fail_msg("%s: %u answers were taken, %u are right", where, sh->n_away, t->n_away);
    if (sh->n_unknown < sh->n_eunknown)
        fail_msg("%s: %u calls are unknown to the model, %u were told to the host", where, sh->n_eunknown, sh->n_unknown);
}

enum { DIE_BEFORE, DIE_AFTER, KILL_BEFORE, KILL_AFTER, DEATHS };

static void set_death(int how, uint32_t at)
{
    static uint32_t none;
    uint32_t *const places[DEATHS] = {&sh->log.die_before, &sh->log.die_after, &sh->kill_before, &sh->kill_after};
    uint32_t *p = how < DEATHS ? places[how] : &none;
    *p = at + (how < KILL_BEFORE ? sh->log.commits : sh->effects);
}

/* Dies at the place given, then lives on, to die again at the other. False: the first place does not exist. */
static bool run_case(const scenario *s, const truth *t, int how, uint32_t at, int how2, uint32_t at2)
{
    char where[160];
    snprintf(where, sizeof where, "%s: death %d at %u, then %d at %u", s->name, how, at, how2, at2);
    begin_case();
    set_death(how, at);
    int rc = run_life(s);
    clear_faults();
    if (!rc)
        return false;
    if (rc != 9)
        fail_msg("%s: the first life ended with %d (%d)", where, rc, sh->code ? sh->code : sh->start_code);
    if (at2) {
        set_death(how2, at2);
        rc = run_life(s);
        clear_faults();
        if (rc && rc != 9)
            fail_msg("%s: the second life ended with %d (%d)", where, rc, sh->code ? sh->code : sh->start_code);
    }
    rc = run_life(s);
    if (rc)
        fail_msg("%s: the last life ended with %d (%d)", where, rc, sh->code ? sh->code : sh->start_code);
    check_end(s, t, where);
    return true;
}

static void run_dies_everywhere_and_goes_on(void **state)
{
    static truth t;
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        const scenario *s = &scenarios[i];
        uint32_t n = 0;
        find_truth(s, &t);
        for (int how = 0; how < DEATHS; how++)
            for (uint32_t at = 1; run_case(s, &t, how, at, 0, 0); at++)
                n++;
        /* receipts of threads may come together or not, and commits of who polls */
        assert_true(n + (polled ? t.commits : 4) >= 2 * t.commits + 2 * t.effects);
        print_message("%s: %u commits, %u effects, %u deaths\n", s->name, t.commits, t.effects, n);
    }
}

/* Of first deaths, and by chance. Where processes are slow it is memory that is looked at, and this file runs without it too. */
#ifdef __SANITIZE_ADDRESS__
enum { EACH = 5, KILLS = 60 };
#else
enum { EACH = 1, KILLS = 500 };
#endif

static void run_dies_twice(void **state)
{
    static truth t;
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        const scenario *s = &scenarios[i];
        find_truth(s, &t);
        for (int how = 0; how < DEATHS; how++)
            for (uint32_t at = 1; run_case(s, &t, how, at, 0, 0); at += EACH)
                for (int how2 = 0; how2 < DEATHS; how2++)
                    for (uint32_t at2 = 1; at2 <= 3; at2++)
                        run_case(s, &t, how, at, how2, at2);
    }
}

/* A commit that fails ends that life with its code; the last state is whole, and the next life goes on from it. */
static void commit_that_fails_stops_the_run_before_the_effect(void **state)
{
    static truth t;
    static const int32_t codes[][2] = {{AIOS_EIO, 5}, {AIOS_EIO, 28}, {AIOS_ECONFLICT, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        const scenario *s = &scenarios[i];
        find_truth(s, &t);
        for (uint32_t at = 1; at <= t.commits; at++)
            for (size_t k = 0; k < 3; k++) {
                char where[160];
                snprintf(where, sizeof where, "%s: commit %u fails with %d", s->name, at, codes[k][0]);
                begin_case();
                sh->log.fail_at = at;
                sh->log.fail_code = codes[k][0];
                sh->log.fail_sys = codes[k][1];
                int rc = run_life(s);
                if (!rc && (sh->log.commits < at || sh->log.failed_joint)) {
                    check_end(s, &t, where);
                    continue; /* receipts of threads that came together this time; or runs, whose commits were made one by one then */
                }
                int32_t code = sh->start_code ? sh->start_code : sh->code;
                if (rc != 7 || code != codes[k][0])
                    fail_msg("%s: ended with %d, code %d", where, rc, code);
                clear_faults();
                assert_int_equal(run_life(s), 0);
                check_end(s, &t, where);
            }
    }
}

/* The same where the store cannot read. */
static void read_that_fails_changes_nothing(void **state)
{
    static truth t;
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        const scenario *s = &scenarios[i];
        find_truth(s, &t);
        for (uint32_t cut = 1; cut <= t.commits; cut++)
            for (uint32_t at = 1; at <= t.reads; at++) {
                char where[160];
                snprintf(where, sizeof where, "%s: read %u behind commit %u fails", s->name, at, cut);
                begin_case();
                sh->log.die_after = cut;
                run_life(s);
                clear_faults();
                sh->log.fail_read_at = sh->log.reads + at;
                int rc = run_life(s);
                bool hit = sh->log.reads >= sh->log.fail_read_at;
                if (hit ? rc != 7 || (sh->start_code ? sh->start_code : sh->code) != AIOS_EIO : rc)
                    fail_msg("%s: ended with %d, code %d", where, rc, sh->start_code ? sh->start_code : sh->code);
                clear_faults();
                assert_int_equal(run_life(s), 0);
                check_end(s, &t, where);
            }
    }
}

/* ---- at random, over SQLite --------------------------------------------------------------------------------------- */

static uint32_t n_kills = KILLS, seed = 2463534242u;

/* A life that is killed after some time, unless it ends before. */
static int run_killed_life(const scenario *s, uint32_t us)
{
    int status;
    sh->n_lives++;
    pid_t pid = fork();
    if (!pid)
        live(s);
    struct timespec ts = {.tv_nsec = (long)us * 1000};
    nanosleep(&ts, NULL);
    kill(pid, SIGKILL);
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* How long a life takes that nobody kills, in microseconds. */
static uint32_t time_life(const scenario *s)
{
    struct timespec from, to;
    begin_case();
    sh->sqlite = true;
    clock_gettime(CLOCK_MONOTONIC, &from);
    assert_int_equal(run_life(s), 0);
    clock_gettime(CLOCK_MONOTONIC, &to);
    int64_t us = (to.tv_sec - from.tv_sec) * INT64_C(1000000) + (to.tv_nsec - from.tv_nsec) / 1000;
    return us > 200000 ? 200000 : (uint32_t)us + 1;
}

static void run_is_killed_at_random(void **state)
{
    static truth truths[sizeof scenarios / sizeof *scenarios];
    static uint32_t spans[sizeof scenarios / sizeof *scenarios];
    (void)state;
    size_t n_scenarios = sizeof scenarios / sizeof *scenarios;
    uint32_t killed = 0, runs = 0, unknown = 0;
    aios_ctx *ctx = test_ctx(NULL, 0);
    char uri[128];
    aios_store *st = NULL;
    snprintf(uri, sizeof uri, "sqlite:%s", store_path);
    int rc = aios_store_open(ctx, uri, NULL, &st, NULL);
    aios_store_close(st);
    aios_ctx_free(ctx);
    if (rc == AIOS_ENOTSUP)
        skip();
    for (size_t i = 0; i < n_scenarios; i++) {
        find_truth(&scenarios[i], &truths[i]);
        spans[i] = time_life(&scenarios[i]);
    }
    while (killed < n_kills) {
        const scenario *s = &scenarios[runs % n_scenarios];
        char where[96];
        begin_case();
        sh->sqlite = true;
        do {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            rc = sh->n_lives < 40 ? run_killed_life(s, seed % spans[runs % n_scenarios]) : run_life(s);
            killed += rc == -1;
        } while (rc == -1 || rc == AWAY);
        snprintf(where, sizeof where, "%s, run %u of SQLite, life %u", s->name, runs, sh->n_lives);
        if (rc)
            fail_msg("%s: it ended with %d (%d)", where, rc, sh->start_code ? sh->start_code : sh->code);
        unknown += sh->n_eunknown;
        check_end(s, &truths[runs++ % n_scenarios], where);
    }
    print_message("%u kills in %u runs; %u calls told as unknown\n", killed, runs, unknown);
}

static int set_up(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    sh = mmap(NULL, sizeof *sh, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    snprintf(dir, sizeof dir, "%s/aios-crash-XXXXXX", tmp && strlen(tmp) < 32 ? tmp : "/tmp");
    if (sh == MAP_FAILED || !mkdtemp(dir))
        return -1;
    snprintf(store_path, sizeof store_path, "%s/store", dir);
    snprintf(ledger_path, sizeof ledger_path, "%s/ledger", dir);
    snprintf(said_path, sizeof said_path, "%s/said", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    begin_case();
    rmdir(dir);
    munmap(sh, sizeof *sh);
    return 0;
}

/* test_crash polled: by who polls. The long mode is test_crash 20000 [SEED] [polled]: kills alone. */
int main(int argc, char **argv)
{
    polled = argc > 1 && !strcmp(argv[argc - 1], "polled");
    argc -= polled;
    if (argc > 1)
        n_kills = (uint32_t)atoi(argv[1]);
    if (argc > 2)
        seed = (uint32_t)atoi(argv[2]) | 1;
    if (argc > 1)
        cmocka_set_test_filter("run_is_killed_at_random");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(run_dies_everywhere_and_goes_on),
        cmocka_unit_test(run_dies_twice),
        cmocka_unit_test(commit_that_fails_stops_the_run_before_the_effect),
        cmocka_unit_test(read_that_fails_changes_nothing),
        cmocka_unit_test(run_is_killed_at_random),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
