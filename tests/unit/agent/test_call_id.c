/* SPDX-License-Identifier: Apache-2.0 */
/* Ids that models and servers give their calls: whatever they are, a call of a run has one of its own, and answers reach what they are for. */
#include "compose_test.h"

#define X64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X256 X64 X64 X64 X64
#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* ---- a model that names its calls --------------------------------------------------------------------------------- */

typedef struct said {
    const char *id, *name, *args; /* name NULL: the turn is over; id may be NULL */
} said;

/** Says a turn of calls after the other, then "done". */
typedef struct namer {
    const said *turns[8];
    uint32_t n_results; /* in the last request */
    uint64_t sum;       /* of the ids in the last request */
} namer;

static int namer_open(void *user, const aios_backend_open_args *args, void **model, aios_error *err)
{
    (void)args, (void)err;
    *model = user;
    return 0;
}

static void namer_close(void *p)
{
    (void)p;
}

static int namer_info(void *model, aios_model_info *out)
{
    (void)model;
    out->name = "namer";
    out->privacy = AIOS_PRIVACY_LOCAL;
    out->flags = AIOS_MODEL_CAN_TOOLS;
    return 0;
}

static int namer_session(void *model, const aios_session_config *cfg, void **session, aios_error *err)
{
    (void)cfg, (void)err;
    *session = model;
    return 0;
}

/* What a server checks: each result is of the call in its place, and no two calls have one id. */
static int namer_start(void *session, const aios_request *q, aios_error *err)
{
    enum { MOST = 2048 };
    static const char *ids[MOST];
    namer *m = session;
    uint32_t n = 0, answered = 0;
    (void)err;
    for (uint32_t i = 0; i < aios_transcript_count(q->transcript); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(q->transcript, i, &e);
        for (uint32_t k = 0; k < e.n_parts; k++) {
            const char *id = e.parts[k].call_id;
            if (e.parts[k].kind == AIOS_PART_RESULT)
                assert_string_equal(id, ids[answered++]);
            if (e.parts[k].kind != AIOS_PART_CALL)
                continue;
            for (uint32_t j = 0; j < n; j++)
                assert_string_not_equal(ids[j], id);
            assert_true(n < MOST);
            ids[n++] = id;
        }
    }
    assert_int_equal(answered, n);
    m->n_results = answered;
    return 0;
}

/* The turn follows from the transcript, as a server's does: a resumed run gets what it would have got. */
static int namer_step(void *session, const aios_sink *k, aios_error *err)
{
    const namer *m = session;
    uint32_t turn = 0, before = 0;
    int rc = 0;
    (void)err;
    while (m->turns[turn] && before < m->n_results) {
        for (const said *c = m->turns[turn]; c->name; c++)
            before++;
        turn++;
    }
    if (!m->turns[turn])
        return k->text(k->user, "done", 4) ? AIOS_ECANCELED : AIOS_DONE;
    for (const said *c = m->turns[turn]; c->name && !rc; c++)
        rc = k->call(k->user, c->name, c->args, strlen(c->args), c->id);
    return rc ? rc : AIOS_DONE;
}

static aios_model *namer_model(aios_ctx *ctx, const char *name, namer *m)
{
    char uri[32];
    aios_error err = AIOS_INIT(aios_error);
    aios_model *out = NULL;
    aios_backend_ops ops = AIOS_INIT(aios_backend_ops);
    ops.name = name;
    ops.open = namer_open;
    ops.close = namer_close;
    ops.info = namer_info;
    ops.session_new = namer_session;
    ops.session_free = namer_close;
    ops.start = namer_start;
    ops.step = namer_step;
    ops.cancel = namer_close;
    must(aios_backend_register(ctx, &ops, m, &err), &err);
    snprintf(uri, sizeof uri, "%s:", name);
    must(aios_model_open(ctx, uri, NULL, &out, &err), &err);
    return out;
}

/* ---- its world ---------------------------------------------------------------------------------------------------- */

