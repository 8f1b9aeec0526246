/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"
#include "route_test.h"

#include <unistd.h>

static aios_ctx *ctx;
static far_host hosts[N_FAR];

static int set_up(void **state)
{
    (void)state;
    memset(hosts, 0, sizeof hosts);
    for (int i = 0; i < N_FAR; i++) {
        hosts[i].privacy = AIOS_PRIVACY_REMOTE;
        hosts[i].flags = AIOS_MODEL_HAS_TEMPLATE;
    }
    ctx = test_ctx(NULL, 0);
    far_register(ctx, hosts);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    aios_ctx_free(ctx);
    return 0;
}

static aios_model *router(const char *json)
{
    char uri[4200];
    aios_model *m = NULL;
    aios_error err = AIOS_INIT(aios_error);
    snprintf(uri, sizeof uri, "route:%s", json);
    must(aios_model_open(ctx, uri, NULL, &m, &err), &err);
    return m;
}

static int ask(const char *json, const char *text, uint64_t label, reply *r)
{
    aios_model *m = router(json);
    int rc = ask_with(m, text, label, r);
    aios_model_close(m);
    return rc;
}

static void what_is_wrong_in_the_file_is_told_with_its_path(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{\"candidates\":[]}", "$.candidates"},
        {"{\"candidates\":[{\"uri\":\"echo:\",\"wen\":{}}]}", "$.candidates[0].wen"},
        {"{\"candidates\":[{\"uri\":\"echo:\"},{\"uri\":\"echo:\",\"name\":\"b\",\"when\":{\"privacy\":[64]}}]}", "$.candidates[1].when"},
        {"{\"candidates\":[{\"uri\":\"echo:\",\"when\":{\"privacy\":[\"medical\"]}}]}", "$.classes"},
        {"{\"candidates\":[{\"name\":\"a\",\"endpoints\":[{\"uri\":\"echo:\",\"weight\":-1}]}]}", "$.candidates[0].endpoints[0].weight"},
        {"{\"candidates\":[{\"uri\":\"echo:\"},{\"uri\":\"echo:\"}]}", "$.candidates[1].name"},
        {"{\"candidates\":[{\"uri\":\"echo:\",\"api_key_env\":\"AIOS_NO_SUCH_KEY\"}]}", "$.candidates[0].api_key_env"},
        {"{\"candidates\":[{\"uri\":\"nothing:\"}]}", "$.candidates[0]"},
        {"{\"candidates\":[{\"uri\":\"echo:\"}],\"next_on\":[\"EWHAT\"]}", "$.next_on"},
        {"{\"candidates\":[{\"uri\":\"echo:\"}],\"hedge_ms\":\"1\"}", "$.hedge_ms"},
        {"{\"candidates\":[{\"uri\":\"echo:\"}],\"stop_on\":\"ERATE\"}", "$.stop_on"},
        {"{\"candidates\":[{\"uri\":\"echo:\",\"can\":\"images\"}]}", "$.candidates[0].can"},
        {"{\"candidates\":[{\"uri\":7}]}", "$.candidates[0].uri"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char uri[512];
        aios_model *m = NULL;
        aios_error err = AIOS_INIT(aios_error);
        snprintf(uri, sizeof uri, "route:%s", rows[i][0]);
        assert_int_not_equal(aios_model_open(ctx, uri, NULL, &m, &err), 0);
        if (!strstr(err.msg, rows[i][1]))
            fail_msg("%s: %s", rows[i][0], err.msg);
    }
}

static int keep_list(void *user, const void *s, size_t n)
{
    snprintf(user, 256, "%.*s", (int)n, (const char *)s);
    return 0;
}

