/* SPDX-License-Identifier: Apache-2.0 */
/* Runs that were handed over, that compacted their context, whose host extracted, that called agents: told again from their journals. */
#include "compose_test.h"

static pair p;
static aios_store *st;

enum { TEXT = 1 << 18 };

/* What is told, as text: of events only those that a journal keeps. */
typedef struct told {
    char s[TEXT];
    size_t n;
    uint32_t n_kind[16];
    char call_run[80]; /* of the last call of an agent */
    char name[64], text[4096]; /* of the last step of a kind beyond END */
} told;

static void put(told *t, const char *s, size_t n)
{
    assert_true(t->n + n + 1 < sizeof t->s);
    if (n)
        memcpy(t->s + t->n, s, n);
    t->n += n;
    t->s[t->n] = 0;
}

static void put_event(told *t, const aios_event *ev)
{
    char head[256];
    int n = snprintf(head, sizeof head, "\n  %d step %u code %d name %s call %s label %d/%llx: ", ev->type, ev->step, ev->code, ev->name ? ev->name : "-",
                     ev->call_id ? ev->call_id : "-", ev->label.integrity, (unsigned long long)ev->label.confidentiality);
    put(t, head, (size_t)n);
    put(t, ev->text, ev->n_text);
}

static int tell(void *user, const aios_run_step *s)
{
    told *t = user;
    char head[256];
    int n = snprintf(head, sizeof head, "\n%d record %llu code %d turn %u tokens %llu name %s call %s run %s: ", s->kind, (unsigned long long)s->record, s->code, s->turn,
                     (unsigned long long)s->n_tokens, s->name ? s->name : "-", s->call_id ? s->call_id : "-", s->run ? s->run : "-");
    put(t, head, (size_t)n);
    put(t, s->text, s->n_text);
    for (uint32_t i = 0; i < s->n_events; i++)
        put_event(t, (const void *)((const char *)s->events + i * s->event_stride));
    assert_true(s->kind > 0 && s->kind < 16);
    t->n_kind[s->kind]++;
    if (s->run)
        snprintf(t->call_run, sizeof t->call_run, "%s", s->run);
    if (s->kind > AIOS_STEP_END) {
        snprintf(t->name, sizeof t->name, "%s", s->name);
        snprintf(t->text, sizeof t->text, "%.*s", (int)s->n_text, s->text);
    }
    return 0;
}

/* The same twice. */
static told *replay(const char *id)
{
    aios_error err = AIOS_INIT(aios_error);
    told *t = calloc(1, sizeof *t), *again = calloc(1, sizeof *t);
    must(aios_run_replay(p.w.ctx, st, id, tell, t, &err), &err);
    must(aios_run_replay(p.w.ctx, st, id, tell, again, &err), &err);
    assert_string_equal(t->s, again->s);
    free(again);
    return t;
}

static void kept_open(const char *uri, const char *helper_uri)
{
    aios_error err = AIOS_INIT(aios_error);
    pair_open(&p, uri, helper_uri);
    must(aios_store_open(p.w.ctx, "memory:", NULL, &st, &err), &err);
    p.w.cfg.store = st;
}

static void kept_close(void)
{
    aios_store_close(st);
    pair_close(&p);
}

/* Runs "r1" to its end; the log has events of the run itself that are told again: CONTEXT and STATE with names, results, the end. */
static told *live(aios_transcript *before)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_run_options o = AIOS_INIT(aios_run_options);
    aios_run *r;
    const aios_event *ev;
    told *t = calloc(1, sizeof *t);
    o.prompt = "go";
    o.n_prompt = AIOS_CSTR;
    o.id = "r1";
    o.transcript = before;
    must(aios_run_start_with(p.w.agent, &o, &r, &err), &err);
    while (!aios_run_next(r, -1, &ev)) {
        bool named = ev->type == AIOS_EVENT_CONTEXT || (ev->type == AIOS_EVENT_STATE && ev->name);
        if (ev->type == AIOS_EVENT_ERROR && ev->error->code != AIOS_ELIMIT)
            fail_msg("%s", ev->error->msg);
        if (!ev->depth && (named || ev->type == AIOS_EVENT_RESULT))
            put_event(t, ev);
    }
    aios_run_free(r);
    return t;
}

/* Each line of what was live stands in what is told, in that order. */
static void assert_has(const told *all, told *live_ones)
{
    const char *at = all->s;
    char *end, *s = live_ones->s;
    assert_int_equal(*s, '\n');
    while (s) {
        end = strstr(s + 1, "\n  ");
        if (end)
            *end = 0;
        at = strstr(at, s);
        if (!at)
            fail_msg("not told: %s\nof: %s", s, all->s);
        at += strlen(s);
        if (end)
            *end = '\n';
        s = end;
    }
}