static char done_with[4096]; /* arguments of the calls of "act" that were made */

static int tool_act(void *user, aios_call *call)
{
    (void)user;
    snprintf(done_with + strlen(done_with), sizeof done_with - strlen(done_with), "%s", aios_call_args(call));
    return aios_call_finish(call, 0, "acted", AIOS_CSTR);
}

/* "look" reads, "act" does not and is asked about. */
static void open_named(world *w, namer *m)
{
    world_open(w, NULL, "echo:");
    aios_model_close(w->model);
    w->cfg.model = w->model = namer_model(w->ctx, "namer", m);
    world_tool(w, make_tool("look", tool_act, NULL));
    aios_tool act = make_tool("act", tool_act, NULL);
    act.effect = AIOS_EFFECT_UNSAFE;
    world_tool(w, act);
    done_with[0] = 0;
}

/* The ids of its calls, a blank behind each; every call has its result. */
static void ids_of(aios_run *r, char *out, size_t n)
{
    const aios_event *ev;
    size_t at = 0, results = 0;
    static char seen[8192];
    *out = seen[0] = 0;
    while (!aios_run_next(r, -1, &ev)) {
        if (ev->type == AIOS_EVENT_ERROR)
            fail_msg("%s", ev->error->msg);
        if (ev->type == AIOS_EVENT_CALL)
            at += (size_t)snprintf(out + at, n - at, "%s ", ev->call_id);
        if (ev->type == AIOS_EVENT_RESULT)
            results += (size_t)snprintf(seen + results, sizeof seen - results, "%s ", ev->call_id);
    }
    assert_string_equal(out, seen);
}

static void check_ids(const said *first, const said *second, const char *want)
{
    world w;
    namer m = {.turns = {first, second}};
    static char ids[8192];
    open_named(&w, &m);
    world_agent(&w);
    aios_run *r = world_start(&w, NULL, "go");
    ids_of(r, ids, sizeof ids);
    assert_string_equal(ids, want);
    aios_run_free(r);
    world_close(&w);
}

/* ---- which are kept, and which not -------------------------------------------------------------------------------- */

static void ids_of_servers_are_kept(void **state)
{
    static const said turn[] = {{"call_Xy12abcdEFGH", "look", "{\"n\":1}"}, {"toolu_01A09q90qw90lq917835lq9", "look", "{\"n\":2}"},
                                {"functions.look:0", "look", "{\"n\":3}"}, {"9Yk2LmQpZ", "look", "{\"n\":4}"}, {X256, "look", "{\"n\":5}"},
                                {"a+b=c@d,e", "look", "{\"n\":6}"}, {"call_7", "look", "{\"n\":7}"}, {"f-c", "look", "{\"n\":8}"}, {0}};
    (void)state;
    check_ids(turn, NULL, "call_Xy12abcdEFGH toolu_01A09q90qw90lq917835lq9 functions.look:0 9Yk2LmQpZ " X256 " a+b=c@d,e call_7 f-c ");
}

static void what_is_no_name_is_named_here(void **state)
{
    static const char *const bad[] = {"", NULL, "a/b", "/", "call_1/call_1", X256 "x", "a\x01", "\x1b[2J", "\n", "a b", " ", "\xc3\xa9",
                                      "\xe2\x80\xae" "evil", "$(reboot)", "a;b", "'", "\"", "`id`", "-rf", "a\x7f", HEX64, "deadbeef",
                                      "0123ABCD",
                                      "call_0", "call_007", "call_1000000000", "call_18446744073709551615", "call_99999999999999999999999999"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const said turn[] = {{bad[i], "look", "{}"}, {bad[i], "look", "{\"n\":1}"}, {0}}, next[] = {{bad[i], "look", "{\"n\":2}"}, {0}};
        check_ids(turn, next, "call_1 call_2 call_3 ");
    }
}