static void a_candidate_is_shown_as_where_it_is(void **state)
{
    (void)state;
    char list[256];
    aios_error err = AIOS_INIT(aios_error);
    aios_model *m = router("{\"candidates\":[{\"uri\":\"https://far.example/v1#@cf/model\"},{\"optional\":true,\"uri\":\"https://user:p@ss@far.example/v1#m\"}]}");
    must(aios_model_list(m, keep_list, list, &err), &err);
    assert_string_equal(list, "[{\"id\":\"https://far.example/v1#@cf/model\"},{\"id\":\"https://far.example/v1#m\"}]");
    aios_model_close(m);
}

static void who_does_not_say_where_it_is_gets_nothing_private(void **state)
{
    (void)state;
    aios_backend_ops ops = AIOS_INIT(aios_backend_ops);
    reply r;
    far_ops(&ops);
    ops.name = "dumb";
    ops.info = NULL;
    assert_int_equal(aios_backend_register(ctx, &ops, hosts, NULL), 0);
    const char *json = "{\"candidates\":[{\"name\":\"a\",\"uri\":\"dumb:0\"}]}";
    assert_int_equal(ask(json, "hi", 1, &r), AIOS_EDENIED);
    assert_int_equal(hosts[0].n_starts, 0);
    assert_int_equal(ask(json, "hi", 0, &r), 0);
}

static void a_router_that_is_a_part_of_itself_is_refused(void **state)
{
    (void)state;
    char path[64], uri[96];
    aios_model *m = NULL;
    aios_error err = AIOS_INIT(aios_error);
    snprintf(path, sizeof path, "/tmp/aios-route-%d.json", (int)getpid());
    FILE *f = fopen(path, "w");
    fprintf(f, "{\"candidates\":[{\"uri\":\"route:%s\"}]}", path);
    fclose(f);
    snprintf(uri, sizeof uri, "route:%s", path);
    assert_int_equal(aios_model_open(ctx, uri, NULL, &m, &err), AIOS_ELIMIT);
    remove(path);
}

static void the_last_failure_names_the_cause_of_each(void **state)
{
    (void)state;
    reply r;
    const char *json = "{\"patience_ms\":1,\"candidates\":[{\"name\":\"far\",\"uri\":\"far:0\"},{\"name\":\"busy\",\"uri\":\"echo:fail EUNAVAIL come later\"},"
                       "{\"name\":\"k\xc3\xa9""y\",\"uri\":\"echo:fail EAUTH the key is old\"},{\"name\":\"tiny\",\"uri\":\"echo:set n_ctx 1; say x\"}]}";
    assert_int_equal(ask(json, "hello you all", 1, &r), AIOS_EUNAVAIL); /* of the last one that was tried */
    assert_non_null(strstr(r.err.msg, "none of 4 candidates answered: k\xc3\xa9""y: EAUTH: the key is old; tiny: ECONTEXT: "));
    assert_non_null(strstr(r.err.msg, "; busy: EUNAVAIL: come later; far: privacy"));
    assert_int_equal(ask("{\"patience_ms\":1,\"candidates\":[{\"name\":\"a\",\"uri\":\"echo:fail EAUTH alone\"}]}", "hi", 0, &r), AIOS_EAUTH);
    assert_string_equal(r.err.msg, "alone");
}

/* Names of many bytes, and as many candidates as there may be. */
static void the_list_of_causes_is_whole_characters_whatever_is_in_it(void **state)
{
    (void)state;
    for (int n = 2; n <= 32; n++) {
        char json[4096], more[128];
        reply r;
        size_t at = (size_t)snprintf(json, sizeof json, "{\"patience_ms\":1,\"candidates\":[");
        for (int i = 0; i < n; i++) {
            snprintf(more, sizeof more, "%s{\"name\":\"%d%.*s\",\"uri\":\"echo:fail EAUTH \xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\"}", i ? "," : "", i,
                     3 * (i % 12), "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac");
            at += (size_t)snprintf(json + at, sizeof json - at, "%s", more);
        }
        snprintf(json + at, sizeof json - at, "]}");
        assert_int_equal(ask(json, "hi", 0, &r), AIOS_EAUTH);
        assert_int_equal(aios__utf8_valid(r.err.msg, strlen(r.err.msg)), 1);
        assert_true(strlen(r.err.msg) < sizeof r.err.msg);
        int listed = 1;
        for (const char *p = r.err.msg; (p = strstr(p, "; ")) != NULL; p += 2)
            listed++;
        assert_int_equal(listed, n); /* also those that were not tried any more */
    }
}

