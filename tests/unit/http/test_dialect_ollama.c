/* SPDX-License-Identifier: Apache-2.0 */
#include "stream_test.h"

#define D (&aios__dialect_ollama)
#define TAIL ",\"truncate\":false,\"shift\":false,\"stream\":true}"
#define HEAD "{\"model\":\"llama3.2\",\"created_at\":\"2023-08-04T08:52:19.385406455-07:00\","
#define DONE(reason) HEAD "\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":\"" \
    reason "\",\"total_duration\":4883583458," \
    "\"load_duration\":1334875,\"prompt_eval_count\":26,\"prompt_eval_duration\":342546000,\"eval_count\":282,\"eval_duration\":4535599000}\n"
#define SAID(message) HEAD "\"message\":{\"role\":\"assistant\"," message "},\"done\":false}\n"

/* ---- requests ----------------------------------------------------------------------------------------------------- */

static void a_conversation_is_a_list_of_messages(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, D, "llama3.2");
    say(&b, AIOS_ROLE_SYSTEM, "Be brief.");
    SAY(&b, AIOS_ROLE_USER, PART(TEXT, "See"), PART(IMAGE, "\xff\xd8"), PART(IMAGE, "P"));
    say(&b, AIOS_ROLE_ASSISTANT, "");
    check_encode(&b, D->encode, "/api/chat", "{\"model\":\"llama3.2\",\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},"
        "{\"role\":\"user\",\"content\":\"See\","
                 "\"images\":[\"/9g=\",\"UA==\"]},{\"role\":\"assistant\",\"content\":\"\"}],\"options\":{}" TAIL);
    bench_close(&b);
}

static void a_tool_loop_is_sent_whole(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, D, "m");
    use_tools(&b, 2);
    say(&b, AIOS_ROLE_USER, "Weather?");
    SAY(&b, AIOS_ROLE_ASSISTANT, PART(REASONING, "Let me "), PART(REASONING, "look"), PART(TEXT, "I look."),
        PART(CALL, "{\"location\":\"Paris\"}", .name = "get_weather", .call_id = "call_1"), PART(CALL, "", .name = "now", .call_id = "call_2"));
    SAY(&b, AIOS_ROLE_TOOL, PART(RESULT, "15 C", .name = "get_weather", .call_id = "call_1"), PART(RESULT, "noon", .name = "now",
        .call_id = "call_2"));
#define MESSAGES "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Weather?\"},{\"role\":\"assistant\",\"content\":" \
    "\"I look.\",\"thinking\":\"Let me look\"," \
    "\"tool_calls\":[{\"function\":{\"name\":\"get_weather\",\"arguments\":{\"location\":\"Paris\"}}},{\"function\":{\"name\":\"now\"," \
    "\"arguments\":{}}}]}," \
    "{\"role\":\"tool\",\"content\":\"15 C\",\"tool_name\":\"get_weather\"},{\"role\":\"tool\",\"content\":\"noon\",\"tool_name\":\"now\"}]"
    check_encode(&b, D->encode, "/api/chat", MESSAGES ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\","
        "\"description\":\"Weather of a place\","
                 "\"parameters\":{\"type\":\"object\",\"properties\":{\"location\":{\"type\":\"string\"}},\"required\":[\"location\"]}}},"
                 "{\"type\":\"function\",\"function\":{\"name\":\"now\",\"parameters\":{\"type\":\"object\",\"properties\":{}}}}],"
                 "\"options\":{}" TAIL);
    b.req.tool_choice = AIOS_TOOLS_NONE;
    check_encode(&b, D->encode, "/api/chat", MESSAGES ",\"options\":{}" TAIL);
    bench_close(&b);
}

static void options_have_their_names(void **state)
{
    (void)state;
    static const char *const stop[] = {"END", NULL};
    aios_sampling s = AIOS_INIT(aios_sampling);
    bench b;
    bench_open(&b, D, "m");
    say(&b, AIOS_ROLE_USER, "Hi");
    b.remote.server.n_ctx = 4096;
    b.req.sampling = &s;
    b.req.schema_json = "{\"type\":\"object\"}";
#define HI "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"format\":{\"type\":\"object\"},\"options\":{\"num_ctx\":" \
    "4096,"
    check_encode(&b, D->encode, "/api/chat", HI "\"temperature\":0}" TAIL);
    s = (aios_sampling){sizeof s, 0.5f, 0.25f, 0.125f, 1.5f, -0.5f, 0.75f, 40, 32, UINT64_C(0xffffffff00000007)};
    b.req.max_tokens = 100;
    b.req.stop = stop;
    check_encode(&b, D->encode, "/api/chat", HI "\"num_predict\":100,\"temperature\":0.5,\"top_p\":0.25,\"min_p\":0.125,\"repeat_penalty\":1.5,"
                 "\"frequency_penalty\":-0.5,\"presence_penalty\":0.75,\"top_k\":40,\"repeat_last_n\":32,\"seed\":7,\"stop\":[\"END\"]}" TAIL);
    bench_close(&b);
}

