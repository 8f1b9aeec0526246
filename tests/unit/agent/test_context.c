/* SPDX-License-Identifier: Apache-2.0 */
/* Runs that are longer than their model's context: what is left out, what stays, and what is told of it. */
#include <poll.h>

#include "agent_test.h"
#include "teller.h"

typedef struct desk {
    world w;
    teller t;
    aios_compact compact;
    char result[40000]; /* of a look: 80 bytes unless n_result says otherwise */
    uint32_t n_result;
    char contexts[40][700]; /* texts of CONTEXT events */
    char how[40][16];
    uint32_t n_contexts;
    int code;
    aios_error err;
    uint64_t n_output;
} desk;

static int tool_look(void *user, aios_call *call)
{
    desk *d = user;
    return aios_call_finish(call, 0, d->result, d->n_result);
}

static void desk_open(desk *d, int32_t policy)
{
    aios_error err = AIOS_INIT(aios_error);
    d->n_result = d->n_result ? d->n_result : 80;
    memset(d->result, 'r', sizeof d->result);
    memcpy(d->result, "seen: ", 6);
    world_open(&d->w, NULL, "echo:say never");
    aios_model_close(d->w.model);
    teller_model(d->w.ctx, &d->t, &d->w.model);
    d->w.cfg.model = d->w.model;
    aios_tool t = make_tool("look", tool_look, d);
    t.schema_json = "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}},\"required\":[\"n\"]}";
    world_tool(&d->w, t);
    if (policy == AIOS_COMPACT_OFFLOAD)
        must(aios_toolset_add_read_result(d->w.ts, &err), &err);
    d->compact.struct_size = sizeof d->compact;
    d->compact.policy = policy;
    d->w.cfg.compact = &d->compact;
    d->w.cfg.instructions = "be brief";
    d->w.limits.max_turns = 500;
    d->w.limits.max_calls = 500;
    world_agent(&d->w);
    if (!d->t.prompt)
        d->t.prompt = "PROMPT";
}

static void take_context(desk *d, const aios_event *ev)
{
    if (d->n_contexts == 40)
        fail_msg("compacted more than 40 times");
    snprintf(d->contexts[d->n_contexts], sizeof d->contexts[0], "%s", ev->text);
    snprintf(d->how[d->n_contexts++], sizeof d->how[0], "%s", ev->name);
}

/* To the end; the run is the caller's. */
static aios_run *desk_run(desk *d, aios_transcript *t, const char *prompt)
{
    const aios_event *ev;
    aios_run *r = world_start(&d->w, t, prompt);
    d->err = (aios_error)AIOS_INIT(aios_error);
    d->code = 0;
    while (!aios_run_next(r, -1, &ev)) {
        if (ev->type == AIOS_EVENT_CONTEXT)
            take_context(d, ev);
        if (ev->type == AIOS_EVENT_USAGE)
            d->n_output += ev->usage->output;
        if (ev->type == AIOS_EVENT_ERROR) {
            d->err = *ev->error;
            d->code = ev->error->code;
        }
    }
    return r;
}

static void desk_close(desk *d)
{
    world_close(&d->w);
    free(d);
}

static desk *desk_new(void)
{
    return calloc(1, sizeof(desk));
}

static uint32_t count_kind(const aios_transcript *t, int32_t kind)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < aios_transcript_count(t); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(t, i, &e);
        for (uint32_t k = 0; k < e.n_parts; k++)
            n += e.parts[k].kind == kind;
    }
    return n;
}

/* ---- accounting --------------------------------------------------------------------------------------------------- */