static void failures_decide_by_their_kind(void **state)
{
    (void)state;
    static const struct {
        const char *code, *more;
        int end;
    } rows[] = {
        {"EAUTH", "", 0},       {"EQUOTA", "", 0},           {"ERATE", "", 0},
        {"EUNAVAIL", "", 0},    {"ETIMEDOUT", "", 0},        {"ECONTEXT", "", 0},
        {"EPROTO", "", 0},      {"EINVAL", "", AIOS_EINVAL}, {"EREFUSED", "", AIOS_EREFUSED},
        {"EFILTERED", "", AIOS_EFILTERED}, {"ESCHEMA", "", AIOS_ESCHEMA},
        {"EFILTERED", "\"next_on\":[\"EFILTERED\"],", 0}, {"ERATE", "\"stop_on\":[\"ERATE\"],", AIOS_ERATE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char json[512];
        reply r;
        snprintf(json, sizeof json, "{%s\"candidates\":[{\"name\":\"a\",\"uri\":\"echo:say lost; fail %s no\"},{\"name\":\"b\",\"uri\":\"echo:say good\"}]}", rows[i].more,
                 rows[i].code);
        int rc = ask(json, "hi", 0, &r);
        if (rc != rows[i].end)
            fail_msg("%s: %d %s", rows[i].code, rc, r.err.msg);
        assert_string_equal(r.text, rc ? "lost" : "good");
        assert_int_equal(r.attempts, rc ? 0 : 1);
        if (!rc) {
            char routes[64];
            snprintf(routes, sizeof routes, "a:first b:%s", rows[i].code);
            assert_string_equal(r.routes, routes);
        }
    }
}

static void an_overflow_goes_to_the_larger_one_or_is_told_at_once(void **state)
{
    (void)state;
    reply r;
    char text[400];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    assert_int_equal(ask("{\"candidates\":[{\"name\":\"s\",\"uri\":\"echo:set n_ctx 20; say small\"},{\"name\":\"l\",\"uri\":\"echo:say large\"}]}", text, 0, &r), 0);
    assert_string_equal(r.text, "large");
    assert_string_equal(r.routes, "s:first l:ECONTEXT");
    assert_int_equal(ask("{\"candidates\":[{\"name\":\"s\",\"uri\":\"echo:set n_ctx 20; say small\"}]}", text, 0, &r), AIOS_ECONTEXT);
    assert_int_equal(r.err.have, 20);
    assert_true(r.err.need > 90);
}

static void what_a_request_needs_decides(void **state)
{
    (void)state;
    const char *json = "{\"candidates\":[{\"name\":\"far\",\"uri\":\"far:0\"},{\"name\":\"near\",\"uri\":\"echo:say near\"}]}";
    aios_model *m = router(json);
    aios_session *s = NULL;
    aios_transcript *t = NULL;
    aios_request q = AIOS_INIT(aios_request);
    aios_tool_def tool = AIOS_INIT(aios_tool_def);
    aios_grammar *g = NULL;
    reply r;
    assert_int_equal(aios_session_new(m, NULL, &s, NULL), 0);
    aios_transcript_new(ctx, &t, NULL);
    aios_transcript_add_text(t, AIOS_ROLE_USER, "hi", AIOS_CSTR, NULL);
    q.transcript = t;
    assert_int_equal(turn_of(s, &q, &r), 0);
    assert_string_equal(r.routes, "far:first");
    tool.name = "clock";
    q.tools = &tool;
    q.n_tools = 1;
    q.tool_stride = sizeof tool;
    assert_int_equal(turn_of(s, &q, &r), 0);
    assert_string_equal(r.routes, "near:first");
    q.n_tools = 0;
    assert_int_equal(aios_grammar_compile(ctx, AIOS_GRAMMAR_REGEX, "near", 4, &g, NULL), 0);
    q.grammar = g;
    assert_int_equal(turn_of(s, &q, &r), 0);
    assert_string_equal(r.text, "near");
    aios_grammar_free(g);
    aios_session_free(s);
    aios_model_close(m);
    aios_transcript_free(t);
    assert_int_equal(ask("{\"candidates\":[{\"name\":\"a\",\"uri\":\"far:1\",\"when\":{\"max_tokens\":3}},{\"name\":\"b\",\"uri\":\"far:2\",\"when\":{\"max_cost\":0.001},"
                         "\"cost\":{\"input\":1000}}]}", "a text that is longer than that", 0, &r), AIOS_EQUOTA);
    assert_int_equal(hosts[1].n_starts + hosts[2].n_starts, 0);
}

static void images_go_to_who_can_see_and_the_missing_may_be_left_out(void **state)
{
    (void)state;
    aios_model *m = router("{\"candidates\":[{\"name\":\"gone\",\"uri\":\"gguf:/nowhere/model.gguf\",\"optional\":true},{\"name\":\"blind\",\"uri\":\"echo:say blind\"},"
                           "{\"name\":\"seeing\",\"uri\":\"echo:say seen\",\"can\":[\"images\"]}]}");
    aios_session *s = NULL;
    aios_transcript *t = NULL;
    aios_request q = AIOS_INIT(aios_request);
    aios_part p = AIOS_INIT(aios_part);
    aios_entry e = AIOS_INIT(aios_entry);
    reply r;
    p.kind = AIOS_PART_IMAGE;
    p.text = "\x89PNG";
    p.n_text = 4;
    p.mime = "image/png";
    e.role = AIOS_ROLE_USER;
    e.parts = &p;
    e.n_parts = 1;
    e.part_stride = sizeof p;
    assert_int_equal(aios_transcript_new(ctx, &t, NULL), 0);
    assert_int_equal(aios_transcript_add(t, &e, NULL), 0);
    q.transcript = t;
    assert_int_equal(aios_session_new(m, NULL, &s, NULL), 0);
    assert_int_equal(turn_of(s, &q, &r), 0);
    assert_string_equal(r.text, "seen");
    assert_int_equal(ask_with(m, "hi", 0, &r), 0);
    assert_string_equal(r.text, "blind");
    aios_session_free(s);
    aios_model_close(m);
    aios_transcript_free(t);
}

static void a_hedge_is_heard_alone(void **state)
{
    (void)state;
    reply r;
    assert_int_equal(ask("{\"hedge_ms\":30,\"candidates\":[{\"name\":\"slow\",\"uri\":\"echo:delay 3000; say slow words\"},{\"name\":\"quick\",\"uri\":\"echo:say quick words\"}]}",
                         "hi", 0, &r), 0);
    assert_string_equal(r.text, "quick words");
    assert_int_equal(r.attempts, 0);
    assert_string_equal(r.routes, "slow:first quick:hedge");
    /* the first one speaks while the hedge is still silent */
    assert_int_equal(ask("{\"hedge_ms\":30,\"candidates\":[{\"name\":\"a\",\"uri\":\"echo:delay 120; say first words\"},{\"name\":\"b\",\"uri\":\"echo:delay 3000; say other\"}]}",
                         "hi", 0, &r), 0);
    assert_string_equal(r.text, "first words");
    /* the first one fails while the hedge runs */
    assert_int_equal(ask("{\"hedge_ms\":30,\"candidates\":[{\"name\":\"a\",\"uri\":\"echo:delay 80; fail EUNAVAIL\"},{\"name\":\"b\",\"uri\":\"echo:delay 160; say b\"}]}", "hi",
                         0, &r), 0);
    assert_string_equal(r.text, "b");
}

static void a_budget_refuses_with_both_numbers(void **state)
{
    (void)state;
    reply r;
    aios_model *m = router("{\"budget\":{\"tokens\":40},\"candidates\":[{\"name\":\"a\",\"uri\":\"echo:say one two three four five six seven eight nine ten\"}]}");
    int n = 0, rc;
    while (!(rc = ask_with(m, "hi", 0, &r)))
        n++;
    assert_int_equal(rc, AIOS_EQUOTA);
    assert_true(n >= 2 && n < 5);
    assert_true(r.err.need > r.err.have);
    aios_model_close(m);
    m = router("{\"candidates\":[{\"name\":\"dear\",\"uri\":\"echo:say dear\",\"cost\":{\"input\":1,\"output\":2},\"limits\":{\"money\":0.00003}},{\"name\":\"cheap\",\"uri\":\"echo:say cheap\"}]}");
    for (n = 0; !ask_with(m, "hi", 0, &r) && !strcmp(r.text, "dear"); n++)
        assert_true(n < 10);
    assert_true(n >= 1);
    assert_string_equal(r.text, "cheap");
    aios_model_close(m);
}

static void a_session_stays_where_its_prefix_is(void **state)
{
    (void)state;
    aios_model *m = router("{\"candidates\":[{\"name\":\"pool\",\"endpoints\":[{\"uri\":\"far:0\"},{\"uri\":\"far:1\"},{\"uri\":\"far:2\"}]}]}");
    aios_session *s = NULL;
    aios_request q = AIOS_INIT(aios_request);
    reply r;
    q.raw = "on and on";
    q.n_raw = AIOS_CSTR;
    assert_int_equal(aios_session_new(m, NULL, &s, NULL), 0);
    for (int i = 0; i < 30; i++)
        assert_int_equal(turn_of(s, &q, &r), 0);
    assert_string_equal(r.routes, "pool:sticky");
    int most = 0;
    for (int i = 0; i < 3; i++)
        most = hosts[i].n_starts > most ? hosts[i].n_starts : most;
    assert_int_equal(most, 30);
    for (int i = 0; i < 3; i++)
        hosts[i].down = hosts[i].n_starts ? AIOS_EUNAVAIL : 0;
    assert_int_equal(turn_of(s, &q, &r), 0);
    assert_string_equal(r.text, "one two three");
    assert_int_equal(r.attempts, 1);
    aios_session_free(s);
    aios_model_close(m);
}

static void turns_are_shared_by_weight(void **state)
{
    (void)state;
    static const char *const how[] = {"weighted", "least"};
    static const int weights[] = {5, 3, 1, 1};
    for (size_t k = 0; k < 2; k++) {
        char json[512];
        reply r;
        snprintf(json, sizeof json, "{\"balance\":\"%s\",\"candidates\":[{\"name\":\"pool\",\"endpoints\":[{\"uri\":\"far:0\",\"weight\":5},{\"uri\":\"far:1\",\"weight\":3},"
                 "{\"uri\":\"far:2\"},{\"uri\":\"far:3\"}]}]}", how[k]);
        aios_model *m = router(json);
        for (int i = 0; i < 4; i++)
            hosts[i].n_starts = 0;
        for (int i = 0; i < 1000; i++)
            assert_int_equal(ask_with(m, "hi", 0, &r), 0);
        for (int i = 0; i < 4; i++)
            if (abs(hosts[i].n_starts - weights[i] * 100) > weights[i] * 5)
                fail_msg("%s: endpoint %d got %d of 1000, its weight is %d of 10", how[k], i, hosts[i].n_starts, weights[i]);
        aios_model_close(m);
    }
}

static uint64_t dice = 88172645463325252u;

static uint32_t roll(uint32_t n)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (uint32_t)(dice >> 33) % n;
}