static void a_small_bound_on_reasoning_turns_it_off(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, D, "m");
    say(&b, AIOS_ROLE_USER, "Hi");
    b.req.max_reasoning = 1023;
    check_encode(&b, D->encode, "/api/chat", "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"think\":false,\"options\":{}" TAIL);
    bench_close(&b);
}

static void wishes_that_cannot_be_said_are_refused_by_name(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, D, "m");
    use_tools(&b, 1);
    say(&b, AIOS_ROLE_USER, "Hi");
    b.req.tool_choice = AIOS_TOOLS_REQUIRED;
    check_refused(&b, D->encode, AIOS_ENOTSUP, "AIOS_TOOLS_REQUIRED");
    b.req.tool_choice = AIOS_TOOLS_NAMED;
    b.req.tool_name = "get_weather";
    check_refused(&b, D->encode, AIOS_ENOTSUP, "AIOS_TOOLS_NAMED");
    b.req.tool_choice = AIOS_TOOLS_AUTO;
    b.req.max_reasoning = 1024;
    check_refused(&b, D->encode, AIOS_ENOTSUP, "max_reasoning");
    b.req.max_reasoning = 0;
    b.req.min_margin = 0.5f;
    check_refused(&b, D->encode, AIOS_ENOTSUP, "min_margin");
    b.req.min_margin = 0;
    SAY(&b, AIOS_ROLE_USER, PART(DATA, "%PDF", .mime = "application/pdf"));
    check_refused(&b, D->encode, AIOS_ENOTSUP, "data of type application/pdf");
    aios_transcript_truncate(b.t, 1, NULL);
    SAY(&b, AIOS_ROLE_ASSISTANT, PART(CALL, "{}", .name = "now", .call_id = "a"));
    SAY(&b, AIOS_ROLE_TOOL, PART(RESULT, "ok", .name = "now", .call_id = "a"), PART(IMAGE, "P", .mime = "image/png"));
    check_refused(&b, D->encode, AIOS_ENOTSUP, "an image of type image/png");
    bench_close(&b);
}

static void addresses_are_completed_as_the_sdk_does(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"1.2.3.4", "http://1.2.3.4:11434"}, {":56789", "http://127.0.0.1:56789"}, {"1.2.3.4:56789", "http://1.2.3.4:56789"},
        {"http://1.2.3.4", "http://1.2.3.4"},
        {"https://1.2.3.4", "https://1.2.3.4"}, {"https://example.com:56789/path", "https://example.com:56789/path"}, {"example.com/",
        "http://example.com:11434/"},
        {"example.com:56789/path", "http://example.com:56789/path"}, {"example.com/path", "http://example.com:11434/path"},
        {"[0001:002:003:0004::1]", "http://[0001:002:003:0004::1]:11434"}, {"[0001:002:003:0004::1]:56789",
        "http://[0001:002:003:0004::1]:56789"},
        {"https://[::1]/path", "https://[::1]/path"}, {"0.0.0.0", "http://127.0.0.1:11434"}, {"0.0.0.0:8000", "http://127.0.0.1:8000"},
        {"http://0.0.0.0:8000", "http://127.0.0.1:8000"}, {"[::]:8000", "http://[::1]:8000"}, {"", "http://127.0.0.1:11434"}, {"[",
        "http://[:11434"},
    };
    bench b;
    aios__buf out;
    bench_open(&b, D, "m");
    aios__buf_init(&out, b.remote.heap, AIOS_MEM_TEXT, 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        aios__buf_clear(&out);
        must(D->complete_url(rows[i][0], &out, &b.err), &b.err);
        assert_string_equal(out.p, rows[i][1]);
    }
    aios__buf_free(&out);
    bench_close(&b);
}

