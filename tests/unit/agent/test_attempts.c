/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_test.h"
#include "parrot.h"

static void a_reply_that_breaks_its_schema_is_asked_for_again(void **state)
{
    (void)state;
    static const char *const lines[] = {"{}", "{\"n\":7}", NULL};
    parrot p = {.lines = lines, .reason = "stop"};
    world w;
    log_text l = {.n = 0};
    world_open(&w, NULL, "echo:");
    aios_model_close(w.model);
    parrot_model(w.ctx, &p, &w.model);
    w.cfg.model = w.model;
    w.cfg.toolset = NULL;
    w.cfg.schema_json = "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}},\"required\":[\"n\"]}";
    world_agent(&w);
    aios_run *r = world_start(&w, NULL, "go");
    pull_all(r, &l);
    assert_string_equal(l.s, "model|text:{|text:}|text1:{|text1:\"|text1:n|text1:\"|text1::|text1:7|text1:}|done(stop):{\"n\":7}");
    assert_int_equal(aios_transcript_count(aios_run_transcript(r)), 2); /* what was wrong is not kept */
    aios_run_free(r);
    world_close(&w);
}

static void calls_of_an_attempt_that_is_void_are_not_made(void **state)
{
    (void)state;
    static const char *const lines[] = {PARROT_CALL, "let me", PARROT_RESTART, "no need", NULL};
    parrot p = {.lines = lines, .reason = "stop"};
    world w;
    log_text l = {.n = 0};
    world_open(&w, NULL, "echo:");
    aios_model_close(w.model);
    parrot_model(w.ctx, &p, &w.model);
    w.cfg.model = w.model;
    world_agent(&w);
    aios_run *r = world_start(&w, NULL, "go");
    pull_all(r, &l);
    assert_string_equal(l.s, "model|text:l|text:e|text:t|text: |text:m|text:e|text1:n|text1:o|text1: |text1:n|text1:e|text1:e|text1:d|done(stop):no need");
    assert_int_equal(aios_transcript_count(aios_run_transcript(r)), 2);
    aios_run_free(r);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_that_breaks_its_schema_is_asked_for_again),
        cmocka_unit_test(calls_of_an_attempt_that_is_void_are_not_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
