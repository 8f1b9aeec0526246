/* SPDX-License-Identifier: Apache-2.0 */
/* What of a transcript the model gets, by its newest context part; such parts from anywhere. */
#include "test.h"

#include "llm/llm.h"

typedef struct text {
    char s[8192];
    size_t n;
} text;

static int collect(void *user, const void *p, size_t n)
{
    text *t = user;
    if (t->n + n >= sizeof t->s)
        return AIOS_ELIMIT;
    memcpy(t->s + t->n, p, n);
    t->n += n;
    t->s[t->n] = 0;
    return 0;
}

static int add_parts(aios_transcript *t, int32_t role, const aios_part *p, uint32_t n, aios_error *err)
{
    aios_entry e = AIOS_INIT(aios_entry);
    e.role = role;
    e.parts = p;
    e.n_parts = n;
    e.part_stride = sizeof *p;
    return aios_transcript_add(t, &e, err);
}

static void add_call(aios_transcript *t, const char *id, const char *result)
{
    aios_part p = AIOS_INIT(aios_part);
    aios_error err = AIOS_INIT(aios_error);
    p.kind = AIOS_PART_CALL;
    p.name = "look";
    p.call_id = id;
    p.text = "{}";
    p.n_text = 2;
    must(add_parts(t, AIOS_ROLE_ASSISTANT, &p, 1, &err), &err);
    p.kind = AIOS_PART_RESULT;
    p.text = result;
    p.n_text = strlen(result);
    must(add_parts(t, AIOS_ROLE_TOOL, &p, 1, &err), &err);
}

static int add_context(aios_transcript *t, const char *json, const char *note, aios_error *err)
{
    aios_part p[2] = {AIOS_INIT(aios_part), AIOS_INIT(aios_part)};
    p[0].kind = AIOS_PART_CONTEXT;
    p[0].text = json;
    p[0].n_text = AIOS_CSTR;
    p[1].kind = AIOS_PART_TEXT;
    p[1].text = note;
    p[1].n_text = AIOS_CSTR;
    return add_parts(t, AIOS_ROLE_SYSTEM, p, note ? 2 : 1, err);
}

/* 1 system, 2 user, 3 4 call, 5 6 call, 7 user, 8 9 call */
static aios_transcript *make(aios_ctx *ctx, const char *large)
{
    aios_transcript *t;
    aios_error err = AIOS_INIT(aios_error);
    must(aios_transcript_new(ctx, &t, &err), &err);
    must(aios_transcript_add_text(t, AIOS_ROLE_SYSTEM, "SYS", AIOS_CSTR, &err), &err);
    must(aios_transcript_add_text(t, AIOS_ROLE_USER, "first", AIOS_CSTR, &err), &err);
    add_call(t, "call_1", "one");
    add_call(t, "call_2", "two");
    must(aios_transcript_add_text(t, AIOS_ROLE_USER, "second", AIOS_CSTR, &err), &err);
    add_call(t, "call_3", large);
    return t;
}

/* The prompt that the scripted model would get. */
static void render(aios_model *m, const aios_transcript *t, text *out)
{
    aios_request q = AIOS_INIT(aios_request);
    aios_error err = AIOS_INIT(aios_error);
    q.transcript = t;
    out->n = 0;
    must(aios_model_render(m, &q, collect, out, &err), &err);
}

static aios_model *echo(aios_ctx *ctx, const char *script)
{
    aios_model *m;
    aios_error err = AIOS_INIT(aios_error);
    must(aios_model_open(ctx, script, NULL, &m, &err), &err);
    return m;
}

