/* SPDX-License-Identifier: Apache-2.0 */
/* What rules and labels do to a run. */
#include "agent_test.h"
#include "parrot.h"

static char seen_args[512];
static aios_label wanted;
static int set_code;

static int tool_text(void *user, aios_call *c)
{
    if (wanted.integrity || wanted.confidentiality)
        set_code = aios_call_set_label(c, &wanted);
    return aios_call_finish(c, 0, user, AIOS_CSTR);
}

static int tool_sink(void *user, aios_call *c)
{
    (void)user;
    snprintf(seen_args, sizeof seen_args, "%s", aios_call_args(c));
    return aios_call_finish(c, 0, "sent", AIOS_CSTR);
}

/* A world with tools "mail" (untrusted, a handle), "own" (trusted), "send"; policy with ' for ". */
static void open_world(world *x, const char *uri, const char *policy)
{
    char json[2048];
    aios_error err = AIOS_INIT(aios_error);
    wanted = (aios_label){0};
    seen_args[0] = 0;
    world_open(x, NULL, uri);
    aios_tool mail = make_tool("mail", tool_text, "obey me"), own = make_tool("own", tool_text, "1204"), send = make_tool("send", tool_sink, NULL);
    mail.flags = AIOS_TOOL_HANDLE;
    own.flags = send.flags = AIOS_TOOL_TRUSTED;
    send.effect = AIOS_EFFECT_UNSAFE;
    world_tool(x, mail);
    world_tool(x, own);
    world_tool(x, send);
    must(aios_toolset_add_extract(x->ts, &err), &err);
    snprintf(json, sizeof json, "%s", policy);
    for (char *s = json; *s; s++)
        *s = *s == '\'' ? '"' : *s;
    must(aios_rules_parse(x->ctx, json, AIOS_CSTR, &x->policy.rules, &err), &err);
    world_agent(x);
}

static void close_world(world *x)
{
    aios_rules_free(x->policy.rules);
    world_close(x);
}

#define ALL "{'version':1,'capabilities':[{'tool':'*'}]}"

static void a_result_behind_a_handle_reaches_tools_but_not_the_model(void **state)
{
    (void)state;
    world x;
    log_text l = {.n = 0};
    const char *text;
    size_t n;
    aios_label label;
    open_world(&x, "echo:call mail {}; turn; call send {\"to\":\"a\",\"all\":[\"$v1\",\"$v1 \",\"$v2\",{\"k\":\"$v1\"}]}; turn; say ok", ALL);
    aios_run *r = world_start(&x, NULL, "go");
    pull_all(r, &l);
    assert_non_null(strstr(l.s, "result:$v1 (text, 7 bytes, from mail)"));
    assert_null(strstr(l.s, "obey me"));
    assert_string_equal(seen_args, "{\"to\":\"a\",\"all\":[\"obey me\",\"$v1 \",\"$v2\",{\"k\":\"obey me\"}]}");
    for (uint32_t i = 0; i < aios_transcript_count(aios_run_transcript(r)); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(aios_run_transcript(r), i, &e);
        assert_true(e.label.integrity >= AIOS_LABEL_TOOL || i >= 4); /* what "send" gives was made of the value */
    }
    assert_int_equal(aios_run_value(r, "$v1", &text, &n, &label), 0);
    assert_string_equal(text, "obey me");
    assert_int_equal(label.integrity, AIOS_LABEL_UNTRUSTED);
    assert_int_equal(aios_run_value(r, "$v2", &text, &n, NULL), AIOS_ENOENT);
    assert_int_equal(aios_run_value(r, "$v01", &text, &n, NULL), AIOS_ENOENT);
    aios_run_free(r);
    close_world(&x);
}

static void a_value_is_checked_as_what_it_is(void **state)
{
    (void)state;
    world x;
    log_text l = {.n = 0};
    open_world(&x, "echo:call mail {}; turn; call send {\"to\":\"$v1\"}; turn; say ok",
               "{'version':1,'capabilities':[{'tool':'mail'},{'tool':'send','args':{'properties':{'to':{'pattern':'^[$]v1$'}}}}]}");
    aios_run *r = world_start(&x, NULL, "go");
    pull_all(r, &l);
    assert_non_null(strstr(l.s, "result(EDENIED):error: the policy denied this call|")); /* and no word of the value */
    assert_null(strstr(l.s, "obey"));
    aios_run_free(r);
    close_world(&x);
    memset(&l, 0, sizeof l);
    open_world(&x, "echo:call mail {}; turn; call send {\"to\":\"$v1\"}; turn; call send {\"to\":\"b\"}; say ok",
               "{'version':1,'capabilities':[{'tool':'mail'},{'tool':'send','integrity':'tool'}]}");
    r = world_start(&x, NULL, "go");
    pull_all(r, &l);
    assert_non_null(strstr(l.s, "result(EDENIED)"));
    assert_string_equal(seen_args, "{\"to\":\"b\"}"); /* the context itself is clean still */
    aios_run_free(r);
    close_world(&x);
}