static void the_configured_address_is_completed_too(void **state)
{
    (void)state;
    aios_remote_config remote = AIOS_INIT(aios_remote_config);
    aios_model_config cfg = AIOS_INIT(aios_model_config);
    aios_error err = AIOS_INIT(aios_error);
    aios_model_info info = AIOS_INIT(aios_model_info);
    aios_model *m = NULL;
    aios_ctx *ctx = test_ctx(NULL, 0);
    cfg.remote = &remote;
    remote.base_url = "0.0.0.0:9";
    must(aios_model_open(ctx, "ollama:m", &cfg, &m, &err), &err);
    assert_int_equal(aios_model_info_get(m, &info), 0);
    assert_int_equal(info.privacy, AIOS_PRIVACY_LOCAL);
    aios_model_close(m);
    must(aios_model_open(ctx, "ollama:gpt-oss:120b-cloud", &cfg, &m, &err), &err); /* which Ollama hands on */
    assert_int_equal(aios_model_info_get(m, &info), 0);
    assert_int_equal(info.privacy, AIOS_PRIVACY_REMOTE);
    aios_model_close(m);
    remote.base_url = "example.com";
    assert_int_equal(aios_model_open(ctx, "ollama:m", &cfg, &m, &err), AIOS_EDENIED); /* plain HTTP to another machine */
    aios_ctx_free(ctx);
}

static void arguments_that_are_no_object_break_nothing(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, D, "m");
    SAY(&b, AIOS_ROLE_ASSISTANT, PART(CALL, "{}},\"x\":{", .name = "now", .call_id = "a"), PART(CALL, "[1]", .name = "now", .call_id = "b"));
    check_encode(&b, D->encode, "/api/chat",
                 "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"now\","
                 "\"arguments\":{\"invalid_arguments\":\"{}},\\\"x\\\":{\"}}},"
                 "{\"function\":{\"name\":\"now\",\"arguments\":{\"invalid_arguments\":\"[1]\"}}}]}],\"options\":{}" TAIL);
    bench_close(&b);
}

/* ---- streams ------------------------------------------------------------------------------------------------------ */

static const char tools[] = SAID("\"content\":\"\",\"thinking\":\"Okay, \"") SAID("\"content\":\"\",\"thinking\":\"the user\"")
    SAID("\"content\":\"I l\xc3\xb6ok\"")
    SAID("\"content\":\".\"") SAID("\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"get_weather\",\"arguments\":{\"location\":"
        "\"Paris\",\"n\":[1,2.5]}}},"
    "{\"function\":{\"name\":\"now\",\"arguments\":{}}}]") SAID("\"content\":\"\",\"tool_calls\":[{\"id\":\"x1\",\"function\":{\"index\":0,"
    "\"name\":\"now\"}}]") DONE("stop");

static void streams_are_read_wherever_they_are_cut(void **state)
{
    (void)state;
    static const char what[] = "think:Okay, the user|text:I l\xc3\xb6ok.|call:get_weather{\"location\":\"Paris\",\"n\":[1,2.5]}|call:now{}"
        "|call:now{}#x1|usage:26/0/282/0|stop:tool_calls";
    bench b;
    bench_open(&b, D, "m");
    check_stream(&b, SAID("\"content\":\"The\"") "\r\n" SAID("\"content\":\" sky\"") DONE("stop"), AIOS_OK,
        "text:The sky|usage:26/0/282/0|stop:stop");
    check_stream(&b, SAID("\"content\":\"The\"") DONE("length"), AIOS_OK, "text:The|usage:26/0/282/0|stop:length");
    check_stream(&b, HEAD "\"message\":{\"role\":\"assistant\",\"content\":\"whole\"},\"done\":true}", AIOS_OK, "text:whole|stop:stop");
    check_stream(&b, tools, AIOS_OK, what);
    check_stream_heap(&b, tools, what);
    check_cut_off(&b, tools, sizeof tools - 2); /* the last line may lack its end */
    bench_close(&b);
}

static void failures_have_their_codes(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, D, "m");
    check_fault(&b, 404, "{\"error\":\"model 'nope' not found\"}", AIOS_ENOENT, "model 'nope' not found");
    check_fault(&b, 400, "{\"error\":\"the input length exceeds the context length\"}", AIOS_ECONTEXT, "context length");
    check_fault(&b, 400, "{\"error\":\"registry.ollama.ai/library/m does not support tools\"}", AIOS_EINVAL, "does not support tools");
    check_fault(&b, 503, "{\"error\":\"server busy, please try again.  maximum pending requests exceeded\"}", AIOS_EUNAVAIL, "busy");
    check_fault(&b, 401, "{\"error\":\"unauthorized\"}", AIOS_EAUTH, "unauthorized");
    check_stream(&b, SAID("\"content\":\"The\"") "{\"error\":\"an error was encountered while running the model\"}\n", AIOS_EUNAVAIL,
        "text:The");
    bench_close(&b);
}

