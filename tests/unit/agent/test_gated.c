/* SPDX-License-Identifier: Apache-2.0 */
/* What rules have counted and handles hide, over many lives of a run; decisions about runs that nobody has; journals that lie about either. */
#include "agent_test.h"

#define KEYS "0123456789abcdef0123456789abcdef"

typedef struct gated {
    world w;
    aios_store *store;
    aios_transcript *before;
    int64_t skew_us;     /* of the wall clock */
} gated;

static char seen_args[16][256];
static uint32_t n_seen;

static int64_t skewed_us(void *user)
{
    const gated *g = user;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000 + g->skew_us;
}

static int tool_mail(void *user, aios_call *c)
{
    char text[64];
    aios_label l;
    (void)user;
    snprintf(text, sizeof text, "mail %s", aios_call_args(c));
    aios_call_get_label(c, &l);
    l.confidentiality |= 4;
    assert_int_equal(aios_call_set_label(c, &l), 0);
    return aios_call_finish(c, 0, text, AIOS_CSTR);
}

static int tool_act(void *user, aios_call *c)
{
    (void)user;
    snprintf(seen_args[n_seen++ % 16], sizeof seen_args[0], "%s", aios_call_args(c));
    return aios_call_finish(c, 0, "acted", AIOS_CSTR);
}

static aios_rules *parse_rules(aios_ctx *ctx, const char *policy)
{
    char json[2048];
    aios_error err = AIOS_INIT(aios_error);
    aios_rules *rules = NULL;
    snprintf(json, sizeof json, "%s", policy);
    for (char *s = json; *s; s++)
        *s = *s == '\'' ? '"' : *s;
    must(aios_rules_parse(ctx, json, AIOS_CSTR, &rules, &err), &err);
    return rules;
}

static void use_policy(gated *g, const char *policy)
{
    aios_agent_free(g->w.agent);
    aios_rules_free(g->w.policy.rules);
    g->w.policy.rules = policy ? parse_rules(g->w.ctx, policy) : NULL;
    world_agent(&g->w);
}

/* The script's first turn is for quarantined ones: the run has one behind it. */
static void begin_behind_a_turn(gated *g)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_transcript_free(g->before);
    must(aios_transcript_new(g->w.ctx, &g->before, &err), &err);
    must(aios_transcript_add_text(g->before, AIOS_ROLE_USER, "ready?", AIOS_CSTR, &err), &err);
    add_reply(g->before);
}

/* Tools "mail" (a handle), "act" (KEYED), "own" (trusted, LOCAL); extract; a wall clock that can jump. */
static void gated_open(gated *g, const char *script, const char *policy)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_env env = AIOS_INIT(aios_env);
    aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
    world *w = &g->w;
    memset(g, 0, sizeof *g);
    n_seen = 0;
    env.user = g;
    env.wall_us = skewed_us;
    cfg.env = &env;
    must(aios_ctx_new(&cfg, &w->ctx, &err), &err);
    must(aios_model_open(w->ctx, script, NULL, &w->model, &err), &err);
    must(aios_toolset_new(w->ctx, &w->ts, &err), &err);
    aios_tool mail = make_tool("mail", tool_mail, NULL), act = make_tool("act", tool_act, NULL), own = make_tool("own", tool_act, NULL);
    mail.flags = AIOS_TOOL_HANDLE;
    act.effect = AIOS_EFFECT_KEYED;
    act.flags = own.flags = AIOS_TOOL_TRUSTED;
    own.effect = AIOS_EFFECT_LOCAL;
    world_tool(w, mail);
    world_tool(w, act);
    world_tool(w, own);
    must(aios_toolset_add_extract(w->ts, &err), &err);
    w->limits = (aios_limits)AIOS_INIT(aios_limits);
    w->policy = (aios_policy)AIOS_INIT(aios_policy);
    w->cfg = (aios_agent_config)AIOS_INIT(aios_agent_config);
    w->cfg.model = w->model;
    w->cfg.toolset = w->ts;
    w->cfg.limits = &w->limits;
    w->cfg.policy = &w->policy;
    must(aios_store_open(w->ctx, "memory:gated", NULL, &g->store, &err), &err);
    w->cfg.store = g->store;
    use_policy(g, policy);
}

static void gated_close(gated *g)
{
    aios_rules_free(g->w.policy.rules);
    aios_store_close(g->store);
    aios_transcript_free(g->before);
    world_close(&g->w);
}

static aios_run *start_as(gated *g, const char *id)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_run_options o = AIOS_INIT(aios_run_options);
    aios_run *r = NULL;
    o.prompt = "go";
    o.n_prompt = AIOS_CSTR;
    o.id = id;
    begin_behind_a_turn(g);
    o.transcript = g->before;
    must(aios_run_start_with(g->w.agent, &o, &r, &err), &err);
    return r;
}