static void use_of_the_context_is_told_exactly(void **state)
{
    (void)state;
    desk *d = desk_new();
    aios_context_use u = AIOS_INIT(aios_context_use), v = AIOS_INIT(aios_context_use);
    aios_error err = AIOS_INIT(aios_error);
    d->t.n_calls = 3;
    desk_open(d, AIOS_COMPACT_DROP);
    must(aios_agent_context(d->w.agent, NULL, &u, &err), &err);
    assert_true(u.exact && u.n_ctx == 1000 && u.high == 800 && u.low == 500);
    assert_int_equal(u.input, u.instructions + u.tools + u.history);
    assert_true(u.tools > 0 && u.n_entries == 2 && u.reply == 1000 - u.input);
    aios_run *r = world_start(&d->w, NULL, "PROMPT");
    const aios_event *ev;
    uint32_t said = 0;
    must(aios_run_context(r, &u, &err), &err);
    while (!aios_run_next(r, -1, &ev)) {
        if (ev->type == AIOS_EVENT_USAGE) {
            assert_int_equal(ev->usage->input, u.input);
            said++;
        }
        if (ev->type == AIOS_EVENT_STATE && !strcmp(ev->text, "model") && said) /* within a turn: of the one that is made */
            must(aios_run_context(r, &v, &err), &err);
        if (ev->type == AIOS_EVENT_RESULT) {
            while (!aios_run_next(r, 0, &ev) && ev->type != AIOS_EVENT_STATE)
                ;
            must(aios_run_context(r, &u, &err), &err);
            assert_true(u.exact && u.n_hidden == 0 && u.n_compacted == 0);
        }
    }
    assert_int_equal(said, 4);
    aios_context_use w = AIOS_INIT(aios_context_use);
    must(aios_agent_context(d->w.agent, aios_run_transcript(r), &w, &err), &err);
    assert_true(w.input > v.input && w.n_entries == aios_transcript_count(aios_run_transcript(r)));
    assert_int_equal(aios_run_context(NULL, &u, &err), AIOS_EINVAL);
    aios_run_free(r);
    desk_close(d);
}

static void use_of_a_remote_context_is_an_estimate(void **state)
{
    (void)state;
    desk *d = desk_new();
    aios_context_use u = AIOS_INIT(aios_context_use);
    aios_error err = AIOS_INIT(aios_error);
    d->t.privacy = AIOS_PRIVACY_REMOTE;
    desk_open(d, AIOS_COMPACT_NONE);
    must(aios_agent_context(d->w.agent, NULL, &u, &err), &err);
    assert_true(!u.exact && u.input > 0 && u.high == 0);
    assert_int_equal(u.input, u.instructions + u.tools + u.history);
    desk_close(d);
}

/* ---- leaving out -------------------------------------------------------------------------------------------------- */

static void run_that_does_not_fit_ends_without_a_policy(void **state)
{
    (void)state;
    desk *d = desk_new();
    d->t.n_calls = 100;
    desk_open(d, AIOS_COMPACT_NONE);
    aios_run *r = desk_run(d, NULL, "PROMPT");
    assert_int_equal(d->code, AIOS_ECONTEXT);
    assert_true(d->err.have == 1000 && d->err.need >= 1000);
    assert_int_equal(d->n_contexts, 0);
    aios_run_free(r);
    desk_close(d);
}

static void oldest_turns_are_dropped_and_kept_in_the_transcript(void **state)
{
    (void)state;
    desk *d = desk_new();
    d->t.n_calls = 120;
    desk_open(d, AIOS_COMPACT_DROP);
    aios_run *r = desk_run(d, NULL, "PROMPT");
    const aios_transcript *t = aios_run_transcript(r);
    if (d->code)
        fail_msg("%s", d->err.msg);
    assert_int_equal(count_kind(t, AIOS_PART_CALL), 120);
    assert_int_equal(count_kind(t, AIOS_PART_RESULT), 120);
    assert_int_equal(count_kind(t, AIOS_PART_CONTEXT), d->n_contexts);
    assert_true(d->n_contexts >= 4 && d->n_contexts <= 30); /* not each turn */
    assert_true(d->t.most <= 800 && d->t.n_refused == 0);
    assert_non_null(strstr(d->t.asked, "PROMPT"));
    assert_non_null(strstr(d->t.asked, "left out here"));
    check_whole(t);
    for (uint32_t i = 0; i < d->n_contexts; i++) {
        unsigned before, after;
        const char *p = strstr(d->contexts[i], "\"before\":");
        assert_non_null(p);
        assert_int_equal(sscanf(p, "\"before\":%u,\"after\":%u", &before, &after), 2);
        assert_true(before > 800 && after <= 500 && after > 350); /* as little as brings it down */
        assert_string_equal(d->how[i], "drop");
    }
    aios_run_free(r);
    desk_close(d);
}

static void older_turns_of_the_user_go_first(void **state)
{
    (void)state;
    desk *d = desk_new();
    aios_transcript *t;
    aios_error err = AIOS_INIT(aios_error);
    char prompt[64];
    d->t.prompt = "PROMPT";
    desk_open(d, AIOS_COMPACT_DROP);
    must(aios_transcript_new(d->w.ctx, &t, &err), &err);
    for (int i = 1; i <= 120; i++) {
        d->t.n_calls = (uint32_t)i;
        snprintf(prompt, sizeof prompt, "PROMPT %d", i);
        d->t.prompt = prompt;
        aios_run_free(desk_run(d, t, prompt));
        if (d->code)
            fail_msg("%d: %s", i, d->err.msg);
    }
    assert_true(d->n_contexts > 3);
    assert_null(strstr(d->t.asked, "PROMPT 1["));
    assert_non_null(strstr(d->t.asked, "PROMPT 120"));
    check_whole(t);
    aios_transcript_free(t);
    desk_close(d);
}

