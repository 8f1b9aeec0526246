/* SPDX-License-Identifier: Apache-2.0 */
/* How the pieces of a reply become parts of the transcript: order, signatures, attempts that are void. */
#include "agent_test.h"
#include "parrot.h"

/* A backend that does one of these things a step; NULL kind: the turn is over. */
typedef struct line {
    const char *kind, *text;
} line;

typedef struct script {
    const line *at;
    char seen[4096]; /* the parts of the last request's assistant entries */
} script;

static int script_start(void *session, const aios_request *req, aios_error *err)
{
    script *s = session;
    static const char *const names[] = {"?", "text", "reasoning", "call", "result"};
    size_t n = 0;
    (void)err;
    s->seen[0] = 0;
    for (uint32_t i = 0; i < aios_transcript_count(req->transcript); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(req->transcript, i, &e);
        for (uint32_t k = 0; e.role == AIOS_ROLE_ASSISTANT && k < e.n_parts; k++) {
            const aios_part *p = &e.parts[k];
            bool signed_part = p->kind == AIOS_PART_REASONING && p->call_id;
            n += (size_t)snprintf(s->seen + n, sizeof s->seen - n, "%s%s:%.*s%s%s%s", n ? "|" : "", names[p->kind], (int)p->n_text, p->text,
                                  signed_part ? "<" : "", signed_part ? p->call_id : "", signed_part ? ">" : "");
        }
    }
    return 0;
}

static int script_step(void *session, const aios_sink *k, aios_error *err)
{
    script *s = session;
    const line *l = s->at++;
    (void)err;
    if (!l->kind)
        return k->stop(k->user, l->text), AIOS_DONE;
    int rc = !strcmp(l->kind, "text")    ? k->text(k->user, l->text, strlen(l->text))
             : !strcmp(l->kind, "think") ? k->reasoning(k->user, l->text, strlen(l->text))
             : !strcmp(l->kind, "sign")  ? k->sign(k->user, l->text)
             : !strcmp(l->kind, "again") ? k->restart(k->user)
                                         : k->call(k->user, l->kind, l->text, strlen(l->text), NULL);
    return rc ? rc : AIOS_AGAIN;
}

static void script_run(script *s, const line *lines, log_text *l, int *counter)
{
    aios_backend_ops ops = AIOS_INIT(aios_backend_ops);
    world w;
    world_open(&w, NULL, "echo:");
    aios_model_close(w.model);
    ops.name = "script";
    ops.open = parrot_open;
    ops.close = parrot_close;
    ops.info = parrot_info;
    ops.session_new = parrot_session;
    ops.session_free = parrot_close;
    ops.start = script_start;
    ops.step = script_step;
    ops.cancel = parrot_close;
    s->at = lines;
    assert_int_equal(aios_backend_register(w.ctx, &ops, s, NULL), 0);
    assert_int_equal(aios_model_open(w.ctx, "script:", NULL, &w.model, NULL), 0);
    aios_tool count = make_tool("count", tool_count, counter);
    count.effect = AIOS_EFFECT_READ;
    world_tool(&w, count);
    w.cfg.model = w.model;
    world_agent(&w);
    aios_run *r = world_start(&w, NULL, "go");
    pull_all(r, l);
    check_whole(aios_run_transcript(r));
    script_start(s, &(aios_request){.struct_size = sizeof(aios_request), .transcript = aios_run_transcript(r)}, NULL);
    aios_run_free(r);
    world_close(&w);
}

static void signed_reasoning_comes_back_in_its_place(void **state)
{
    (void)state;
    static const line lines[] = {
        {"think", "a"}, {"think", "b"}, {"sign", "x/t S1"}, {"text", "so"}, {"sign", "x/r S2"}, {"think", "c"}, {"sign", "x/t S3"},
        {"add", "{\"a\":1,\"b\":2}"}, {"sign", "x/t S4"}, {"add", "{\"a\":3,\"b\":4}"}, {NULL, "tool_calls"}, {"text", "done"}, {NULL, "stop"},
    };
    script s = {0};
    log_text l = {.n = 0};
    int n = 0;
    script_run(&s, lines, &l, &n);
    assert_string_equal(s.seen, "reasoning:ab<x/t S1>|text:so|reasoning:<x/r S2>|reasoning:c<x/t S3>|call:{\"a\":1,\"b\":2}|"
                                "reasoning:<x/t S4>|call:{\"a\":3,\"b\":4}|text:done");
}

static void reasoning_without_signature_stays_in_front(void **state)
{
    (void)state;
    static const line lines[] = {{"text", "A"}, {"think", "b"}, {"text", "C"}, {NULL, "stop"}};
    script s = {0};
    log_text l = {.n = 0};
    int n = 0;
    script_run(&s, lines, &l, &n);
    assert_string_equal(s.seen, "reasoning:b|text:AC");
}

static void what_a_void_attempt_said_is_gone(void **state)
{
    (void)state;
    static const line lines[] = {
        {"think", "x"}, {"sign", "x/t OLD"}, {"text", "no"}, {"again", NULL}, {"think", "y"}, {"sign", "x/t NEW"}, {"count", "{}"},
        {NULL, "tool_calls"}, {"text", "done"}, {NULL, "stop"},
    };
    script s = {0};
    log_text l = {.n = 0};
    int n = 0;
    script_run(&s, lines, &l, &n);
    assert_int_equal(n, 1);
    assert_string_equal(s.seen, "reasoning:y<x/t NEW>|call:{}|text:done");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signed_reasoning_comes_back_in_its_place),
        cmocka_unit_test(reasoning_without_signature_stays_in_front),
        cmocka_unit_test(what_a_void_attempt_said_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