static void a_run_that_was_handed_over(void **state)
{
    (void)state;
    aios_handoff to = AIOS_INIT(aios_handoff);
    kept_open("echo:call transfer_to_desk {}", "echo:turn; call add {\"a\":1,\"b\":2}; turn; say it is three");
    to.name = "desk";
    to.description = "for work";
    p.w.cfg.handoffs = &to;
    p.w.cfg.n_handoffs = 1;
    p.w.cfg.handoff_stride = sizeof to;
    other_agent(&p.w, &p.o);
    to.agent = p.o.agent;
    world_agent(&p.w);
    told *was = live(NULL), *t = replay("r1");
    assert_int_equal(t->n_kind[AIOS_STEP_HANDOFF], 1);
    assert_string_equal(t->name, "desk");
    assert_string_equal(t->text, "echo"); /* its model */
    assert_non_null(strstr(was->s, "step 1 code 0 name desk call - label 3/0: handoff"));
    assert_has(t, was);
    free(was);
    free(t);
    kept_close();
}

static void a_run_whose_context_was_full(void **state)
{
    (void)state;
    static const int32_t policies[] = {AIOS_COMPACT_DROP, AIOS_COMPACT_SUMMARISE, AIOS_COMPACT_OFFLOAD};
    static const char *const names[] = {"drop", "summarise", "offload"};
    for (int i = 0; i < 3; i++) {
        static char uri[4096];
        aios_compact c = AIOS_INIT(aios_compact);
        aios_error err = AIOS_INIT(aios_error);
        size_t n = (size_t)snprintf(uri, sizeof uri, "echo:set n_ctx 600;");
        for (int k = 0; k < 30; k++) /* what is left out it says anew, to the limit */
            n += (size_t)snprintf(uri + n, sizeof uri - n, "call add {\"a\":%d,\"b\":100000000};turn;", k);
        snprintf(uri + n, sizeof uri - n, "say over");
        kept_open(uri, "echo:");
        c.policy = policies[i];
        p.w.cfg.compact = &c;
        p.w.limits.max_turns = 100;
        if (i == 2)
            must(aios_toolset_add_read_result(p.w.ts, &err), &err);
        pair_agents(&p);
        told *was = live(NULL), *t = replay("r1");
        assert_true(t->n_kind[AIOS_STEP_CONTEXT] > 0);
        assert_true(strstr(t->name, names[i]) || i); /* of a summary for which there is no room the turns are dropped */
        assert_true(t->text[0]);
        assert_non_null(strstr(was->s, "\"before\":"));
        assert_has(t, was);
        free(was);
        free(t);
        kept_close();
    }
}

static int take_text(void *user, const void *s, size_t n)
{
    put(user, s, n);
    return 0;
}

static void a_run_whose_host_extracted(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_label label;
    aios_rules *rules = NULL;
    aios_transcript *before;
    aios_run *r;
    kept_open("echo:say true; turn; call secret {\"a\":1,\"b\":2}; turn; say ok", "echo:");
    aios_tool t = make_tool("secret", tool_add, NULL);
    t.flags = AIOS_TOOL_HANDLE;
    t.schema_json = add_schema;
    must(aios_toolset_add(p.w.ts, &t, &err), &err);
    must(aios_rules_parse(p.w.ctx, "{\"version\":1,\"endorse_bits\":2,\"capabilities\":[{\"tool\":\"*\"}]}", AIOS_CSTR, &rules, &err), &err);
    p.w.policy.rules = rules;
    pair_agents(&p);
    must(aios_transcript_new(p.w.ctx, &before, &err), &err);
    add_reply(before); /* the script goes on behind its first turn, which is what the extraction will say */
    told *was = live(before), *said = calloc(1, sizeof *said);
    must(aios_run_resume(p.w.agent, "r1", &r, &err), &err);
    must(aios_run_extract(r, "$v1", "{\"type\":\"boolean\"}", "so?", take_text, said, &label, &err), &err);
    aios_run_free(r);
    assert_string_equal(said->s, "true");
    told *all = replay("r1");
    assert_int_equal(all->n_kind[AIOS_STEP_EXTRACT], 1);
    assert_string_equal(all->name, "extract");
    assert_string_equal(all->text, "1");
    assert_has(all, was);
    free(said);
    free(all);
    free(was);
    aios_transcript_free(before);
    aios_rules_free(rules);
    kept_close();
}

static void a_run_that_called_an_agent(void **state)
{
    (void)state;
    for (int stored = 0; stored < 2; stored++) {
        aios_error err = AIOS_INIT(aios_error);
        aios_run_info info = AIOS_INIT(aios_run_info);
        kept_open("echo:call helper {\"prompt\":\"x\"}; call add {\"a\":1,\"b\":2}; turn; say end", "echo:call add {\"a\":2,\"b\":2}; result");
        p.o.cfg.store = stored ? st : NULL;
        pair_agents(&p);
        told *was = live(NULL), *t = replay("r1");
        assert_has(t, was);
        assert_int_equal(t->call_run[0] != 0, stored);
        if (stored) {
            char want[256];
            snprintf(want, sizeof want, "name helper call call_1 run %s: ", t->call_run);
            assert_int_equal(count_text(t->s, want), 2); /* the intent, and the result */
            must(aios_run_info_get(p.w.ctx, st, t->call_run, &info, &err), &err);
            assert_int_equal(info.state, AIOS_RUN_DONE);
            told *child = replay(t->call_run);
            assert_non_null(strstr(child->s, "name add call call_1"));
            free(child);
        }
        free(was);
        free(t);
        kept_close();
    }
}