/* A candidate with conditions at random; which classes it may get goes to *allowed. */
static int random_candidate(char *out, size_t n, int i, int host, uint64_t *allowed)
{
    static const char *const more[] = {"", ",\"weight\":3", ",\"cost\":{\"input\":2,\"output\":5}", ",\"limits\":{\"concurrent\":2}", ",\"n_ctx\":4096", ",\"optional\":true"};
    char privacy[128] = "";
    *allowed = 0;
    if (roll(3)) {
        int a = (int)roll(4), b = (int)roll(4);
        *allowed = UINT64_C(1) << a | UINT64_C(1) << b;
        snprintf(privacy, sizeof privacy, ",\"when\":{\"privacy\":[%d,%d]}", a, b);
    }
    if (roll(4))
        return snprintf(out, n, "%s{\"name\":\"c%d\",\"uri\":\"far:%d\"%s%s}", i ? "," : "", i, host, privacy, more[roll(6)]);
    return snprintf(out, n, "%s{\"name\":\"c%d\",\"endpoints\":[{\"uri\":\"far:%d\"},{\"uri\":\"far:%d\",\"weight\":2}]%s}", i ? "," : "", i, host, host, privacy);
}

static void what_is_private_reaches_nobody_without_a_rule_for_it(void **state)
{
    (void)state;
    static const int tempers[] = {0, 0, AIOS_EUNAVAIL, AIOS_EAUTH, AIOS_EPROTO, AIOS_ECONTEXT};
    int n_left = 0, n_denied = 0;
    for (int round = 0; round < 10000; round++) {
        char json[4096];
        uint64_t allowed[4], label = roll(5) ? UINT64_C(1) << roll(4) | (roll(2) ? UINT64_C(1) << roll(4) : 0) : 0;
        int n = (int)roll(4) + 1, local = (int)roll(6), at;
        at = snprintf(json, sizeof json, "{\"patience_ms\":1,\"sticky\":%s,\"hedge_ms\":%u,\"attempts\":%u,\"balance\":\"%s\",\"candidates\":[", roll(2) ? "true" : "false",
                      roll(2), roll(6) + 1, roll(2) ? "least" : "weighted");
        for (int i = 0; i < n; i++) {
            hosts[i].n_starts = 0;
            hosts[i].down = tempers[roll(6)];
            hosts[i].privacy = roll(3) ? AIOS_PRIVACY_REMOTE : AIOS_PRIVACY_LAN;
            at += random_candidate(json + at, sizeof json - (size_t)at, i, i, &allowed[i]);
        }
        if (local < n)
            at += snprintf(json + at, sizeof json - (size_t)at, ",{\"name\":\"local\",\"uri\":\"echo:say here\"}");
        snprintf(json + at, sizeof json - (size_t)at, "]}");
        reply r;
        int rc = ask(json, "secret", label, &r);
        for (int i = 0; i < n; i++) {
            n_left += hosts[i].n_starts > 0;
            if (hosts[i].n_starts && label & ~allowed[i])
                fail_msg("round %d: %s got a prompt of classes %llx", round, json, (unsigned long long)label);
        }
        n_denied += rc == AIOS_EDENIED;
    }
    assert_true(n_left > 2000 && n_denied > 1000); /* both sides were tried */
}