static aios_run *resume_as(gated *g, const char *id)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_run *r = NULL;
    must(aios_run_resume(g->w.agent, id, &r, &err), &err);
    return r;
}

static const aios_event *pull_to(aios_run *r, int32_t type)
{
    const aios_event *ev;
    while (!aios_run_next(r, -1, &ev))
        if (ev->type == type)
            return ev;
    fail_msg("no event %d came", type);
    return NULL;
}

/* Runs to the next ASK, waits until it is written, and leaves. */
static void leave_at_ask(aios_run *r, char digest[65], char *id)
{
    const aios_event *ev = pull_to(r, AIOS_EVENT_ASK);
    snprintf(digest, 65, "%s", ev->digest ? ev->digest : ev->call_id);
    snprintf(id, 64, "%s", ev->call_id);
    assert_int_equal(aios_run_next(r, -1, &ev), AIOS_AGAIN);
    aios_run_free(r);
}

/* Results that a run gives to its end, one line; asks are allowed. */
static void results_of(aios_run *r, log_text *l)
{
    const aios_event *ev;
    aios_error err = AIOS_INIT(aios_error);
    memset(l, 0, sizeof *l);
    while (!aios_run_next(r, -1, &ev)) {
        if (ev->type == AIOS_EVENT_RESULT)
            log_add(l, ev->code ? "no: " : "", ev->text, ev->n_text);
        if (ev->type == AIOS_EVENT_ASK)
            must(aios_run_decide(r, ev->call_id, AIOS_ALLOW, &err), &err);
        if (ev->type == AIOS_EVENT_ERROR)
            fail_msg("%s", ev->error->msg);
    }
}

static void text_of(const aios_transcript *t, log_text *l)
{
    for (uint32_t i = 0; i < aios_transcript_count(t); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        char label[64];
        aios_transcript_at(t, i, &e);
        snprintf(label, sizeof label, "%d/%llx ", e.label.integrity, (unsigned long long)e.label.confidentiality);
        for (uint32_t k = 0; k < e.n_parts; k++)
            log_add(l, label, e.parts[k].text, e.parts[k].n_text);
    }
}

/* Runs a script whole, then once for each number of events with a new life behind it: what was said must be the same. */
static void lives_say_the_same(const char *script, const char *policy, uint32_t n_effects)
{
    static log_text truth, l;
    char args[16][256];
    memset(&truth, 0, sizeof truth);
    gated g;
    gated_open(&g, script, policy);
    aios_run *r = start_as(&g, "whole");
    results_of(r, &l);
    text_of(aios_run_transcript(r), &truth);
    aios_run_free(r);
    uint32_t n_events = 0, n_truth = n_seen;
    memcpy(args, seen_args, sizeof args);
    assert_int_equal(n_truth, n_effects);
    for (bool over = false; !over; n_events++) {
        char id[32];
        const aios_event *ev;
        n_seen = 0;
        snprintf(id, sizeof id, "cut-%u", n_events);
        r = start_as(&g, id);
        uint32_t n = 0;
        while (n++ < n_events && !over) {
            over = aios_run_next(r, -1, &ev) != 0;
            if (!over && ev->type == AIOS_EVENT_ASK)
                aios_run_decide(r, ev->call_id, AIOS_ALLOW, NULL);
        }
        aios_run_free(r);
        r = resume_as(&g, id);
        results_of(r, &l);
        memset(&l, 0, sizeof l);
        text_of(aios_run_transcript(r), &l);
        if (strcmp(l.s, truth.s))
            fail_msg("after %u events:\n%s\nin place of\n%s", n_events, l.s, truth.s);
        assert_int_equal(n_seen, n_truth);
        assert_memory_equal(seen_args, args, n_truth * sizeof args[0]);
        aios_run_free(r);
    }
    assert_true(n_events > 8);
    gated_close(&g);
}

static void counts_hold_over_lives(void **state)
{
    (void)state;
    lives_say_the_same("echo:say true;turn;call act {\"n\":1};turn;call act {\"n\":2};call own {\"n\":3};call act {\"n\":3};turn;call own {\"n\":3};call own {\"n\":2};turn;say ok",
                       "{'version':1,'capabilities':[{'tool':'act','max_calls':2},{'tool':'own','cost':'/n','max_cost':5.5}]}", 4);
}