static void one_that_is_taken_is_given_once(void **state)
{
    static const said twice[] = {{"x", "look", "{\"n\":1}"}, {"x", "look", "{\"n\":2}"}, {"y", "look", "{\"n\":3}"}, {0}};
    static const said again[] = {{"y", "look", "{\"n\":4}"}, {"x", "look", "{\"n\":5}"}, {"z", "look", "{\"n\":6}"}, {0}};
    static const said numbers[] = {{"call_2", "look", "{\"n\":1}"}, {NULL, "look", "{\"n\":2}"}, {"call_2", "look", "{\"n\":3}"},
                                   {"call_1", "look", "{\"n\":4}"}, {"call_1", "look", "{\"n\":5}"}, {NULL, "look", "{\"n\":6}"}, {0}};
    static const said more[] = {{"call_1", "look", "{\"n\":7}"}, {NULL, "look", "{\"n\":8}"}, {"call_10", "look", "{\"n\":9}"}, {0}};
    (void)state;
    check_ids(twice, again, "x call_1 y call_2 call_3 z ");
    check_ids(numbers, more, "call_2 call_3 call_4 call_1 call_5 call_6 call_7 call_8 call_10 ");
}

/* A host's own transcript, with a number behind which there are no more that are counted. */
static void ids_of_the_transcript_are_taken(void **state)
{
    static const said turn[] = {{"mine", "look", "{\"n\":1}"}, {NULL, "look", "{\"n\":2}"}, {"call_999999999", "look", "{\"n\":3}"}, {0}};
#define PART(kind, id, text) "{\"kind\":\"" kind "\",\"name\":\"look\",\"call_id\":\"" id "\",\"text\":\"" text "\"}"
#define LABEL(label) "\"label\":\"" label "\",\"parts\":["
    static const char before[] =
        "{\"aios_transcript\":1,\"entries\":[{\"id\":1,\"role\":\"user\"," LABEL("user") "{\"kind\":\"text\",\"text\":\"go\"}]},"
        "{\"id\":2,\"role\":\"assistant\"," LABEL("untrusted") PART("call", "mine", "{}") "," PART("call", "call_999999999999999999", "{}") ","
        PART("call", "call_1000000000000000000", "{}") "]},{\"id\":3,\"role\":\"tool\"," LABEL("untrusted") PART("result", "mine", "a") ","
        PART("result", "call_999999999999999999", "b") "," PART("result", "call_1000000000000000000", "c") "]}]}";
    static const said first[] = {{"", "", ""}, {"", "", ""}, {"", "", ""}, {0}}; /* stands for these */
    (void)state;
    world w;
    namer m = {.turns = {first, turn}};
    char ids[512];
    aios_transcript *t;
    aios_error err = AIOS_INIT(aios_error);
    open_named(&w, &m);
    world_agent(&w);
    must(aios_transcript_read_json(w.ctx, before, AIOS_CSTR, &t, &err), &err);
    aios_run *r = world_start(&w, t, "on");
    ids_of(r, ids, sizeof ids);
    assert_string_equal(ids, "call_1000000000000000001 call_1000000000000000002 call_999999999 ");
    aios_run_free(r);
    aios_transcript_free(t);
    world_close(&w);
}

static void hundreds_of_one_id_are_as_many_calls(void **state)
{
    enum { CALLS = 500 };
    static said turn[CALLS + 1];
    static char args[CALLS][16], ids[CALLS * 16], want[CALLS * 16];
    size_t n = 0;
    (void)state;
    for (int i = 0; i < CALLS; i++) {
        snprintf(args[i], sizeof args[i], "{\"n\":%d}", i);
        turn[i] = (said){"same", "look", args[i]};
        n += (size_t)(i ? snprintf(want + n, sizeof want - n, "call_%d ", i) : snprintf(want, sizeof want, "same "));
    }
    world w;
    namer m = {.turns = {turn}};
    open_named(&w, &m);
    w.limits.max_calls = CALLS;
    world_agent(&w);
    aios_run *r = world_start(&w, NULL, "go");
    const aios_event *ev;
    for (n = 0; !aios_run_next(r, -1, &ev);)
        n += ev->type == AIOS_EVENT_CALL ? (size_t)snprintf(ids + n, sizeof ids - n, "%s ", ev->call_id) : 0;
    assert_string_equal(ids, want);
    assert_int_equal(m.n_results, CALLS);
    aios_run_free(r);
    world_close(&w);
}