static void counting_and_warming_keep_to_the_same_rules(void **state)
{
    (void)state;
    aios_model *m = router("{\"candidates\":[{\"name\":\"far\",\"uri\":\"far:0\"}]}");
    aios_session *s = NULL;
    aios_transcript *t = NULL;
    aios_request q = AIOS_INIT(aios_request);
    aios_part p = AIOS_INIT(aios_part);
    aios_entry e = AIOS_INIT(aios_entry);
    uint32_t n;
    p.kind = AIOS_PART_TEXT;
    p.text = "secret";
    p.n_text = AIOS_CSTR;
    e.role = AIOS_ROLE_USER;
    e.parts = &p;
    e.n_parts = 1;
    e.part_stride = sizeof p;
    e.label.confidentiality = 1;
    aios_transcript_new(ctx, &t, NULL);
    assert_int_equal(aios_transcript_add(t, &e, NULL), 0);
    q.transcript = t;
    assert_int_equal(aios_session_new(m, NULL, &s, NULL), 0);
    assert_int_equal(aios_session_count(s, &q, &n, NULL), AIOS_EDENIED);
    assert_int_equal(aios_session_prewarm(s, &q, NULL), AIOS_EDENIED);
    assert_int_equal(aios_session_start(s, &q, NULL), AIOS_EDENIED);
    aios_session_free(s);
    aios_model_close(m);
    aios_transcript_free(t);
}

