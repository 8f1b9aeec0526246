/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>

#include "parrot.h"

typedef struct rig {
    test_heap h;
    aios_ctx *ctx;
    aios_model *m;
    aios_session *s;
    aios_transcript *t;
    aios_request req;
    parrot p;
    char text[3][512]; /* of each attempt, put together from its pieces */
    char last[512];    /* of the last event */
    uint32_t n_attempts;
    aios_error err;
} rig;

static void rig_open(rig *r, const char *const *lines, uint32_t driver)
{
    aios_session_config cfg = AIOS_INIT(aios_session_config);
    memset(r, 0, sizeof *r);
    r->p.lines = lines;
    r->p.reason = "stop";
    r->ctx = test_ctx(&r->h, 0);
    cfg.driver = driver;
    parrot_model(r->ctx, &r->p, &r->m);
    assert_int_equal(aios_session_new(r->m, &cfg, &r->s, NULL), 0);
    assert_int_equal(aios_transcript_new(r->ctx, &r->t, NULL), 0);
    assert_int_equal(aios_transcript_add_text(r->t, AIOS_ROLE_USER, "how old?", AIOS_CSTR, NULL), 0);
    r->req = (aios_request)AIOS_INIT(aios_request);
    r->req.transcript = r->t;
    r->req.schema_json = "{\"type\":\"object\",\"properties\":{\"age\":{\"type\":\"integer\"}},\"required\":[\"age\"]}";
}

static void rig_close(rig *r)
{
    aios_session_free(r->s);
    aios_model_close(r->m);
    aios_transcript_free(r->t);
    aios_ctx_free(r->ctx);
    assert_int_equal(r->h.live, 0);
}

/* One turn; its code. The request is gone before the first step. */
static int turn(rig *r)
{
    const aios_event *ev;
    aios_request req = r->req;
    char schema[200];
    int rc, code = AIOS_EINTERNAL;
    size_t at[3] = {0};
    memset(r->text, 0, sizeof r->text);
    if (req.schema_json) {
        snprintf(schema, sizeof schema, "%s", req.schema_json);
        req.schema_json = schema;
    }
    rc = aios_session_start(r->s, &req, &r->err);
    memset(schema, 'x', sizeof schema - 1);
    if (rc)
        return rc;
    while (!(rc = aios_session_next(r->s, -1, &ev))) {
        assert_true(ev->attempt < 3);
        r->n_attempts = ev->attempt + 1;
        if (ev->type == AIOS_EVENT_TEXT)
            at[ev->attempt] += (size_t)snprintf(r->text[ev->attempt] + at[ev->attempt], 400, "%s", ev->text);
        if (ev->type == AIOS_EVENT_DONE || ev->type == AIOS_EVENT_ERROR) {
            code = ev->type == AIOS_EVENT_DONE ? 0 : ev->error->code;
            snprintf(r->last, sizeof r->last, "%s", ev->text);
            if (code)
                snprintf(r->err.msg, sizeof r->err.msg, "%s", ev->error->msg);
        }
    }
    assert_int_equal(rc, AIOS_DONE);
    return code;
}

static void a_wrong_reply_is_asked_for_again_with_the_reason(void **state)
{
    (void)state;
    static const char *const lines[] = {"{\"age\":\"old\"}", "{\"age\":7}", NULL};
    for (uint32_t driver = 0; driver <= AIOS_DRIVER_THREAD; driver++) {
        rig r;
        aios_tool_def tool = AIOS_INIT(aios_tool_def);
        const char *stop[] = {"END", NULL};
        rig_open(&r, lines, driver);
        tool.name = "clock";
        r.req.tools = &tool;
        r.req.n_tools = 1;
        r.req.tool_stride = sizeof tool;
        r.req.stop = stop;
        assert_int_equal(turn(&r), 0);
        assert_int_equal(r.n_attempts, 2);
        assert_string_equal(r.text[0], lines[0]);
        assert_string_equal(r.text[1], lines[1]);
        assert_string_equal(r.last, lines[1]);
        assert_non_null(strstr(r.p.asked, "age"));
        assert_non_null(strstr(r.p.asked, "integer"));
        assert_string_equal(r.p.tool, "clock");
        assert_string_equal(r.p.stop, "END");
        assert_int_equal(aios_transcript_count(r.t), 1); /* the host's stays as it was */
        rig_close(&r);
    }
}