static void entries_are_left_out_and_the_note_stands_in_their_place(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_model *m = echo(ctx, "echo:say x");
    aios_error err = AIOS_INIT(aios_error);
    aios_transcript *t = make(ctx, "three");
    text whole, shown;
    render(m, t, &whole);
    must(add_context(t, "{\"v\":1,\"first\":2,\"last\":6,\"other\":[1]}", "NOTE", &err), &err);
    render(m, t, &shown);
    assert_non_null(strstr(whole.s, "first"));
    assert_null(strstr(shown.s, "first"));
    assert_null(strstr(shown.s, "two"));
    assert_non_null(strstr(shown.s, "[user] NOTE\n\n second"));
    assert_non_null(strstr(shown.s, "SYS"));
    assert_non_null(strstr(shown.s, "three"));
    must(add_context(t, "{\"v\":1,\"first\":2,\"last\":6,\"keep\":2}", "NEWER", &err), &err); /* the newest holds */
    render(m, t, &shown);
    assert_non_null(strstr(shown.s, "[user] first \n\nNEWER\n"));
    assert_null(strstr(shown.s, "NOTE"));
    must(aios_transcript_truncate(t, aios_transcript_count(t) - 2, &err), &err); /* the host takes them back */
    render(m, t, &shown);
    assert_string_equal(shown.s, whole.s);
    aios_transcript_free(t);
    aios_model_close(m);
    aios_ctx_free(ctx);
}

static void note_without_a_user_is_one(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_model *m = echo(ctx, "echo:say x");
    aios_error err = AIOS_INIT(aios_error);
    aios_transcript *t = make(ctx, "three");
    text shown;
    must(add_context(t, "{\"v\":1,\"first\":2,\"last\":7}", "NOTE", &err), &err);
    render(m, t, &shown);
    assert_non_null(strstr(shown.s, "SYS"));
    assert_non_null(strstr(shown.s, "[user] NOTE\n"));
    assert_null(strstr(shown.s, "second"));
    aios_transcript_free(t);
    aios_model_close(m);
    aios_ctx_free(ctx);
}

static void results_are_cut_at_whole_characters(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_model *m = echo(ctx, "echo:say x");
    aios_error err = AIOS_INIT(aios_error);
    char large[1001];
    for (int i = 0; i < 500; i++)
        memcpy(large + 1 + 2 * i, "\xc3\xa9", 2);
    large[0] = 'x';
    large[1000] = 0;
    large[999] = 0; /* not in the middle of one */
    aios_transcript *t = make(ctx, large);
    text shown;
    must(add_context(t, "{\"v\":1,\"cut\":[4,9],\"tool\":\"read_result\"}", NULL, &err), &err);
    render(m, t, &shown);
    assert_non_null(strstr(shown.s, "\n[the first 159 of 999 bytes; more by read_result {\"call\":\"call_3\",\"offset\":159}]"));
    assert_non_null(strstr(shown.s, "one")); /* short ones stay */
    assert_true(aios__utf8_valid(shown.s, shown.n));
    aios_transcript_free(t);
    aios_model_close(m);
    aios_ctx_free(ctx);
}

static void context_parts_survive_json(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_model *m = echo(ctx, "echo:say x");
    aios_error err = AIOS_INIT(aios_error);
    aios_transcript *t = make(ctx, "three"), *u;
    text a = {.n = 0}, b = {.n = 0}, x, y;
    must(add_context(t, "{\"v\":1,\"first\":2,\"last\":6,\"keep\":2,\"cut\":[9],\"policy\":\"summarise\",\"before\":1,\"z\":null}", "NOTE \"x\"", &err), &err);
    must(aios_transcript_write_json(t, collect, &a, &err), &err);
    assert_non_null(strstr(a.s, "{\"kind\":\"context\",\"text\":\"{\\\"v\\\":1,"));
    must(aios_transcript_read_json(ctx, a.s, a.n, &u, &err), &err);
    must(aios_transcript_write_json(u, collect, &b, &err), &err);
    assert_string_equal(a.s, b.s);
    render(m, t, &x);
    render(m, u, &y);
    assert_string_equal(x.s, y.s);
    aios_transcript_free(t);
    aios_transcript_free(u);
    aios_model_close(m);
    aios_ctx_free(ctx);
}