/* The gate sees labels of what is no longer in the context, too. */
static int check_label(void *user, const aios_action *a, aios_verdict *out)
{
    desk *d = user;
    if (d->n_contexts && a->context.integrity != AIOS_LABEL_UNTRUSTED)
        fail_msg("the context's label is %d after compacting", a->context.integrity);
    out->verdict = AIOS_ALLOW;
    return 0;
}

static void label_of_the_context_stays(void **state)
{
    (void)state;
    desk *d = desk_new();
    aios_transcript *t;
    aios_error err = AIOS_INIT(aios_error);
    d->t.n_calls = 60;
    desk_open(d, AIOS_COMPACT_DROP);
    aios_agent_free(d->w.agent);
    d->w.policy.decide = check_label;
    d->w.policy.user = d;
    world_agent(&d->w);
    must(aios_transcript_new(d->w.ctx, &t, &err), &err);
    aios_run_free(desk_run(d, t, "PROMPT"));
    assert_true(d->code == 0 && d->n_contexts > 2);
    d->t.n_calls = 62; /* another run over the same transcript */
    aios_run_free(desk_run(d, t, "PROMPT again"));
    assert_int_equal(d->code, 0);
    aios_transcript_free(t);
    desk_close(d);
}

/* ---- summaries ---------------------------------------------------------------------------------------------------- */

static void summary_stands_in_place_of_what_it_is_of(void **state)
{
    (void)state;
    desk *d = desk_new();
    d->t.n_calls = 120;
    desk_open(d, AIOS_COMPACT_SUMMARISE);
    aios_run *r = desk_run(d, NULL, "PROMPT");
    if (d->code)
        fail_msg("%s", d->err.msg);
    assert_true(d->n_contexts >= 4 && d->t.n_summaries == d->n_contexts && d->t.most <= 800);
    assert_int_equal(d->n_output, 7 * (121 + d->t.n_summaries)); /* its tokens are told as the others */
    assert_non_null(strstr(d->t.asked, "looked often, code"));
    assert_non_null(strstr(d->t.asked_summary, "looked often, code")); /* a summary holds the one before */
    assert_non_null(strstr(d->t.asked_summary, "Result of look: seen: "));
    assert_null(strstr(d->t.asked_summary, "PROMPT"));
    const aios_transcript *t = aios_run_transcript(r);
    for (uint32_t i = 0; i < aios_transcript_count(t); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(t, i, &e);
        if (e.parts[0].kind == AIOS_PART_CONTEXT) {
            assert_int_equal(e.label.integrity, AIOS_LABEL_UNTRUSTED); /* the join of what it is of */
            assert_int_equal(e.n_parts, 2);
        }
    }
    aios_run_free(r);
    desk_close(d);
}

static void tokens_of_summaries_are_within_the_limit(void **state)
{
    (void)state;
    desk *d = desk_new();
    d->t.n_calls = 400;
    desk_open(d, AIOS_COMPACT_SUMMARISE);
    aios_agent_free(d->w.agent);
    d->w.limits.max_tokens = 7 * 60;
    world_agent(&d->w);
    aios_run_free(desk_run(d, NULL, "PROMPT"));
    assert_int_equal(d->code, AIOS_ELIMIT);
    assert_true(d->t.n_summaries > 0);
    assert_int_equal(d->n_output, 7 * 60);
    desk_close(d);
}

static void summaries_that_are_none_do_not_stop_a_run(void **state)
{
    (void)state;
    static const struct {
        const char *says;
        uint32_t n;
        const char *how, *why;
    } rows[] = {{"", 0, "drop", "was empty"}, {" \n\t ", 0, "drop", "was empty"}, {NULL, 1 << 20, "drop", "as long as what it was of"}};
    for (size_t i = 0; i < 3; i++) {
        desk *d = desk_new();
        d->t.n_calls = 60;
        d->t.summary = rows[i].says;
        d->t.summary_bytes = rows[i].n;
        desk_open(d, AIOS_COMPACT_SUMMARISE);
        aios_run_free(desk_run(d, NULL, "PROMPT"));
        if (d->code)
            fail_msg("%zu: %s", i, d->err.msg);
        assert_true(d->n_contexts > 1 && d->t.most <= 800);
        assert_string_equal(d->how[0], rows[i].how);
        assert_non_null(strstr(d->contexts[0], rows[i].why));
        desk_close(d);
    }
}