static void models_are_listed_and_texts_embedded(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, D, "m");
    check_list(&b, D->decode_list, "{\"models\":[{\"name\":\"deepseek-r1:latest\",\"model\":\"deepseek-r1:latest\",\"size\":4683075271},"
        "{\"name\":\"old\"}]}",
               "{\"id\":\"deepseek-r1:latest\"},{\"id\":\"old\"}");
    check_embed(&b, "/api/embed", "{\"model\":\"m\",\"input\":\"a \\\"text\\\"\",\"truncate\":false}",
        "{\"model\":\"m\",\"embeddings\":[[0.5,-0.25]]}", 0.5, 2);
    check_embed(&b, "/api/embed", "{\"model\":\"m\",\"input\":\"a \\\"text\\\"\",\"truncate\":false}", "{\"embeddings\":3}", 0, 0);
    bench_close(&b);
}

static void damaged_streams_end(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, D, "m");
    check_damaged(&b, tools);
    bench_close(&b);
}

static void what_is_not_as_described_is_no_harm(void **state)
{
    (void)state;
    static const char *const rows[] = {"{}", "[]", "null", "7", "{\"message\":[]}", "{\"message\":{\"content\":3,\"tool_calls\":{\"a\":1}}}"
        "", "{\"message\":{\"tool_calls\":[null]}}",
        "{\"message\":{\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}", "{\"done\":\"yes\"}",
        "{\"done\":false,\"eval_count\":-1}", "{\"error\":{\"a\":1}}"};
    bench b;
    heard h;
    bench_open(&b, D, "m");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char s[2048];
        snprintf(s, sizeof s, "%s\n%s", rows[i], DONE("stop"));
        int rc = hear(&b, s, 0, 0, &h);
        assert_true(rc == AIOS_OK || rc == AIOS_EPROTO);
    }
    bench_close(&b);
}

static void tokens_say_how_likely_they_were(void **state)
{
    bench b;
    AIOS__UNUSED(state);
    bench_open(&b, D, "m");
    say(&b, AIOS_ROLE_USER, "Hi");
    b.req.flags = AIOS_REQUEST_LOGPROBS;
    b.req.n_top = 1;
    check_encode(&b, D->encode, "/api/chat", "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"logprobs\":true,\"top_logprobs\":1,\"options\":{}" TAIL);
    check_stream(&b,
                 "{\"message\":{\"role\":\"assistant\",\"content\":\"a\"},\"done\":false,\"logprobs\":[{\"token\":\"a\",\"logprob\":-0.5,\"bytes\":[97],\"top_logprobs\":"
                 "[{\"token\":\"a\",\"logprob\":-0.5,\"bytes\":[97]}]}]}\n{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\"}\n",
                 AIOS_OK, "text:a|probs:[{\"token\":\"a\",\"logprob\":-0.5,\"top\":[{\"token\":\"a\",\"logprob\":-0.5}]}]|stop:stop");
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests_[] = {
        cmocka_unit_test(a_conversation_is_a_list_of_messages),
        cmocka_unit_test(a_tool_loop_is_sent_whole),
        cmocka_unit_test(options_have_their_names),
        cmocka_unit_test(a_small_bound_on_reasoning_turns_it_off),
        cmocka_unit_test(wishes_that_cannot_be_said_are_refused_by_name),
        cmocka_unit_test(addresses_are_completed_as_the_sdk_does),
        cmocka_unit_test(the_configured_address_is_completed_too),
        cmocka_unit_test(arguments_that_are_no_object_break_nothing),
        cmocka_unit_test(tokens_say_how_likely_they_were),
        cmocka_unit_test(streams_are_read_wherever_they_are_cut),
        cmocka_unit_test(failures_have_their_codes),
        cmocka_unit_test(models_are_listed_and_texts_embedded),
        cmocka_unit_test(damaged_streams_end),
        cmocka_unit_test(what_is_not_as_described_is_no_harm),
    };
    return cmocka_run_group_tests(tests_, NULL, NULL);
}