static void a_cancel_ends_all_attempts(void **state)
{
    (void)state;
    aios_model *m = router("{\"hedge_ms\":1,\"candidates\":[{\"name\":\"a\",\"uri\":\"echo:delay 60000\"},{\"name\":\"b\",\"uri\":\"echo:delay 60000; say b\"}]}");
    aios_session *s = NULL;
    const aios_event *ev;
    aios_request q = AIOS_INIT(aios_request);
    reply r;
    q.raw = "hi";
    q.n_raw = AIOS_CSTR;
    assert_int_equal(aios_session_new(m, NULL, &s, NULL), 0);
    assert_int_equal(aios_session_start(s, &q, NULL), 0);
    for (int i = 0; i < 4; i++)
        aios_session_next(s, 0, &ev);
    aios_session_cancel(s);
    int code = 0;
    while (!aios_session_next(s, -1, &ev))
        code = ev->error ? ev->error->code : code;
    assert_int_equal(code, AIOS_ECANCELED);
    aios_session_free(s);
    aios_model_close(m);
    assert_int_equal(ask("{\"candidates\":[{\"name\":\"a\",\"uri\":\"echo:delay 60000\",\"limits\":{\"first_event_ms\":30}},{\"name\":\"b\",\"uri\":\"echo:say b\"}]}", "hi", 0, &r), 0);
    assert_string_equal(r.routes, "a:first b:ETIMEDOUT");
}