static void summary_is_cut_at_its_bound(void **state)
{
    (void)state;
    desk *d = desk_new();
    d->t.n_calls = 60;
    d->t.summary_bytes = 4096;
    d->compact.max_summary = 32;
    desk_open(d, AIOS_COMPACT_SUMMARISE);
    aios_run *r = desk_run(d, NULL, "PROMPT");
    assert_int_equal(d->code, 0);
    assert_string_equal(d->how[0], "summarise");
    const char *p = strstr(d->t.asked, "xxxx");
    assert_non_null(p);
    assert_int_equal(strspn(p, "x"), 32 * 16);
    aios_run_free(r);
    desk_close(d);
}

static void run_is_cancelled_within_a_summary(void **state)
{
    (void)state;
    desk *d = desk_new();
    const aios_event *ev;
    d->t.n_calls = 60;
    desk_open(d, AIOS_COMPACT_SUMMARISE);
    aios_run *r = world_start(&d->w, NULL, "PROMPT");
    bool seen = false;
    while (!aios_run_next(r, -1, &ev)) {
        if (ev->type == AIOS_EVENT_STATE && !strcmp(ev->text, "context") && !seen) {
            seen = true;
            aios_run_cancel(r);
        }
        if (ev->type == AIOS_EVENT_ERROR)
            assert_int_equal(ev->error->code, AIOS_ECANCELED);
    }
    assert_true(seen);
    check_whole(aios_run_transcript(r));
    assert_int_equal(count_kind(aios_run_transcript(r), AIOS_PART_CONTEXT), 0);
    aios_run_free(r);
    desk_close(d);
}

/* A host that waits for the descriptor gets through summaries as through turns. */
static void descriptor_tells_of_summaries(void **state)
{
    (void)state;
    desk *d = desk_new();
    const aios_event *ev;
    int rc;
    d->t.n_calls = 60;
    desk_open(d, AIOS_COMPACT_SUMMARISE);
    aios_run *r = world_start(&d->w, NULL, "PROMPT");
    struct pollfd p = {.fd = aios_run_fd(r), .events = POLLIN};
    assert_true(p.fd >= 0);
    while ((rc = aios_run_next(r, 0, &ev)) != AIOS_DONE) {
        if (rc == AIOS_AGAIN) {
            if (poll(&p, 1, 20000) != 1)
                fail_msg("the descriptor says nothing");
            continue;
        }
        assert_int_equal(rc, 0);
        if (ev->type == AIOS_EVENT_CONTEXT)
            take_context(d, ev);
        if (ev->type == AIOS_EVENT_ERROR)
            fail_msg("%s", ev->error->msg);
    }
    assert_true(d->n_contexts > 2 && d->t.n_summaries == d->n_contexts); /* whether there was something to wait for is the model's speed */
    aios_run_free(r);
    desk_close(d);
}

/* ---- results by their beginning ----------------------------------------------------------------------------------- */

static void large_results_are_read_by_pieces(void **state)
{
    (void)state;
    desk *d = desk_new();
    d->t.n_calls = 40;
    d->n_result = 700;
    desk_open(d, AIOS_COMPACT_OFFLOAD);
    aios_run *r = desk_run(d, NULL, "PROMPT");
    if (d->code)
        fail_msg("%s", d->err.msg);
    assert_true(d->n_contexts > 2 && d->t.most <= 800);
    assert_string_equal(d->how[0], "offload");
    assert_non_null(strstr(d->contexts[0], "\"cut\":["));
    assert_non_null(strstr(d->t.asked, "[the first 160 of 700 bytes; more by read_result {\"call\":\"call_"));
    aios_context_use u = AIOS_INIT(aios_context_use);
    aios_error err = AIOS_INIT(aios_error);
    must(aios_run_context(r, &u, &err), &err);
    assert_true(u.n_cut > 0 && u.n_compacted == d->n_contexts);
    aios_run_free(r);
    desk_close(d);
}