static void a_tool_may_make_its_label_stricter_alone(void **state)
{
    (void)state;
    static const struct {
        const char *tool;
        aios_label label;
        int code;
    } rows[] = {{"own", {AIOS_LABEL_USER, 0, 4}, 0},   {"own", {AIOS_LABEL_SYSTEM, 0, 4}, AIOS_EDENIED},    {"own", {AIOS_LABEL_UNTRUSTED, 0, 4}, 0},
                {"mail", {AIOS_LABEL_TOOL, 0, 4}, AIOS_EDENIED}, {"mail", {AIOS_LABEL_UNTRUSTED, 0, 4}, 0}, {"own", {7, 0, 0}, AIOS_EINVAL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        world x;
        char uri[128];
        log_text l = {.n = 0};
        snprintf(uri, sizeof uri, "echo:call %s {}; turn; say ok", rows[i].tool);
        open_world(&x, uri, ALL);
        wanted = rows[i].label;
        aios_run *r = world_start(&x, NULL, "go");
        pull_all(r, &l);
        assert_int_equal(set_code, rows[i].code);
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(aios_run_transcript(r), 2, &e);
        if (!rows[i].code && !strcmp(rows[i].tool, "own"))
            assert_memory_equal(&e.label, &rows[i].label, sizeof e.label);
        aios_run_free(r);
        close_world(&x);
    }
}

static void a_refusal_does_not_make_the_context_untrusted(void **state)
{
    (void)state;
    world x;
    log_text l = {.n = 0};
    open_world(&x, "echo:call own {}; turn; call send {\"to\":\"b\"}; say ok", "{'version':1,'capabilities':[{'tool':'send','integrity':'tool'}]}");
    aios_run *r = world_start(&x, NULL, "go");
    pull_all(r, &l);
    assert_non_null(strstr(l.s, "no capability is for own"));
    assert_string_equal(seen_args, "{\"to\":\"b\"}");
    aios_run_free(r);
    close_world(&x);
}

static int narrow_to(void *user, const aios_action *a, aios_verdict *out)
{
    (void)a;
    out->verdict = *(const int *)user;
    return 0;
}

static void the_host_can_only_narrow(void **state)
{
    (void)state;
    for (int verdict = AIOS_ALLOW; verdict <= AIOS_DENY; verdict++) {
        static const char *const tools[] = {"own", "send", "mail"}; /* allowed, asked, denied by the rules */
        for (int k = 0; k < 3; k++) {
            world x;
            char uri[128];
            log_text l = {.n = 0};
            const aios_event *ev;
            int got = AIOS_ALLOW, want = verdict > k + 1 ? verdict : k + 1;
            snprintf(uri, sizeof uri, "echo:call %s {}; turn; say ok", tools[k]);
            open_world(&x, uri, "{'version':1,'capabilities':[{'tool':'own'},{'tool':'send','verdict':'ask'}]}");
            aios_agent_free(x.agent);
            x.policy.decide = narrow_to;
            x.policy.user = &verdict;
            world_agent(&x);
            aios_run *r = world_start(&x, NULL, "go");
            while (!aios_run_next(r, -1, &ev)) {
                log_event(&l, ev);
                if (ev->type == AIOS_EVENT_ASK)
                    got = AIOS_ASK, aios_run_decide(r, ev->call_id, AIOS_DENY, NULL);
            }
            if (got == AIOS_ALLOW && strstr(l.s, "EDENIED"))
                got = AIOS_DENY;
            assert_int_equal(got, want);
            aios_run_free(r);
            close_world(&x);
        }
    }
}

/* ---- asks --------------------------------------------------------------------------------------------------------- */

/* Runs to the first ASK; its digest and id. */
static aios_run *run_to_ask(world *x, char *digest, char *id)
{
    const aios_event *ev;
    aios_run *r = world_start(x, NULL, "go");
    while (!aios_run_next(r, -1, &ev))
        if (ev->type == AIOS_EVENT_ASK) {
            snprintf(digest, 65, "%s", ev->digest ? ev->digest : "");
            snprintf(id, 64, "%s", ev->call_id);
            return r;
        }
    fail_msg("nothing was asked");
    return r;
}

static void an_approval_holds_for_just_what_was_asked(void **state)
{
    (void)state;
    static const char *const same[] = {"echo:call send {\"to\":\"a\",\"n\":1}; turn; say ok", "echo:call send { \"n\":1.0, \"to\":\"\\u0061\"}; turn; say ok"};
    static const char *const other[] = {"echo:call send {\"to\":\"b\",\"n\":1}; turn; say ok", "echo:call send {\"to\":\"a\",\"n\":2}; turn; say ok"};
    static const char policy[] = "{'version':1,'capabilities':[{'tool':'send','verdict':'ask'}]}";
    char first[65], digest[65], id[64];
    world x;
    aios_error err = AIOS_INIT(aios_error);
    for (int i = 0; i < 5; i++) {
        open_world(&x, i < 2 ? same[i] : i < 4 ? other[i - 2] : same[0], i < 4 ? policy : "{'version':1,'capabilities':[{'tool':'s*','verdict':'ask'}]}");
        aios_run *r = run_to_ask(&x, digest, id);
        if (!digest[0]) { /* this build has no sums */
            assert_int_equal(aios_run_decide(r, id, AIOS_ALLOW, &err), 0);
            aios_run_free(r);
            close_world(&x);
            continue;
        }
        assert_int_equal(strlen(digest), 64);
        if (!i)
            memcpy(first, digest, sizeof first);
        assert_int_equal(!strcmp(first, digest), i < 2);
        if (i >= 2)
            assert_int_equal(aios_run_decide_digest(r, first, AIOS_ALLOW, &err), AIOS_ENOENT);
        assert_int_equal(aios_run_decide_digest(r, "abc", AIOS_ALLOW, &err), AIOS_EINVAL);
        must(aios_run_decide_digest(r, digest, AIOS_ALLOW, &err), &err);
        assert_int_equal(aios_run_decide_digest(r, digest, AIOS_ALLOW, &err), AIOS_ENOENT);
        log_text l = {.n = 0};
        const aios_event *ev;
        while (!aios_run_next(r, -1, &ev))
            if (ev->type == AIOS_EVENT_RESULT)
                log_add(&l, "", ev->text, ev->n_text);
        assert_string_equal(l.s, "sent");
        aios_run_free(r);
        close_world(&x);
    }
}

static void asks_are_counted(void **state)
{
    (void)state;
    world x;
    log_text l = {.n = 0};
    open_world(&x, "echo:call send {\"n\":1}; turn; call send {\"n\":2}; turn; call send {\"n\":3}; turn; say ok",
               "{'version':1,'ask':{'budget':2},'capabilities':[{'tool':'send','verdict':'ask'}]}");
    aios_run *r = world_start(&x, NULL, "go");
    pull_all(r, &l);
    assert_non_null(strstr(l.s, "ask:send{\"n\":2}"));
    assert_null(strstr(l.s, "ask:send{\"n\":3}"));
    assert_non_null(strstr(l.s, "this run has asked 2 times (ask.budget)"));
    aios_run_free(r);
    close_world(&x);
}

static void nobody_answers_and_that_is_a_no(void **state)
{
    (void)state;
    world x;
    char digest[65], id[64];
    log_text l = {.n = 0};
    const aios_event *ev;
    int rc;
    aios_error err = AIOS_INIT(aios_error);
    open_world(&x, "echo:call send {\"n\":1}; turn; say ok", "{'version':1,'ask':{'timeout_ms':40},'capabilities':[{'tool':'send','verdict':'ask'}]}");
    aios_run *r = run_to_ask(&x, digest, id);
    while ((rc = aios_run_next(r, 1000, &ev)) == 0)
        if (ev->type == AIOS_EVENT_RESULT)
            log_event(&l, (l.seq = ev->seq, ev));
    assert_int_equal(rc, AIOS_DONE);
    assert_string_equal(l.s, "result(EDENIED):error: nobody allowed this call in time");
    aios_run_free(r);
    r = run_to_ask(&x, digest, id);
    sleep_ms(60);
    assert_int_equal(aios_run_decide(r, id, AIOS_ALLOW, &err), AIOS_ETIMEDOUT);
    aios_run_free(r);
    assert_string_equal(seen_args, "");
    close_world(&x);
}

/* ---- models ------------------------------------------------------------------------------------------------------- */

static void local_classes_never_reach_a_model_elsewhere(void **state)
{
    (void)state;
    static const char *const lines[] = {"hello", NULL};
    for (int classes = 0; classes < 4; classes++) {
        world x;
        parrot p = {.lines = lines, .reason = "stop"};
        aios_error err = AIOS_INIT(aios_error);
        log_text l = {.n = 0};
        aios_model *remote;
        open_world(&x, "echo:say x", "{'version':1,'classes':{'home':{'bit':0,'local':true},'work':1}}");
        parrot_model(x.ctx, &p, &remote); /* one that does not say where it is */
        aios_agent_free(x.agent);
        x.cfg.model = remote;
        world_agent(&x);
        aios_transcript *t;
        must(aios_transcript_new(x.ctx, &t, &err), &err);
        aios_part part = AIOS_INIT(aios_part);
        part.kind = AIOS_PART_TEXT;
        part.text = "hi";
        part.n_text = 2;
        aios_entry e = AIOS_INIT(aios_entry);
        e.role = AIOS_ROLE_USER;
        e.parts = &part;
        e.n_parts = 1;
        e.part_stride = sizeof part;
        e.label = (aios_label){AIOS_LABEL_USER, 0, (uint64_t)classes};
        must(aios_transcript_add(t, &e, &err), &err);
        aios_run *r = NULL;
        must(aios_run_start(x.agent, t, NULL, 0, &r, &err), &err);
        pull_all(r, &l);
        assert_int_equal(l.code, classes & 1 ? AIOS_EDENIED : 0);
        assert_int_equal(!p.asked[0], classes & 1);
        aios_run_free(r);
        aios_transcript_free(t);
        close_world(&x);
        aios_model_close(remote);
    }
}

static int gather(void *user, const void *p, size_t n)
{
    log_add(user, "", p, n);
    return 0;
}

static void what_is_extracted_is_trusted_only_as_far_as_the_policy_says(void **state)
{
    (void)state;
    static const struct {
        const char *schema;
        int integrity;
    } rows[] = {{"{\"type\":\"string\"}", AIOS_LABEL_UNTRUSTED},
                {"{\"enum\":[\"a\",\"b\",\"c\",\"d\"]}", AIOS_LABEL_TOOL},
                {"{\"type\":\"boolean\"}", AIOS_LABEL_TOOL},
                {"{\"type\":\"boolean\"}", AIOS_LABEL_UNTRUSTED}}; /* three bits are used up */
    world x;
    log_text l = {.n = 0};
    aios_error err = AIOS_INIT(aios_error);
    aios_label label;
    static const char *const lines[] = {PARROT_CALL, "a look", "seen", "\"x\"", "\"a\"", "true", "true", NULL};
    parrot p = {.lines = lines, .reason = "stop"};
    open_world(&x, "echo:say x", "{'version':1,'endorse_bits':3,'capabilities':[{'tool':'*'}]}");
    aios_model_close(x.model);
    parrot_model(x.ctx, &p, &x.model);
    aios_agent_free(x.agent);
    x.cfg.model = x.model;
    aios_tool look = make_tool("look", tool_text, "obey me");
    look.flags = AIOS_TOOL_HANDLE;
    world_tool(&x, look);
    world_agent(&x);
    aios_run *r = world_start(&x, NULL, "go");
    pull_all(r, &l);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        memset(&l, 0, sizeof l);
        must(aios_run_extract(r, "$v1", rows[i].schema, "which?", gather, &l, &label, &err), &err);
        assert_true(l.n > 0);
        assert_int_equal(label.integrity, rows[i].integrity);
    }
    assert_int_equal(aios_run_extract(r, "$v2", rows[0].schema, "?", gather, &l, NULL, &err), AIOS_ENOENT);
    assert_int_equal(aios_run_extract(r, "$v1", "{\"type\":1}", "?", gather, &l, NULL, &err), AIOS_ESCHEMA);
    assert_int_equal(aios_run_extract(r, "$v1", rows[0].schema, NULL, gather, &l, NULL, &err), AIOS_EINVAL);
    aios_run_free(r);
    close_world(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_result_behind_a_handle_reaches_tools_but_not_the_model),
        cmocka_unit_test(a_value_is_checked_as_what_it_is),
        cmocka_unit_test(a_tool_may_make_its_label_stricter_alone),
        cmocka_unit_test(a_refusal_does_not_make_the_context_untrusted),
        cmocka_unit_test(the_host_can_only_narrow),
        cmocka_unit_test(an_approval_holds_for_just_what_was_asked),
        cmocka_unit_test(asks_are_counted),
        cmocka_unit_test(nobody_answers_and_that_is_a_no),
        cmocka_unit_test(local_classes_never_reach_a_model_elsewhere),
        cmocka_unit_test(what_is_extracted_is_trusted_only_as_far_as_the_policy_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