static void json_between_words_is_cut_out(void **state)
{
    (void)state;
    static const char *const lines[] = {"Sure:\n```json\n{\"age\": 7}\n```\nDone.", NULL};
    rig r;
    rig_open(&r, lines, 0);
    assert_int_equal(turn(&r), 0);
    assert_int_equal(r.n_attempts, 2);
    assert_string_equal(r.text[1], "{\"age\": 7}");
    assert_string_equal(r.last, "{\"age\": 7}");
    rig_close(&r);
}

static void after_the_last_attempt_the_turn_fails_and_keeps_its_text(void **state)
{
    (void)state;
    static const char *const lines[] = {"seven", "{\"age\":", NULL};
    rig r;
    rig_open(&r, lines, 0);
    assert_int_equal(turn(&r), AIOS_ESCHEMA);
    assert_int_equal(r.n_attempts, 3);
    assert_string_equal(r.last, "{\"age\":");
    assert_non_null(strstr(r.err.msg, "parrot"));
    r.req.max_repairs = AIOS_NO_REPAIRS;
    assert_int_equal(turn(&r), AIOS_ESCHEMA);
    assert_int_equal(r.n_attempts, 1);
    r.req.max_repairs = 1;
    assert_int_equal(turn(&r), AIOS_ESCHEMA);
    assert_int_equal(r.n_attempts, 2);
    r.req.transcript = NULL; /* raw text cannot be asked again */
    r.req.raw = "age:";
    r.req.n_raw = AIOS_CSTR;
    assert_int_equal(turn(&r), AIOS_ESCHEMA);
    assert_int_equal(r.n_attempts, 1);
    rig_close(&r);
}

static void a_start_that_gives_a_code_of_steps_is_a_defect(void **state)
{
    (void)state;
    static const char *const lines[] = {"seven", "{\"age\":7}", NULL};
    rig r;
    rig_open(&r, lines, 0);
    r.p.start_code = AIOS_DONE;
    assert_int_equal(turn(&r), AIOS_EINTERNAL);
    assert_non_null(strstr(r.err.msg, "start gave"));
    rig_close(&r);
}

static void what_was_cut_short_or_free_is_not_checked(void **state)
{
    (void)state;
    static const char *const lines[] = {"{\"age\":", NULL};
    rig r;
    rig_open(&r, lines, 0);
    r.p.reason = "length";
    assert_int_equal(turn(&r), 0);
    assert_string_equal(r.last, lines[0]);
    r.p.reason = "stop";
    r.req.schema_json = NULL;
    assert_int_equal(turn(&r), 0);
    assert_int_equal(r.n_attempts, 1);
    rig_close(&r);
}

static void memory_may_fail_at_any_place(void **state)
{
    (void)state;
    static const char *const lines[] = {"no", "{\"age\":7}", NULL};
    bool failed = false;
    for (long at = 1; at < 400; at++) {
        rig r;
        rig_open(&r, lines, 0);
        r.h.fail_at = r.h.n_allocs + at;
        int code = turn(&r);
        r.h.fail_at = 0;
        if (code && code != AIOS_ENOMEM)
            fail_msg("allocation %ld: %d %s", at, code, r.err.msg);
        failed |= code != 0;
        rig_close(&r);
    }
    assert_true(failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_reply_is_asked_for_again_with_the_reason),
        cmocka_unit_test(json_between_words_is_cut_out),
        cmocka_unit_test(after_the_last_attempt_the_turn_fails_and_keeps_its_text),
        cmocka_unit_test(a_start_that_gives_a_code_of_steps_is_a_defect),
        cmocka_unit_test(what_was_cut_short_or_free_is_not_checked),
        cmocka_unit_test(memory_may_fail_at_any_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