static void read_result_gives_what_was_cut(void **state)
{
    (void)state;
    world w;
    log_text l = {0};
    aios_error err = AIOS_INIT(aios_error);
    char big[5000];
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)('a' + i % 26);
    world_open(&w, NULL, "echo:call big {};turn;call read_result {\"call\":\"call_1\",\"offset\":3000};turn;call read_result {\"call\":\"none\",\"offset\":0};turn;say ok");
    must(aios_toolset_add_read_result(w.ts, &err), &err);
    desk d = {.n_result = sizeof big};
    memcpy(d.result, big, sizeof big);
    world_tool(&w, make_tool("big", tool_look, &d));
    world_agent(&w);
    aios_run *r = world_start(&w, NULL, "go");
    pull_all(r, &l);
    char want[2100];
    snprintf(want, sizeof want, "result:%.2000s\n[to the end, 5000 bytes]", big + 3000);
    assert_non_null(strstr(l.s, want));
    assert_non_null(strstr(l.s, "result(ENOENT):error: no call \"none\""));
    aios_entry e = AIOS_INIT(aios_entry);
    must(aios_transcript_at(aios_run_transcript(r), 4, &e), &err);
    assert_int_equal(e.role, AIOS_ROLE_TOOL);
    assert_int_equal(e.label.integrity, AIOS_LABEL_UNTRUSTED); /* as what it read */
    aios_run_free(r);
    world_close(&w);
}

/* ---- what cannot be helped ---------------------------------------------------------------------------------------- */

static void entry_larger_than_the_context_is_a_failure_with_numbers(void **state)
{
    (void)state;
    for (int32_t policy = AIOS_COMPACT_DROP; policy <= AIOS_COMPACT_OFFLOAD; policy++) {
        desk *d = desk_new();
        char *prompt = malloc(20001);
        memset(prompt, 'P', 20000);
        prompt[20000] = 0;
        d->t.n_calls = 5;
        d->t.prompt = "PPPP";
        desk_open(d, policy);
        aios_run *r = desk_run(d, NULL, prompt);
        assert_int_equal(d->code, AIOS_ECONTEXT);
        assert_true(d->err.have == 1000 && d->err.need > 5000);
        assert_true(d->t.n_starts <= 3 && d->n_contexts == 0);
        aios_run_free(r);
        free(prompt);
        desk_close(d);
    }
}

static void newest_result_is_too_large(void **state)
{
    (void)state;
    for (int32_t policy = AIOS_COMPACT_DROP; policy <= AIOS_COMPACT_OFFLOAD; policy++) {
        desk *d = desk_new();
        d->t.n_calls = 5;
        d->n_result = 30000;
        desk_open(d, policy);
        aios_run *r = desk_run(d, NULL, "PROMPT");
        if (policy == AIOS_COMPACT_OFFLOAD) {
            assert_int_equal(d->code, 0);
        } else {
            assert_int_equal(d->code, AIOS_ECONTEXT);
            assert_true(d->err.have == 1000 && d->err.need > 7000 && d->t.n_starts <= 4);
        }
        aios_run_free(r);
        desk_close(d);
    }
}

static void configurations_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static const aios_compact rows[] = {
        {.struct_size = sizeof(aios_compact), .policy = 9},
        {.struct_size = sizeof(aios_compact), .policy = AIOS_COMPACT_DROP, .high = 0.4f, .low = 0.5f},
        {.struct_size = sizeof(aios_compact), .policy = AIOS_COMPACT_DROP, .high = 1.5f},
        {.struct_size = sizeof(aios_compact), .policy = AIOS_COMPACT_DROP, .low = -1},
        {.struct_size = sizeof(aios_compact), .policy = AIOS_COMPACT_OFFLOAD, .min_offload = 10},
        {.struct_size = sizeof(aios_compact), .policy = AIOS_COMPACT_SUMMARISE, .instructions = "\xff"},
    };
    world w;
    world_open(&w, NULL, "echo:say x");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        aios_error err = AIOS_INIT(aios_error);
        w.cfg.compact = &rows[i];
        if (aios_agent_new(w.ctx, &w.cfg, &w.agent, &err) != AIOS_EINVAL || !strstr(err.msg, "compact."))
            fail_msg("row %zu was taken: %s", i, err.msg);
    }
    world_close(&w);
}

/* ---- servers that count themselves --------------------------------------------------------------------------------- */