static void who_is_ill_rests_and_is_tried_again_by_one_turn(void **state)
{
    (void)state;
    aios_model *m = router("{\"breaker\":{\"failures\":2,\"open_ms\":60},\"candidates\":[{\"name\":\"a\",\"uri\":\"far:0\"},{\"name\":\"b\",\"uri\":\"far:1\"}]}");
    reply r;
    hosts[0].down = AIOS_EUNAVAIL;
    for (int i = 0; i < 5; i++)
        assert_int_equal(ask_with(m, "hi", 0, &r), 0);
    assert_string_equal(r.routes, "b:first");
    assert_int_equal(hosts[0].n_starts, 2);
    usleep(80000);
    assert_int_equal(ask_with(m, "hi", 0, &r), 0);
    assert_string_equal(r.routes, "a:probe b:EUNAVAIL");
    assert_int_equal(ask_with(m, "hi", 0, &r), 0);
    assert_string_equal(r.routes, "b:first"); /* twice as long now */
    hosts[0].down = 0;
    usleep(150000);
    assert_int_equal(ask_with(m, "hi", 0, &r), 0);
    assert_string_equal(r.routes, "a:probe");
    assert_int_equal(ask_with(m, "hi", 0, &r), 0);
    assert_string_equal(r.routes, "a:first");
    aios_model_close(m);
    assert_int_equal(ask("{\"patience_ms\":5000,\"breaker\":{\"failures\":1,\"open_ms\":50},\"candidates\":[{\"name\":\"a\",\"uri\":\"echo:say x; fail EUNAVAIL\"}],\"attempts\":3}",
                         "hi", 0, &r), AIOS_EUNAVAIL);
    assert_int_equal(r.attempts, 2); /* the only one is asked again, as often as is allowed */
}