static void values_hold_over_lives(void **state)
{
    (void)state;
    lives_say_the_same("echo:say true;turn;call mail {\"n\":1};turn;call act {\"to\":\"$v1\"};call mail {\"n\":2};call act {\"to\":\"$v2\"};turn;call act {\"to\":[\"$v2\",\"$v1\"]};turn;say ok",
                       "{'version':1,'capabilities':[{'tool':'mail'},{'tool':'act','confidentiality':'any'}],'rule_of_two':false}", 3);
    lives_say_the_same("echo:say true;turn;call mail {\"n\":1};turn;call act {\"to\":\"$v1\"};turn;say ok", NULL, 1);
}

#define ASK_BOOL(n) "call extract {\"handle\":\"$v1\",\"schema\":{\"enum\":[true," #n "]},\"question\":\"so?\"}"

static void endorsed_bits_hold_over_lives(void **state)
{
    (void)state;
    lives_say_the_same("echo:say true;turn;call mail {\"n\":1};turn;" ASK_BOOL(1) ";turn;" ASK_BOOL(2) ";call own {\"n\":1};turn;" ASK_BOOL(3) ";turn;call own {\"n\":2};turn;say ok",
                       "{'version':1,'endorse_bits':2,'capabilities':[{'tool':'mail'},{'tool':'extract'},{'tool':'own','integrity':'tool'}]}", 1);
}

static void asks_hold_over_lives(void **state)
{
    (void)state;
    lives_say_the_same("echo:say true;turn;call act {\"n\":1};call own {\"n\":1};turn;call act {\"n\":2};turn;call act {\"n\":3};turn;say ok",
                       "{'version':1,'ask':{'budget':2},'capabilities':[{'tool':'own','max_calls':1},{'tool':'act','verdict':'ask'}]}", 3);
}

static int gather(void *user, const void *p, size_t n)
{
    log_add(user, "", p, n);
    return 0;
}

static void bits_asked_for_by_the_host_hold_over_lives(void **state)
{
    (void)state;
    static const int want[] = {AIOS_LABEL_TOOL, AIOS_LABEL_TOOL, AIOS_LABEL_UNTRUSTED, AIOS_LABEL_UNTRUSTED};
    gated g;
    log_text l = {0};
    aios_error err = AIOS_INIT(aios_error);
    aios_label label;
    const char *text;
    size_t n;
    gated_open(&g, "echo:say true;turn;call mail {\"n\":1};turn;call act {\"n\":1};turn;say ok", "{'version':1,'endorse_bits':2,'capabilities':[{'tool':'*','confidentiality':'any'}]}");
    aios_run *r = start_as(&g, "host");
    pull_to(r, AIOS_EVENT_RESULT);
    pull_to(r, AIOS_EVENT_CALL);
    for (int i = 0; i < 4; i++) { /* the last two of a run that is done */
        must(aios_run_extract(r, "$v1", "{\"type\":\"boolean\"}", "so?", gather, &l, &label, &err), &err);
        assert_int_equal(label.integrity, want[i]);
        assert_int_equal(label.confidentiality, 4);
        aios_run_free(r);
        r = resume_as(&g, "host");
        assert_int_equal(aios_run_value(r, "$v1", &text, &n, &label), 0);
        assert_string_equal(text, "mail {\"n\":1}");
        assert_int_equal(label.confidentiality, 4);
        assert_int_equal(label.integrity, AIOS_LABEL_UNTRUSTED);
        if (i == 1)
            results_of(r, &l);
    }
    pull_to(r, AIOS_EVENT_DONE);
    aios_run_free(r);
    gated_close(&g);
}

/* ---- decisions about runs that nobody has --------------------------------------------------------------------------- */

#define ASKING "{'version':1,'ask':{'budget':1,'timeout_ms':60000},'capabilities':[{'tool':'act','verdict':'ask'}]}"