static void refusal_of_a_server_is_taken_as_its_number(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++)
        for (int32_t policy = AIOS_COMPACT_DROP; policy <= AIOS_COMPACT_SUMMARISE; policy++) {
            desk *d = desk_new();
            d->t = (teller){.privacy = AIOS_PRIVACY_REMOTE, .secret = true, .late = late, .n_calls = 100};
            desk_open(d, policy);
            aios_run *r = desk_run(d, NULL, "PROMPT");
            if (d->code)
                fail_msg("%d %d: %s", late, policy, d->err.msg);
            assert_true(d->n_contexts > 2 && d->t.n_refused >= 1 && d->t.n_refused <= 3);
            check_whole(aios_run_transcript(r));
            assert_int_equal(count_kind(aios_run_transcript(r), AIOS_PART_CALL), 100);
            aios_run_free(r);
            desk_close(d);
        }
}

/* ---- memory ------------------------------------------------------------------------------------------------------- */

static int32_t oom_policy;

static int long_run(aios_ctx *ctx, aios_error *err)
{
    static teller t;
    desk *d = calloc(1, sizeof *d);
    aios_agent_config cfg = AIOS_INIT(aios_agent_config);
    aios_limits limits = AIOS_INIT(aios_limits);
    aios_backend_ops ops = {.struct_size = sizeof ops, .name = "teller", .open = teller_open, .close = teller_close, .info = teller_info,
                            .session_new = teller_session_new, .session_free = teller_session_free, .start = teller_start, .step = teller_step,
                            .cancel = teller_close, .count = teller_count};
    aios_agent *a = NULL;
    aios_tool tool = make_tool("look", tool_look, d);
    t = (teller){.n_ctx = 300, .n_calls = 12};
    d->n_result = 300;
    memset(d->result, 'r', sizeof d->result);
    d->compact = (aios_compact){.struct_size = sizeof d->compact, .policy = oom_policy, .max_summary = 16, .min_offload = 256};
    limits.max_turns = 40;
    cfg.limits = &limits;
    cfg.compact = &d->compact;
    cfg.instructions = "be brief";
    int rc = aios_backend_register(ctx, &ops, &t, err);
    rc = rc ? rc : aios_model_open(ctx, "teller:", NULL, &cfg.model, err);
    rc = rc ? rc : aios_toolset_new(ctx, &cfg.toolset, err);
    rc = rc ? rc : aios_toolset_add(cfg.toolset, &tool, err);
    if (!rc && oom_policy == AIOS_COMPACT_SUMMARISE)
        rc = aios_store_open(ctx, "memory:", NULL, &cfg.store, err);
    rc = rc ? rc : aios_agent_new(ctx, &cfg, &a, err);
    rc = rc ? rc : aios_agent_run(a, "PROMPT", AIOS_CSTR, NULL, NULL, err);
    aios_agent_free(a);
    aios_toolset_free(cfg.toolset);
    aios_model_close(cfg.model);
    aios_store_close(cfg.store);
    free(d);
    return rc;
}

static void nothing_leaks_without_memory(void **state)
{
    (void)state;
    for (oom_policy = AIOS_COMPACT_DROP; oom_policy <= AIOS_COMPACT_OFFLOAD; oom_policy++)
        refuse_every_allocation(long_run, 1); /* a tool's failure is a result */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(use_of_the_context_is_told_exactly),
        cmocka_unit_test(use_of_a_remote_context_is_an_estimate),
        cmocka_unit_test(run_that_does_not_fit_ends_without_a_policy),
        cmocka_unit_test(oldest_turns_are_dropped_and_kept_in_the_transcript),
        cmocka_unit_test(older_turns_of_the_user_go_first),
        cmocka_unit_test(label_of_the_context_stays),
        cmocka_unit_test(summary_stands_in_place_of_what_it_is_of),
        cmocka_unit_test(tokens_of_summaries_are_within_the_limit),
        cmocka_unit_test(summaries_that_are_none_do_not_stop_a_run),
        cmocka_unit_test(summary_is_cut_at_its_bound),
        cmocka_unit_test(run_is_cancelled_within_a_summary),
        cmocka_unit_test(descriptor_tells_of_summaries),
        cmocka_unit_test(large_results_are_read_by_pieces),
        cmocka_unit_test(read_result_gives_what_was_cut),
        cmocka_unit_test(entry_larger_than_the_context_is_a_failure_with_numbers),
        cmocka_unit_test(newest_result_is_too_large),
        cmocka_unit_test(configurations_that_make_no_sense_are_refused),
        cmocka_unit_test(refusal_of_a_server_is_taken_as_its_number),
        cmocka_unit_test(nothing_leaks_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