static void slow_and_busy_ones_are_passed_over(void **state)
{
    (void)state;
    aios_model *m = router("{\"candidates\":[{\"name\":\"a\",\"uri\":\"echo:delay 40; say a\",\"when\":{\"max_first_event_ms\":10}},{\"name\":\"b\",\"uri\":\"echo:say b\"}]}");
    aios_session *s = NULL;
    aios_request q = AIOS_INIT(aios_request);
    const aios_event *ev;
    reply r;
    assert_int_equal(ask_with(m, "hi", 0, &r), 0);
    assert_string_equal(r.routes, "a:first");
    assert_int_equal(ask_with(m, "hi", 0, &r), 0);
    assert_string_equal(r.routes, "b:first");
    aios_model_close(m);
    m = router("{\"candidates\":[{\"name\":\"a\",\"uri\":\"far:0\",\"limits\":{\"concurrent\":1}},{\"name\":\"b\",\"uri\":\"echo:say b\"}]}");
    q.raw = "hi";
    q.n_raw = AIOS_CSTR;
    assert_int_equal(aios_session_new(m, NULL, &s, NULL), 0);
    assert_int_equal(aios_session_start(s, &q, NULL), 0);
    assert_int_equal(ask_with(m, "hi", 0, &r), 0);
    assert_string_equal(r.routes, "b:first");
    while (!aios_session_next(s, -1, &ev))
        ;
    assert_int_equal(ask_with(m, "hi", 0, &r), 0);
    assert_string_equal(r.routes, "a:first");
    aios_session_free(s);
    aios_model_close(m);
}

static int route_once(aios_ctx *c, aios_error *err)
{
    aios_model *m = NULL;
    aios_session *s = NULL;
    const aios_event *ev;
    aios_request q = AIOS_INIT(aios_request);
    q.raw = "hello";
    q.n_raw = AIOS_CSTR;
    int rc = aios_model_open(c, "route:{\"candidates\":[{\"name\":\"a\",\"uri\":\"echo:say x; fail EUNAVAIL\"},{\"name\":\"b\",\"uri\":\"echo:say y\"}]}", NULL, &m, err);
    rc = rc ? rc : aios_session_new(m, NULL, &s, err);
    rc = rc ? rc : aios_session_start(s, &q, err);
    while (!rc && !aios_session_next(s, -1, &ev))
        if (ev->error) {
            rc = ev->error->code;
            *err = *ev->error;
        }
    aios_session_free(s);
    aios_model_close(m);
    return rc;
}

static void nothing_leaks_when_memory_runs_out(void **state)
{
    (void)state;
    refuse_every_allocation(route_once, 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_is_wrong_in_the_file_is_told_with_its_path),
        T(who_does_not_say_where_it_is_gets_nothing_private),
        T(a_candidate_is_shown_as_where_it_is),
        T(a_router_that_is_a_part_of_itself_is_refused),
        T(the_last_failure_names_the_cause_of_each),
        T(the_list_of_causes_is_whole_characters_whatever_is_in_it),
        T(failures_decide_by_their_kind),
        T(an_overflow_goes_to_the_larger_one_or_is_told_at_once),
        T(what_a_request_needs_decides),
        T(images_go_to_who_can_see_and_the_missing_may_be_left_out),
        T(a_hedge_is_heard_alone),
        T(a_budget_refuses_with_both_numbers),
        T(a_session_stays_where_its_prefix_is),
        T(turns_are_shared_by_weight),
        T(what_is_private_reaches_nobody_without_a_rule_for_it),
        T(counting_and_warming_keep_to_the_same_rules),
        T(a_cancel_ends_all_attempts),
        T(who_is_ill_rests_and_is_tried_again_by_one_turn),
        T(slow_and_busy_ones_are_passed_over),
        cmocka_unit_test(nothing_leaks_when_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