static void a_decision_waits_for_the_run(void **state)
{
    (void)state;
    for (int32_t verdict = AIOS_ALLOW; verdict <= AIOS_DENY; verdict += 2) {
        gated g;
        log_text l;
        char digest[65], id[64], wrong[65] = KEYS KEYS;
        aios_error err = AIOS_INIT(aios_error);
        aios_run_info info = AIOS_INIT(aios_run_info);
        gated_open(&g, "echo:say true;turn;call act {\"n\":1};turn;say ok", ASKING);
        aios_run *r = start_as(&g, "away");
        pull_to(r, AIOS_EVENT_STATE);
        assert_int_equal(aios_run_approve(g.w.ctx, g.store, "away", wrong, verdict, &err), AIOS_EBUSY);
        leave_at_ask(r, digest, id);
        assert_int_equal(aios_run_approve(g.w.ctx, g.store, "away", wrong, verdict, &err), AIOS_ENOENT);
        assert_int_equal(aios_run_approve(g.w.ctx, g.store, "none", digest, verdict, &err), AIOS_ENOENT);
        assert_int_equal(aios_run_approve(g.w.ctx, g.store, "a/b", digest, verdict, &err), AIOS_EINVAL);
        assert_int_equal(aios_run_approve(g.w.ctx, g.store, "away", "", verdict, &err), AIOS_EINVAL);
        assert_int_equal(aios_run_approve(g.w.ctx, g.store, "away", digest, AIOS_ASK, &err), AIOS_EINVAL);
        if (strlen(digest) == 64) /* an id does not stand for a digest */
            assert_int_equal(aios_run_approve(g.w.ctx, g.store, "away", id, verdict, &err), AIOS_ENOENT);
        must(aios_run_approve(g.w.ctx, g.store, "away", digest, verdict, &err), &err);
        assert_int_equal(aios_run_approve(g.w.ctx, g.store, "away", digest, verdict, &err), AIOS_ENOENT);
        must(aios_run_info_get(g.w.ctx, g.store, "away", &info, &err), &err);
        assert_int_equal(info.n_asks, 0);
        for (int i = 0; i < 2; i++) { /* it stays decided */
            r = resume_as(&g, "away");
            aios_run_free(r);
        }
        r = resume_as(&g, "away");
        results_of(r, &l);
        memset(&l, 0, sizeof l);
        text_of(aios_run_transcript(r), &l);
        assert_true(!strstr(l.s, "acted") == (verdict == AIOS_DENY));
        assert_true(!strstr(l.s, "error: the user denied this call") == (verdict == AIOS_ALLOW));
        assert_int_equal(n_seen, verdict == AIOS_ALLOW);
        aios_run_free(r);
        gated_close(&g);
    }
}

static void an_ask_without_a_digest_goes_by_its_call(void **state)
{
    (void)state;
    gated g;
    aios_error err = AIOS_INIT(aios_error);
    static const char begin[] = "{\"v\":1,\"key\":\"" KEYS "\",\"seed\":\"0\",\"transcript\":{\"v\":1,\"entries\":[]}}";
    static const char turn[] = "{\"v\":1,\"step\":0,\"choice\":0,\"turns\":1,\"calls\":1,\"tokens\":1,\"used_ns\":1,\"said\":{\"v\":1,\"entries\":[{\"role\":\"assistant\","
                               "\"parts\":[{\"kind\":\"call\",\"name\":\"act\",\"call_id\":\"c7\",\"text\":\"{}\"}]}]}}";
    static const char ask[] = "{\"v\":1,\"step\":0,\"call\":0}";
    static const char *const rows[] = {begin, turn, ask};
    static const uint32_t kinds[] = {1, 3, 5};
    gated_open(&g, "echo:say ok", NULL);
    for (int i = 0; i < 3; i++) {
        aios_store_write w = AIOS_INIT(aios_store_write);
        w.stream = "run/old";
        w.data = rows[i];
        w.n_data = strlen(rows[i]);
        w.kind = kinds[i];
        must(aios_store_commit(g.store, &w, 1, sizeof w, NULL, &err), &err);
    }
    assert_int_equal(aios_run_approve(g.w.ctx, g.store, "old", "c8", AIOS_DENY, &err), AIOS_ENOENT);
    must(aios_run_approve(g.w.ctx, g.store, "old", "c7", AIOS_DENY, &err), &err);
    gated_close(&g);
}

static void an_ask_keeps_its_time(void **state)
{
    (void)state;
    gated g;
    log_text l;
    char digest[65], id[64];
    const aios_event *ev;
    aios_error err = AIOS_INIT(aios_error);
    gated_open(&g, "echo:say true;turn;call act {\"n\":1};turn;say ok", ASKING);
    leave_at_ask(start_as(&g, "late"), digest, id);
    g.skew_us = -3600 * INT64_C(1000000); /* a clock that went back gives no more than the policy's minute */
    aios_run *r = resume_as(&g, "late");
    ev = pull_to(r, AIOS_EVENT_ASK);
    if (ev->digest)
        assert_string_equal(ev->digest, digest);
    aios_run_free(r);
    g.skew_us = 61 * INT64_C(1000000);
    assert_int_equal(aios_run_approve(g.w.ctx, g.store, "late", digest, AIOS_ALLOW, &err), AIOS_ETIMEDOUT);
    r = resume_as(&g, "late");
    pull_to(r, AIOS_EVENT_ASK);
    results_of(r, &l);
    assert_string_equal(l.s, "no: error: nobody allowed this call in time");
    aios_run_free(r);
    gated_close(&g);
}