/* ---- an answer reaches what it is for ----------------------------------------------------------------------------- */

static void pull_asks(aios_run *r, char asked[][80], int n)
{
    const aios_event *ev;
    for (int i = 0; i < n;) {
        assert_int_equal(aios_run_next(r, -1, &ev), 0);
        if (ev->type == AIOS_EVENT_ASK)
            snprintf(asked[i++], 80, "%s", ev->call_id);
    }
}

static void of_two_with_one_id_the_allowed_one_is_made(void **state)
{
    static const said turn[] = {{"pay", "act", "{\"eur\":1}"}, {"pay", "act", "{\"eur\":1000}"}, {0}};
    (void)state;
    for (int which = 0; which < 2; which++) {
        world w;
        namer m = {.turns = {turn}};
        char asked[2][80];
        const aios_event *ev;
        aios_error err = AIOS_INIT(aios_error);
        open_named(&w, &m);
        world_agent(&w);
        aios_run *r = world_start(&w, NULL, "go");
        pull_asks(r, asked, 2);
        assert_string_equal(asked[0], "pay");
        assert_string_equal(asked[1], "call_1");
        must(aios_run_decide(r, asked[which], AIOS_ALLOW, &err), &err);
        must(aios_run_decide(r, asked[!which], AIOS_DENY, &err), &err);
        assert_int_equal(aios_run_decide(r, asked[which], AIOS_ALLOW, &err), AIOS_ENOENT);
        while (!aios_run_next(r, -1, &ev))
            ;
        assert_string_equal(done_with, turn[which].args);
        aios_run_free(r);
        world_close(&w);
    }
}

/* Its own call asks under the name that an ask of the agent it calls has. */
static void no_call_stands_before_one_of_a_called_agent(void **state)
{
    static const said above[] = {{"call_1", "helper", "{\"prompt\":\"x\"}"}, {"call_1/call_1", "act", "{\"who\":\"above\"}"}, {0}};
    static const said below[] = {{"call_1", "act", "{\"who\":\"below\"}"}, {0}};
    (void)state;
    world w;
    other o;
    namer m = {.turns = {above}}, k = {.turns = {below}};
    char asked[2][80];
    const aios_event *ev;
    aios_error err = AIOS_INIT(aios_error);
    open_named(&w, &m);
    other_open(&w, &o, "echo:");
    aios_model_close(o.model);
    o.cfg.model = o.model = namer_model(w.ctx, "below", &k);
    aios_tool act = make_tool("act", tool_act, NULL);
    act.effect = AIOS_EFFECT_LOCAL;
    must(aios_toolset_add(o.ts, &act, &err), &err);
    o.policy.decide = NULL;
    w.policy.decide = NULL;
    other_agent(&w, &o);
    add_agent(w.ts, o.agent, "helper");
    world_agent(&w);
    aios_run *r = world_start(&w, NULL, "go");
    pull_asks(r, asked, 2); /* of the call of the agent, which may act, and of its own */
    assert_string_equal(asked[0], "call_1");
    assert_string_equal(asked[1], "call_2");
    must(aios_run_decide(r, "call_1", AIOS_ALLOW, &err), &err);
    pull_asks(r, asked, 1);
    assert_string_equal(asked[0], "call_1/call_1");
    must(aios_run_decide(r, "call_1/call_1", AIOS_ALLOW, &err), &err);
    assert_int_equal(aios_run_decide(r, "call_1/call_1", AIOS_ALLOW, &err), AIOS_ENOENT);
    must(aios_run_decide(r, "call_2", AIOS_DENY, &err), &err);
    while (!aios_run_next(r, -1, &ev))
        ;
    assert_string_equal(done_with, "{\"who\":\"below\"}");
    aios_run_free(r);
    other_close(&o);
    world_close(&w);
}