/* ---- records that are not what they should be ----------------------------------------------------------------------- */

static void add_record(const char *stream, uint32_t kind, const char *json)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_store_write w = AIOS_INIT(aios_store_write);
    w.stream = stream;
    w.data = json;
    w.n_data = strlen(json);
    w.kind = kind;
    must(aios_store_commit(st, &w, 1, sizeof w, NULL, &err), &err);
}

/* Begin, and the turn with its call. */
static int copy_two(void *user, const aios_record *r)
{
    char text[8192];
    snprintf(text, sizeof text, "%.*s", (int)r->n_data, (const char *)r->data);
    add_record(user, r->kind, text);
    return r->seq == 2 ? AIOS_DONE : 0;
}

#define COUNTS "\"turns\":1,\"calls\":1,\"tokens\":9,\"used_ns\":1,\"cost\":0,\"input\":0,\"cached\":0"
#define PART(text) "{\"v\":1,\"step\":1," COUNTS ",\"context\":{\"aios_transcript\":1,\"entries\":[{\"id\":9,\"role\":\"system\",\"label\":\"untrusted\",\"parts\":[" text "]}]}}"

static void records_that_are_not_are_refused(void **state)
{
    static const struct {
        uint32_t kind;
        bool good;
        const char *json;
    } cases[] = {
        {9, true, "{\"v\":1,\"endorsed\":2.5," COUNTS "}"},
        {9, false, "{\"v\":1," COUNTS "}"},
        {9, false, "{\"v\":1,\"endorsed\":\"x\"," COUNTS "}"},
        {9, false, "{\"v\":1,\"endorsed\":-1," COUNTS "}"},
        {9, false, "{\"v\":1,\"endorsed\":1}"},
        {10, true, "{\"v\":1,\"to\":\"desk\",\"model\":\"m\"}"},
        {10, false, "{\"v\":1,\"model\":\"m\"}"},
        {10, false, "{\"v\":1,\"to\":7,\"model\":\"m\"}"},
        {10, false, "{\"v\":1,\"to\":\"desk\"}"},
        {12, true, PART("{\"kind\":\"context\",\"text\":\"{\\\"v\\\":1,\\\"policy\\\":\\\"drop\\\"}\"}")},
        {12, false, PART("{\"kind\":\"context\",\"text\":\"{\\\"v\\\":1}\"}")},
        {12, false, PART("{\"kind\":\"context\",\"text\":\"{\\\"v\\\":1,\\\"policy\\\":\\\"\\u001b[2J\\\"}\"}")},
        {12, false, PART("{\"kind\":\"context\",\"text\":\"{\\\"v\\\":1,\\\"policy\\\":\\\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\\\"}\"}")},
        {12, false, PART("{\"kind\":\"context\",\"text\":\"[\"}")},
        {12, false, PART("{\"kind\":\"text\",\"text\":\"x\"}")},
        {12, false, "{\"v\":1,\"step\":1," COUNTS "}"},
        {12, false, "{\"v\":1,\"step\":1," COUNTS ",\"context\":{\"v\":1,\"entries\":[]}}"},
        {4, true, "{\"v\":1,\"step\":0,\"due\":[{\"call\":0,\"run\":\"call-1\"}]}"},
        {4, false, "{\"v\":1,\"step\":0,\"due\":[{\"call\":0,\"run\":\"../x\"}]}"},
        {4, false, "{\"v\":1,\"step\":0,\"due\":[{\"call\":1,\"run\":\"call-1\"}]}"},
    };
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    kept_open("echo:call add {\"a\":1,\"b\":2}; turn; say end", "echo:");
    pair_agents(&p);
    free(live(NULL));
    told *t = calloc(1, sizeof *t);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char stream[32];
        snprintf(stream, sizeof stream, "run/b%zu", i);
        must(aios_store_read(st, "run/r1", 1, copy_two, stream, &err), &err);
        memset(t, 0, sizeof *t);
        add_record(stream, cases[i].kind, cases[i].json);
        int rc = aios_run_replay(p.w.ctx, st, stream + 4, tell, t, &err);
        if (cases[i].good ? rc != 0 : rc != AIOS_EFORMAT)
            fail_msg("%zu: %d %s", i, rc, err.msg);
    }
    free(t);
    kept_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_that_was_handed_over),      cmocka_unit_test(a_run_whose_context_was_full), cmocka_unit_test(a_run_whose_host_extracted),
        cmocka_unit_test(a_run_that_called_an_agent),      cmocka_unit_test(records_that_are_not_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