/* What was approved while it was gone, under a policy that is no more, is asked again. */
static void another_policy_asks_again(void **state)
{
    (void)state;
    gated g;
    log_text l;
    char digest[65], id[64];
    aios_run *r = NULL;
    aios_error err = AIOS_INIT(aios_error);
    gated_open(&g, "echo:say true;turn;call act {\"n\":1};turn;say ok", ASKING);
    leave_at_ask(start_as(&g, "moved"), digest, id);
    must(aios_run_approve(g.w.ctx, g.store, "moved", digest, AIOS_ALLOW, &err), &err);
    use_policy(&g, "{'version':1,'capabilities':[{'tool':'act','verdict':'ask','reason':'new'}]}");
    assert_int_equal(aios_run_resume(g.w.agent, "moved", &r, &err), AIOS_ESTATE);
    assert_non_null(strstr(err.msg, "policy is another"));
    use_policy(&g, NULL);
    assert_int_equal(aios_run_resume(g.w.agent, "moved", &r, &err), AIOS_ESTATE);
    assert_non_null(strstr(err.msg, "policy is gone"));
    g.w.cfg.flags = AIOS_AGENT_CHANGED;
    use_policy(&g, "{'version':1,'capabilities':[{'tool':'act','verdict':'ask','reason':'new'}]}");
    r = resume_as(&g, "moved");
    const aios_event *ev = pull_to(r, AIOS_EVENT_ASK);
    if (ev->digest)
        assert_string_not_equal(ev->digest, digest);
    aios_run_free(r);
    use_policy(&g, "{'version':1,'capabilities':[]}");
    r = resume_as(&g, "moved");
    results_of(r, &l);
    assert_string_equal(l.s, "no: error: the policy denied this call: no capability is for act");
    assert_int_equal(n_seen, 0);
    aios_run_free(r);
    gated_close(&g);
}

/* Commit number *user of a run fails. */
static int fail_one(void *user, const char *run_id, const aios_store_write *records, uint32_t n, aios_commit_more *more)
{
    (void)run_id, (void)records, (void)n, (void)more;
    return --*(int *)user ? AIOS_OK : AIOS_EIO;
}

/* What began under a policy that is no more is told as unknown, and made again only if the policy of today lets it. */
static void what_another_policy_began_is_not_made_again(void **state)
{
    (void)state;
    static const char *const says[] = {"acted", "no: error: the policy denied this call: no capability is for act"};
    for (int i = 0; i < 2; i++) {
        gated g;
        log_text l;
        int left = 3; /* begin, intent, receipt */
        aios_error err = AIOS_INIT(aios_error);
        aios_commit_hook hook = AIOS_INIT(aios_commit_hook);
        hook.user = &left;
        hook.prepare = fail_one;
        gated_open(&g, "echo:say true;turn;call act {\"n\":1};turn;say ok", NULL);
        g.w.cfg.hook = &hook;
        g.w.cfg.flags = AIOS_AGENT_CHANGED;
        use_policy(&g, "{'version':1,'capabilities':[{'tool':'act'}]}");
        aios_run *r = start_as(&g, "began");
        assert_int_equal(pull_to(r, AIOS_EVENT_ERROR)->error->code, AIOS_EIO);
        aios_run_free(r);
        assert_int_equal(n_seen, 1);
        use_policy(&g, i ? "{'version':1,'capabilities':[]}" : "{'version':1,'capabilities':[{'tool':'act','max_calls':1}]}");
        r = resume_as(&g, "began");
        must(aios_run_decide(r, pull_to(r, AIOS_EVENT_UNKNOWN)->call_id, AIOS_ALLOW, &err), &err);
        results_of(r, &l);
        assert_string_equal(l.s, says[i]);
        assert_int_equal(n_seen, 2 - i);
        aios_run_free(r);
        gated_close(&g);
    }
}

/* The capability has expired, or its label would be denied now: what was approved does not happen. */
static void an_approval_does_not_outlive_its_capability(void **state)
{
    (void)state;
    gated g;
    log_text l;
    char digest[65], id[64], policy[256], until[64];
    time_t at = time(NULL) + 3600;
    struct tm tm;
    aios_error err = AIOS_INIT(aios_error);
    gmtime_r(&at, &tm);
    strftime(until, sizeof until, "%Y-%m-%dT%H:%M:%SZ", &tm);
    snprintf(policy, sizeof policy, "{'version':1,'capabilities':[{'tool':'act','verdict':'ask','expires':'%s'}]}", until);
    gated_open(&g, "echo:say true;turn;call act {\"n\":1};turn;say ok", policy);
    leave_at_ask(start_as(&g, "old"), digest, id);
    must(aios_run_approve(g.w.ctx, g.store, "old", digest, AIOS_ALLOW, &err), &err);
    g.skew_us = 7200 * INT64_C(1000000);
    aios_run *r = resume_as(&g, "old");
    results_of(r, &l);
    assert_non_null(strstr(l.s, "its time is over (expires)"));
    assert_int_equal(n_seen, 0);
    aios_run_free(r);
    gated_close(&g);
}