/* Calls that are left out have had their ids. */
static void ids_of_calls_go_on(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_model *m = echo(ctx, "echo:call look {};loop");
    aios_error err = AIOS_INIT(aios_error);
    aios_session *s;
    const aios_event *ev;
    aios_transcript *t = make(ctx, "three");
    must(aios_transcript_add_text(t, AIOS_ROLE_USER, "third", AIOS_CSTR, &err), &err);
    must(add_context(t, "{\"v\":1,\"first\":2,\"last\":9}", "NOTE", &err), &err);
    must(aios_session_new(m, NULL, &s, &err), &err);
    aios_tool_def look = AIOS_INIT(aios_tool_def);
    aios_request q = AIOS_INIT(aios_request);
    look.name = "look";
    q.transcript = t;
    q.tools = &look;
    q.tool_stride = sizeof look;
    q.n_tools = 1;
    must(aios_session_start(s, &q, &err), &err);
    while (!aios_session_next(s, -1, &ev))
        if (ev->type == AIOS_EVENT_CALL)
            assert_string_equal(ev->call_id, "call_4");
    aios_session_free(s);
    aios_transcript_free(t);
    aios_model_close(m);
    aios_ctx_free(ctx);
}

static void parts_that_say_nothing_sound_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "x", "[]", "{}", "{\"v\":0}", "{\"v\":1,\"first\":3,\"last\":2}", "{\"v\":1,\"last\":2}", "{\"v\":1,\"first\":-1,\"last\":2}",
                                      "{\"v\":1,\"cut\":{}}", "{\"v\":1,\"cut\":[2,2]}", "{\"v\":1,\"cut\":[-1]}", "{\"v\":1,\"cut\":[1.5]}", "{\"v\":1,\"tool\":\"a b\"}",
                                      "{\"v\":1,\"tool\":3}", "{\"v\":1,\"keep\":-4}"};
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_transcript *t = make(ctx, "three");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        aios_error err = AIOS_INIT(aios_error);
        if (add_context(t, bad[i], NULL, &err) != AIOS_EINVAL || !err.msg[0])
            fail_msg("%s was taken, or nothing said: %s", bad[i], err.msg);
    }
    aios_error err = AIOS_INIT(aios_error);
    assert_int_equal(add_context(t, "{\"v\":2}", NULL, &err), AIOS_EVERSION);
    aios_part p[2] = {AIOS_INIT(aios_part), AIOS_INIT(aios_part)};
    p[0].kind = AIOS_PART_TEXT;
    p[0].text = "x";
    p[0].n_text = 1;
    p[1].kind = AIOS_PART_CONTEXT;
    p[1].text = "{\"v\":1}";
    p[1].n_text = 7;
    assert_int_equal(add_parts(t, AIOS_ROLE_SYSTEM, p, 2, &err), AIOS_EINVAL); /* not the first */
    assert_int_equal(add_parts(t, AIOS_ROLE_USER, p + 1, 1, &err), AIOS_EINVAL);
    assert_int_equal(aios_transcript_count(t), 9);
    aios_transcript_free(t);
    aios_ctx_free(ctx);
}

static void part_that_hides_everything_is_a_failure(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_model *m = echo(ctx, "echo:say x");
    aios_error err = AIOS_INIT(aios_error);
    aios_transcript *t;
    text out = {.n = 0};
    aios_request q = AIOS_INIT(aios_request);
    must(aios_transcript_new(ctx, &t, &err), &err);
    must(aios_transcript_add_text(t, AIOS_ROLE_USER, "x", AIOS_CSTR, &err), &err);
    must(add_context(t, "{\"v\":1,\"first\":1,\"last\":9223372036854775807}", NULL, &err), &err);
    q.transcript = t;
    assert_int_equal(aios_model_render(m, &q, collect, &out, &err), AIOS_EINVAL);
    assert_non_null(strstr(err.msg, "nothing to show"));
    aios_transcript_free(t);
    aios_model_close(m);
    aios_ctx_free(ctx);
}

static uint64_t draw(uint64_t *x)
{
    *x = *x * UINT64_C(6364136223846793005) + 1442695040888963407;
    return *x >> 33;
}