/* ---- many lives --------------------------------------------------------------------------------------------------- */

static const said bad_turn[] = {{"x", "look", "{\"n\":1}"}, {"x", "act", "{\"n\":2}"}, {"a/b", "act", "{\"n\":3}"}, {"", "look", "{\"n\":4}"},
                                {0}};
static const said bad_next[] = {{"x", "act", "{\"n\":5}"}, {X256 "y", "act", "{\"n\":6}"}, {"call_1", "look", "{\"n\":7}"}, {0}};

static int keep_text(void *user, const void *p, size_t n)
{
    char *s = user;
    size_t at = strlen(s);
    assert_true(at + n < 16384);
    memcpy(s + at, p, n);
    s[at + n] = 0;
    return 0;
}

/* Each event of a life is pulled until there have been `most`; true: it was done. What is asked is allowed by the id that was told. */
static bool live(aios_run *r, int most, char asked[16384])
{
    const aios_event *ev;
    int rc = 0;
    for (int i = 0; i < most && !(rc = aios_run_next(r, -1, &ev)); i++) {
        aios_error err = AIOS_INIT(aios_error);
        if (ev->type == AIOS_EVENT_ERROR)
            fail_msg("%s", ev->error->msg);
        if (ev->type != AIOS_EVENT_ASK)
            continue;
        snprintf(asked + strlen(asked), 16384 - strlen(asked), "%s=%s ", ev->call_id, ev->text);
        must(aios_run_decide(r, ev->call_id, AIOS_ALLOW, &err), &err);
    }
    return rc == AIOS_DONE;
}

static void a_resumed_run_has_the_same_ids(void **state)
{
    (void)state;
    static char whole[16384], now[16384], asked[16384];
    int stop = 1;
    for (bool first = true, over = false; !over; first = false, stop++) {
        world w;
        namer m = {.turns = {bad_turn, bad_next}};
        aios_error err = AIOS_INIT(aios_error);
        aios_run_options o = AIOS_INIT(aios_run_options);
        aios_run *r;
        open_named(&w, &m);
        must(aios_store_open(w.ctx, "memory:", NULL, &w.cfg.store, &err), &err);
        world_agent(&w);
        o.prompt = "go";
        o.n_prompt = AIOS_CSTR;
        o.id = "one";
        now[0] = asked[0] = 0;
        must(aios_run_start_with(w.agent, &o, &r, &err), &err);
        over = live(r, first ? 1000 : stop, asked) && !first;
        if (!first && !over) {
            aios_run_free(r);
            must(aios_run_resume(w.agent, "one", &r, &err), &err);
            assert_true(live(r, 1000, asked));
        }
        must(aios_transcript_write_json(aios_run_transcript(r), keep_text, now, &err), &err);
        if (first)
            memcpy(whole, now, sizeof whole);
        assert_string_equal(now, whole);
        assert_non_null(strstr(asked, "call_1={\"n\":2} "));
        assert_non_null(strstr(asked, "call_2={\"n\":3} "));
        assert_non_null(strstr(asked, "call_4={\"n\":5} "));
        assert_non_null(strstr(asked, "call_5={\"n\":6} "));
        aios_run_free(r);
        aios_store_close(w.cfg.store);
        world_close(&w);
    }
    assert_true(stop > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_of_servers_are_kept),
        cmocka_unit_test(what_is_no_name_is_named_here),
        cmocka_unit_test(one_that_is_taken_is_given_once),
        cmocka_unit_test(ids_of_the_transcript_are_taken),
        cmocka_unit_test(hundreds_of_one_id_are_as_many_calls),
        cmocka_unit_test(of_two_with_one_id_the_allowed_one_is_made),
        cmocka_unit_test(no_call_stands_before_one_of_a_called_agent),
        cmocka_unit_test(a_resumed_run_has_the_same_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