static void a_run_that_nobody_has_is_ended(void **state)
{
    (void)state;
    gated g;
    log_text l;
    char digest[65], id[64];
    aios_error err = AIOS_INIT(aios_error);
    aios_run_info info = AIOS_INIT(aios_run_info);
    gated_open(&g, "echo:say true;turn;call act {\"n\":1};turn;say ok", ASKING);
    aios_run *r = start_as(&g, "left");
    assert_int_equal(aios_run_abandon(g.w.ctx, g.store, "left", &err), AIOS_EBUSY);
    leave_at_ask(r, digest, id);
    for (int i = 0; i < 2; i++) {
        must(aios_run_abandon(g.w.ctx, g.store, "left", &err), &err);
        must(aios_run_info_get(g.w.ctx, g.store, "left", &info, &err), &err);
        assert_int_equal(info.state, AIOS_RUN_STOPPED);
        assert_int_equal(info.code, AIOS_ECANCELED);
        assert_int_equal(info.n_asks, 1);
        assert_int_equal(info.n_calls, 1);
    }
    assert_int_equal(aios_run_abandon(g.w.ctx, g.store, "none", &err), AIOS_ENOENT);
    must(aios_run_approve(g.w.ctx, g.store, "left", digest, AIOS_ALLOW, &err), &err);
    r = resume_as(&g, "left");
    results_of(r, &l);
    assert_string_equal(l.s, "acted");
    aios_run_free(r);
    assert_int_equal(aios_run_abandon(g.w.ctx, g.store, "left", &err), AIOS_ESTATE);
    gated_close(&g);
}

/* ---- what the records say ------------------------------------------------------------------------------------------- */

static int check_policy(void *user, const aios_record *rec)
{
    const char *id = user;
    bool decides = rec->kind == 1 || (rec->kind >= 4 && rec->kind <= 7); /* begin, intent, ask, decision, result */
    char *text = calloc(1, rec->n_data + 1);
    memcpy(text, rec->data, rec->n_data);
    const char *at = strstr(text, "\"policy\":\"");
    if (!at != !decides || (at && id[0] && strncmp(at + 10, id, 64)))
        fail_msg("record %llu of kind %u: %s", (unsigned long long)rec->seq, rec->kind, text);
    free(text);
    return 0;
}

static void each_decision_and_effect_names_its_policy(void **state)
{
    (void)state;
    gated g;
    log_text l;
    aios_error err = AIOS_INIT(aios_error);
    gated_open(&g, "echo:say true;turn;call act {\"n\":1};call own {};call mail {};turn;say ok", "{'version':1,'capabilities':[{'tool':'act','verdict':'ask'},{'tool':'own'}]}");
    aios_run *r = start_as(&g, "told");
    results_of(r, &l);
    aios_run_free(r);
    char id[65];
    snprintf(id, sizeof id, "%s", aios_rules_digest(g.w.policy.rules));
    must(aios_store_read(g.store, "run/told", 0, check_policy, id, &err), &err);
    gated_close(&g);
}

/* ---- journals of enemies -------------------------------------------------------------------------------------------- */

typedef struct copied {
    char *data[48];
    size_t n[48];
    uint32_t kind[48];
    int count;
} copied;

static int copy_record(void *user, const aios_record *r)
{
    copied *c = user;
    assert_true(c->count < 48);
    c->data[c->count] = calloc(1, r->n_data + 1);
    memcpy(c->data[c->count], r->data, r->n_data);
    c->n[c->count] = r->n_data;
    c->kind[c->count++] = r->kind;
    return 0;
}

static void put_record(gated *g, const char *id, uint32_t kind, const char *data, size_t n)
{
    char stream[64];
    aios_error err = AIOS_INIT(aios_error);
    aios_store_write w = AIOS_INIT(aios_store_write);
    snprintf(stream, sizeof stream, "run/%s", id);
    w.stream = stream;
    w.data = data;
    w.n_data = n;
    w.kind = kind;
    must(aios_store_commit(g->store, &w, 1, sizeof w, NULL, &err), &err);
}

static void open_model(gated *g, copied *c)
{
    log_text l;
    aios_error err = AIOS_INIT(aios_error);
    gated_open(g, "echo:say true;turn;call mail {\"n\":1};turn;call act {\"to\":\"$v1\"};call own {\"n\":2};" ASK_BOOL(1) ";turn;call own {\"n\":1};turn;say ok",
               "{'version':1,'endorse_bits':2,'ask':{'timeout_ms':60000},'rule_of_two':false,'capabilities':[{'tool':'mail'},{'tool':'extract'},"
               "{'tool':'act','verdict':'ask','confidentiality':'any','max_calls':3},{'tool':'own','cost':'/n','max_cost':4}]}");
    aios_run *r = start_as(g, "model");
    results_of(r, &l);
    aios_run_free(r);
    memset(c, 0, sizeof *c);
    must(aios_store_read(g->store, "run/model", 0, copy_record, c, &err), &err);
}