/* Whatever a part says: what is shown is the transcript's, in its order, system entries among it. */
static void any_part_shows_what_is_there(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    char large[600];
    uint64_t x = 7;
    memset(large, 'r', sizeof large - 1);
    large[sizeof large - 1] = 0;
    for (int round = 0; round < 20000; round++) {
        aios_transcript *t = make(ctx, large), *shown;
        aios_error err = AIOS_INIT(aios_error);
        char json[256];
        uint64_t first = draw(&x) % 12, last = first + draw(&x) % 12, a = draw(&x) % 10 + 1, b = a + 1 + draw(&x) % 5;
        int n = snprintf(json, sizeof json, "{\"v\":1,\"keep\":%u,\"cut\":[%u,%u]", (unsigned)(draw(&x) % 12), (unsigned)a, (unsigned)b);
        snprintf(json + n, sizeof json - (size_t)n, first ? ",\"first\":%u,\"last\":%u}" : "}", (unsigned)first, (unsigned)last);
        must(add_context(t, json, draw(&x) % 2 ? "NOTE" : NULL, &err), &err);
        must(aios__view_of(t, &shown, &err), &err);
        uint64_t before = 0;
        for (uint32_t i = 0; i < aios_transcript_count(shown); i++) {
            aios_entry e = AIOS_INIT(aios_entry), whole = AIOS_INIT(aios_entry);
            aios_transcript_at(shown, i, &e);
            assert_true(e.id >= before && (i || e.role == AIOS_ROLE_SYSTEM) && !aios__entry_is_context(&e));
            before = e.id;
            if (e.id > 9)
                continue; /* a note of its own */
            aios_transcript_at(t, (uint32_t)e.id - 1, &whole);
            if (e.role == whole.role && e.role == AIOS_ROLE_TOOL)
                assert_memory_equal(e.parts[0].text, whole.parts[0].text, e.parts[0].n_text < 160 ? e.parts[0].n_text : 160);
        }
        aios_transcript_free(shown);
        aios_transcript_free(t);
    }
    aios_ctx_free(ctx);
}

static int view_once(aios_ctx *ctx, aios_error *err)
{
    aios_transcript *t = NULL;
    text out = {.n = 0};
    aios_request q = AIOS_INIT(aios_request);
    aios_model *m = NULL;
    static const char json[] =
        "{\"aios_transcript\":1,\"entries\":[{\"id\":1,\"role\":\"system\",\"label\":\"system\",\"parts\":[{\"kind\":\"text\",\"text\":\"S\"}]},"
        "{\"id\":2,\"role\":\"user\",\"label\":\"user\",\"parts\":[{\"kind\":\"text\",\"text\":\"a\"}]},"
        "{\"id\":3,\"role\":\"user\",\"label\":\"user\",\"parts\":[{\"kind\":\"text\",\"text\":\"b\"}]},"
        "{\"id\":4,\"role\":\"system\",\"label\":\"system\",\"parts\":[{\"kind\":\"context\",\"text\":\"{\\\"v\\\":1,\\\"first\\\":2,\\\"last\\\":2,\\\"cut\\\":[3]}\"},"
        "{\"kind\":\"text\",\"text\":\"N\"}]}]}";
    int rc = aios_model_open(ctx, "echo:say x", NULL, &m, err);
    rc = rc ? rc : aios_transcript_read_json(ctx, json, AIOS_CSTR, &t, err);
    q.transcript = t;
    rc = rc ? rc : aios_model_render(m, &q, collect, &out, err);
    aios_transcript_free(t);
    aios_model_close(m);
    return rc;
}

static void nothing_leaks_without_memory(void **state)
{
    (void)state;
    refuse_every_allocation(view_once, 1); /* opening a model does without some */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_left_out_and_the_note_stands_in_their_place),
        cmocka_unit_test(note_without_a_user_is_one),
        cmocka_unit_test(results_are_cut_at_whole_characters),
        cmocka_unit_test(context_parts_survive_json),
        cmocka_unit_test(ids_of_calls_go_on),
        cmocka_unit_test(parts_that_say_nothing_sound_are_refused),
        cmocka_unit_test(part_that_hides_everything_is_a_failure),
        cmocka_unit_test(any_part_shows_what_is_there),
        cmocka_unit_test(nothing_leaks_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
