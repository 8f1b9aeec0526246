/* SPDX-License-Identifier: Apache-2.0 */
/* Replies taken apart, without a model. */
#include "shared_ctx.h"

#include "backend/gguf/gguf.h"

/* A sink that only collects. */
static int sink_text(void *user, const char *s, size_t n)
{
    return aios__buf_add(user, s, n, NULL);
}

static int sink_reasoning(void *user, const char *s, size_t n)
{
    aios__buf *b = user;
    if (b->n && b->p[b->n - 1] == ')') /* another piece */
        b->n--;
    else if (aios__buf_adds(b, "(", NULL))
        return AIOS_ENOMEM;
    int rc = aios__buf_add(b, s, n, NULL);
    return rc ? rc : aios__buf_adds(b, ")", NULL);
}

static int sink_call(void *user, const char *name, const char *args, size_t n, const char *id)
{
    assert_null(id);
    return aios__buf_addf(user, NULL, "[%s%.*s]", name, (int)n, args);
}

/* Sends a text in pieces of `step` bytes through a reply. */
static void feed(aios__reply *r, const char *s, size_t step)
{
    for (size_t n = strlen(s); n;) {
        size_t m = n < step ? n : step;
        assert_int_equal(aios__reply_add(r, s, m, NULL), 0);
        s += m;
        n -= m;
    }
}

static void a_reply_is_taken_apart_wherever_its_tokens_end(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
        enum aios__reply_state end;
    } rows[] = {
        {"plain \xc3\xa9 text", "plain \xc3\xa9 text", AIOS__REPLY_TEXT},
        {"a <b> <tool \n", "a <b> <tool \n", AIOS__REPLY_TEXT},
        {"text \n<tool_call>\n{", "text<tool_call>\n{", AIOS__REPLY_CALLS},
        {"one STOP two", "one ", AIOS__REPLY_OVER},
        {"one STO two", "one STO two", AIOS__REPLY_TEXT},
        {"  {\"nam\": 1}", "  {\"nam\": 1}", AIOS__REPLY_TEXT},
        {" {\n \"name\" : \"x", "", AIOS__REPLY_RETRY},
        {"```json\n{\"name\":\"x", "", AIOS__REPLY_RETRY},
        {"```c\nint", "```c\nint", AIOS__REPLY_TEXT},
        {"cut \xc3", "cut \xef\xbf\xbd", AIOS__REPLY_TEXT},
        {"text \n<tool_call>\n{\"name\": \"a\", \"arguments\": {\"x\": 1}}\n</tool_call>", "text[a{\"x\":1}]", AIOS__REPLY_CALLS},
        {"<think>\nhm</think>\n\n{\"name\": \"x", "(\nhm)", AIOS__REPLY_RETRY},
        {"bad \xff\xfe end", "bad \xef\xbf\xbd\xef\xbf\xbd end", AIOS__REPLY_TEXT},
    };
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        for (size_t step = 1; step < 20; step++) {
            aios__buf out;
            aios__buf_init(&out, aios__ctx_heap(ctx), AIOS_MEM_TEXT, 0);
            aios_sink sink = {.struct_size = sizeof sink, .user = &out, .text = sink_text, .reasoning = sink_reasoning, .call = sink_call};
            aios__gguf_model m = {.heap = aios__ctx_heap(ctx), .calls = aios__call_format_find("", 0), .think = aios__think_format_find("", 0)};
            aios__reply r;
            aios__reply_init(&r, &m, &sink);
            r.watch = r.may_call = r.parse.may_think = true;
            assert_int_equal(aios__reply_add_stop(&r, "STOP", NULL), 0);
            feed(&r, rows[i].in, step);
            assert_int_equal(aios__reply_finish(&r, NULL), 0);
            if (r.state != rows[i].end || strcmp(out.p ? out.p : "", rows[i].out))
                fail_msg("\"%s\" by %zu: state %d, \"%s\"", rows[i].in, step, (int)r.state, out.p ? out.p : "");
            aios__reply_free(&r);
            aios__buf_free(&out);
        }
    }
}

static void reasoning_is_told_from_text(void **state)
{
    (void)state;
    for (size_t step = 1; step < 30; step++) {
        aios__buf out;
        aios__buf_init(&out, aios__ctx_heap(ctx), AIOS_MEM_TEXT, 0);
        aios_sink sink = {.struct_size = sizeof sink, .user = &out, .text = sink_text, .reasoning = sink_text};
        aios__gguf_model m = {.heap = aios__ctx_heap(ctx), .calls = aios__call_format_find("", 0), .think = aios__think_format_find("", 0)};
        aios__reply r;
        aios__reply_init(&r, &m, &sink);
        r.parse.may_think = true;
        feed(&r, "\n<think>why <b></think>\n\nanswer <think>x", step);
        assert_int_equal(aios__reply_finish(&r, NULL), 0);
        assert_string_equal(out.p, "why <b>answer <think>x");
        aios__reply_free(&r);
        aios__buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_is_taken_apart_wherever_its_tokens_end),
        cmocka_unit_test(reasoning_is_told_from_text),
    };
    return cmocka_run_group_tests_name("reply", tests, open_ctx, close_ctx);
}