static void close_model(gated *g, copied *c)
{
    for (int i = 0; i < c->count; i++)
        free(c->data[i]);
    gated_close(g);
}

static void what_a_journal_says_is_checked(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *says;
    } rows[] = {
        {"\"charged\":[[2,1]]", "\"charged\":[[4,1]]", "charged"},        /* one more than the policy has */
        {"\"charged\":[[2,1]]", "\"charged\":[[-1,1]]", "charged"},
        {"\"charged\":[[2,1]]", "\"charged\":[[2,-1]]", "charged"},
        {"\"charged\":[[2,1]]", "\"charged\":[[2,1e999]]", ""},
        {"\"charged\":[[2,1]]", "\"charged\":[[2]]", "charged"},
        {"\"charged\":[[2,1]]", "\"charged\":[2,1]", "charged"},
        {"\"charged\":[[2,1]]", "\"charged\":[[1,1],[1,1],[1,1],[1,1],[1,1]]", "more than"},
        {"\"endorsed\":1", "\"endorsed\":-1", "endorsed"},
        {"\"endorsed\":1", "\"endorsed\":1e300", "endorsed"},
        {"\"endorsed\":1", "\"endorsed\":\"1\"", "endorsed"},
        {"\"value\":{\"handle\":1", "\"value\":{\"handle\":2", "handle"},
        {"\"value\":{\"handle\":1", "\"value\":{\"handle\":0", "handle"},
        {"\"value\":{\"handle\":1", "\"value\":{\"handle\":4294967297", "handle"},
        {"\"value\":{\"handle\":1,\"confidentiality\":\"4\"", "\"value\":{\"handle\":1,\"confidentiality\":\"x\"", "confidentiality"},
        {"\"value\":{\"handle\":1,\"confidentiality\":\"4\"", "\"value\":{\"handle\":1,\"confidentiality\":\"11112222333344445\"", "confidentiality"},
        {"\"integrity\":1", "\"integrity\":9", "integrity"},
        {"\"integrity\":1", "\"integrity\":-1", "integrity"},
        {"\"until_us\":", "\"until_us\":-", "until_us"},
        {"\"digest\":\"", "\"digest\":\"x", "digest"},
        {"\"verdict\":\"allow\"", "\"verdict\":\"ask\"", "verdict"},
    };
    gated g;
    copied c;
    uint32_t n = 0;
    open_model(&g, &c);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char id[32];
        bool changed = false;
        aios_run *r = NULL;
        aios_error err = AIOS_INIT(aios_error);
        snprintf(id, sizeof id, "liar-%zu", i);
        for (int k = 0; k < c.count; k++) {
            static char text[16384];
            const char *at = changed ? NULL : strstr(c.data[k], rows[i].from);
            snprintf(text, sizeof text, "%.*s%s%s", at ? (int)(at - c.data[k]) : (int)c.n[k], c.data[k], at ? rows[i].to : "", at ? at + strlen(rows[i].from) : "");
            put_record(&g, id, c.kind[k], text, strlen(text));
            changed = changed || at;
        }
        if (!changed && !strcmp(rows[i].says, "digest") && !aios_rules_digest(g.w.policy.rules)[0])
            continue; /* this build has none */
        if (!changed)
            fail_msg("no record has %s", rows[i].from);
        int rc = aios_run_resume(g.w.agent, id, &r, &err);
        if (rc != AIOS_EFORMAT || !strstr(err.msg, rows[i].says))
            fail_msg("%s: %d %s", rows[i].to, rc, err.msg);
        n++;
    }
    assert_true(n >= sizeof rows / sizeof *rows - 1);
    close_model(&g, &c);
}

/* An approval is for just what was asked: where a journal gives its call other arguments, it is asked again. */
static void an_approval_is_not_for_other_arguments(void **state)
{
    (void)state;
    gated g;
    copied c = {.count = 0};
    char digest[65], id[64];
    aios_error err = AIOS_INIT(aios_error);
    gated_open(&g, "echo:say true;turn;call act {\"n\":1};turn;say ok", "{'version':1,'capabilities':[{'tool':'act','verdict':'ask'}]}");
    leave_at_ask(start_as(&g, "asked"), digest, id);
    must(aios_run_approve(g.w.ctx, g.store, "asked", digest, AIOS_ALLOW, &err), &err);
    must(aios_store_read(g.store, "run/asked", 0, copy_record, &c, &err), &err);
    for (int i = 0; i < c.count; i++) {
        char *at = c.kind[i] == 3 ? strstr(c.data[i], "\\\"n\\\":1") : NULL;
        if (at)
            at[6] = '9';
        put_record(&g, "other", c.kind[i], c.data[i], c.n[i]);
        free(c.data[i]);
    }
    aios_run *r = resume_as(&g, "other");
    if (strlen(digest) == 64) {
        const aios_event *ev = pull_to(r, AIOS_EVENT_ASK);
        assert_string_equal(ev->text, "{\"n\":9}");
        assert_string_not_equal(ev->digest, digest);
        assert_int_equal(n_seen, 0);
    }
    aios_run_free(r);
    gated_close(&g);
}

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

/* Bytes changed, records cut, gone or of another kind: refused, or a run as any other; and what outsiders ask of it is safe. */
static void try_journal(gated *g, const char *id)
{
    aios_run *r = NULL;
    aios_error err = AIOS_INIT(aios_error);
    aios_run_info info = AIOS_INIT(aios_run_info);
    char digest[65] = KEYS KEYS;
    aios_run_approve(g->w.ctx, g->store, id, digest, AIOS_ALLOW, &err);
    aios_run_approve(g->w.ctx, g->store, id, "call_1", AIOS_DENY, &err);
    int rc = aios_run_resume(g->w.agent, id, &r, &err);
    if (rc && rc != AIOS_EFORMAT && rc != AIOS_EVERSION && rc != AIOS_ESTATE && rc != AIOS_ELIMIT)
        fail_msg("%d: %s", rc, err.msg);
    const aios_event *ev;
    for (int i = 0; r && i < 200 && !aios_run_next(r, 0, &ev); i++)
        if (ev->type == AIOS_EVENT_ASK || ev->type == AIOS_EVENT_UNKNOWN)
            aios_run_decide(r, ev->call_id, AIOS_DENY, NULL);
    aios_run_free(r);
    assert_int_equal(aios_run_info_get(g->w.ctx, g->store, id, &info, &err), 0);
    rc = aios_run_abandon(g->w.ctx, g->store, id, &err);
    if (rc && rc != AIOS_EFORMAT && rc != AIOS_EVERSION && rc != AIOS_ESTATE)
        fail_msg("%d: %s", rc, err.msg);
}

static void journal_of_an_enemy_is_refused_or_read(void **state)
{
    (void)state;
    gated g;
    copied c;
    uint64_t x = 88172645463325252u;
    char id[32];
    open_model(&g, &c);
    for (int round = 0; round < 2000; round++) {
        int what = (int)(next_random(&x) % 4), at = (int)(next_random(&x) % (uint64_t)c.count), upto = c.count - (int)(next_random(&x) % 12);
        snprintf(id, sizeof id, "enemy-%d", round);
        for (int i = 0; i < upto; i++) {
            char *p = malloc(c.n[i] + 1);
            memcpy(p, c.data[i], c.n[i]);
            size_t n = c.n[i], pos = next_random(&x) % n;
            if (i == at && what == 0)
                p[pos] = (char)next_random(&x);
            if (i == at && what == 1)
                p[pos] = "0123456789-{}[],\""[next_random(&x) % 17];
            if (i != at || what != 2 || !i) /* 2: it is gone */
                put_record(&g, id, i == at && what == 3 ? (uint32_t)(next_random(&x) % 11) : c.kind[i], p, n);
            free(p);
        }
        try_journal(&g, id);
    }
    close_model(&g, &c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_hold_over_lives),
        cmocka_unit_test(values_hold_over_lives),
        cmocka_unit_test(endorsed_bits_hold_over_lives),
        cmocka_unit_test(asks_hold_over_lives),
        cmocka_unit_test(bits_asked_for_by_the_host_hold_over_lives),
        cmocka_unit_test(a_decision_waits_for_the_run),
        cmocka_unit_test(an_ask_without_a_digest_goes_by_its_call),
        cmocka_unit_test(an_ask_keeps_its_time),
        cmocka_unit_test(another_policy_asks_again),
        cmocka_unit_test(what_another_policy_began_is_not_made_again),
        cmocka_unit_test(an_approval_does_not_outlive_its_capability),
        cmocka_unit_test(a_run_that_nobody_has_is_ended),
        cmocka_unit_test(each_decision_and_effect_names_its_policy),
        cmocka_unit_test(an_approval_is_not_for_other_arguments),
        cmocka_unit_test(what_a_journal_says_is_checked),
        cmocka_unit_test(journal_of_an_enemy_is_refused_or_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
