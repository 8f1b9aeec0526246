/* SPDX-License-Identifier: Apache-2.0 */
#include "stream_test.h"

#define D (&aios__dialect_anthropic)
#define CACHE ",\"cache_control\":{\"type\":\"ephemeral\"}"
#define EV(type, data) "event: " type "\ndata: " data "\n\n"
#define START(usage) EV("message_start", "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_4QpJur2dWWDjF6C758FbBw5vm12BaVipnK\"," \
    "\"type\":\"message\"," \
    "\"role\":\"assistant\",\"content\":[],\"model\":\"claude-opus-4-5\",\"stop_reason\":null,\"stop_sequence\":null,\"usage\":" usage "}}")
#define BLOCK(i, block) EV("content_block_start", "{\"type\":\"content_block_start\",\"index\":" #i ",\"content_block\":" block "}")
#define DELTA(i, delta) EV("content_block_delta", "{\"type\":\"content_block_delta\",\"index\":" #i ",\"delta\":" delta "}")
#define BLOCK_STOP(i) EV("content_block_stop", "{\"type\":\"content_block_stop\",\"index\":" #i "}")
#define STOP(reason, usage) EV("message_delta", "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"" \
    reason "\",\"stop_sequence\":null},\"usage\":" usage "}") \
    EV("message_stop", "{\"type\":\"message_stop\"}")

/* ---- requests ----------------------------------------------------------------------------------------------------- */

static void a_question_is_a_message(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, D, "claude-opus-4-5");
    say(&b, AIOS_ROLE_USER, "Hello, \"Claude\"\n");
    check_encode(&b, D->encode, "/v1/messages", "{\"model\":\"claude-opus-4-5\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
        "\"text\",\"text\":"
                 "\"Hello, \\\"Claude\\\"\\n\"}]}],\"max_tokens\":32000,\"stream\":true}");
    bench_close(&b);
}

static void limits_sampling_and_stops_are_sent_as_the_caller_sets_them(void **state)
{
    (void)state;
    static const char *const stop[] = {"END", "\n\n", NULL};
    aios_sampling s = AIOS_INIT(aios_sampling);
    bench b;
    bench_open(&b, D, "m");
    say(&b, AIOS_ROLE_USER, "Hi");
    b.req.sampling = &s;
    b.req.max_tokens = 7;
#define HI "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Hi\"}]}]"
    check_encode(&b, D->encode, "/v1/messages", HI ",\"max_tokens\":7,\"stream\":true}"); /* all zero: nothing is set */
    s.temperature = 0.5f;
    s.top_p = 0.25f;
    s.top_k = 40;
    b.req.stop = stop;
    check_encode(&b, D->encode, "/v1/messages", HI ",\"max_tokens\":7,\"temperature\":0.5,\"top_p\":0.25,\"top_k\":40,\"stop_sequences\":"
        "[\"END\",\"\\n\\n\"],"
                 "\"stream\":true}");
    s = (aios_sampling)AIOS_INIT(aios_sampling);
    b.req.stop = NULL;
    b.req.max_tokens = 0;
    b.remote.server.n_ctx = 8000;
    b.req.schema_json = "{\"type\":\"object\"}";
    check_encode(&b, D->encode, "/v1/messages", HI ",\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":{\"type\":\"object\"}"
        "}},\"max_tokens\":8000,"
                 "\"stream\":true}");
    bench_close(&b);
}

static void wishes_that_cannot_be_said_are_refused_by_name(void **state)
{
    (void)state;
    aios_sampling s = AIOS_INIT(aios_sampling);
    bench b;
    bench_open(&b, D, "m");
    say(&b, AIOS_ROLE_USER, "Hi");
    b.req.sampling = &s;
    s.seed = 1;
    check_refused(&b, D->encode, AIOS_ENOTSUP, "sampling.seed");
    s.seed = 0;
    s.min_p = 0.1f;
    check_refused(&b, D->encode, AIOS_ENOTSUP, "sampling.min_p");
    s.min_p = 0;
    s.frequency_penalty = -1;
    check_refused(&b, D->encode, AIOS_ENOTSUP, "sampling.frequency_penalty");
    s.frequency_penalty = 0;
    s.repeat_penalty = 1.1f;
    check_refused(&b, D->encode, AIOS_ENOTSUP, "sampling.repeat_penalty");
    b.req.sampling = NULL;
    b.req.flags = AIOS_REQUEST_IGNORE_EOS;
    check_refused(&b, D->encode, AIOS_ENOTSUP, "AIOS_REQUEST_IGNORE_EOS");
    b.req.flags = 0;
    SAY(&b, AIOS_ROLE_USER, PART(AUDIO, "RIFF", .mime = "audio/wav"));
    check_refused(&b, D->encode, AIOS_ENOTSUP, "audio of type audio/wav");
    aios_transcript_truncate(b.t, 1, NULL);
    SAY(&b, AIOS_ROLE_USER, PART(IMAGE, "BM", .mime = "image/bmp"));
    check_refused(&b, D->encode, AIOS_ENOTSUP, "an image of type image/bmp");
    aios_transcript_truncate(b.t, 1, NULL);
    SAY(&b, AIOS_ROLE_USER, PART(DATA, "PK", .mime = "application/zip"));
    check_refused(&b, D->encode, AIOS_ENOTSUP, "data of type application/zip");
    bench_close(&b);
}

static void a_tool_loop_is_sent_whole_with_signed_thoughts(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, D, "m");
    use_tools(&b, 2);
    say(&b, AIOS_ROLE_SYSTEM, "Be brief.");
    say(&b, AIOS_ROLE_SYSTEM, "Be kind.");
    say(&b, AIOS_ROLE_USER, "Weather?");
    SAY(&b, AIOS_ROLE_ASSISTANT, PART(REASONING, "Let me look", .call_id = "anthropic/thinking EqQBCg=="), PART(REASONING, "",
        .call_id = "anthropic/redacted Ev=="),
        PART(REASONING, "of another", .call_id = "gemini/thought X"), PART(REASONING, "unsigned"), PART(TEXT, "I look."),
        PART(CALL, "{\"location\": \"Paris\"}", .name = "get_weather", .call_id = "toolu_1"), PART(CALL, "", .name = "now",
            .call_id = "functions.now:1"));
    SAY(&b, AIOS_ROLE_TOOL, PART(RESULT, "15 \"C\"", .name = "get_weather", .call_id = "toolu_1"));
    SAY(&b, AIOS_ROLE_TOOL, PART(RESULT, "no clock", .name = "now", .call_id = "functions.now:1", .status = AIOS_EINVAL));
    check_encode(&b, D->encode, "/v1/messages",
                 "{\"model\":\"m\",\"tools\":[{\"name\":\"get_weather\",\"description\":\"Weather of a place\",\"input_schema\":{\"type\":"
                 "\"object\",\"properties\":"
                 "{\"location\":{\"type\":\"string\"}},\"required\":[\"location\"]}},{\"name\":\"now\",\"input_schema\":{\"type\":\"object\","
                 "\"properties\":{}}" CACHE "}],"
                 "\"tool_choice\":{\"type\":\"auto\"},"
                 "\"system\":[{\"type\":\"text\",\"text\":\"Be brief.\"},{\"type\":\"text\",\"text\":\"Be kind.\"" CACHE "}],"
                 "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Weather?\"}]},"
                 "{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"Let me look\",\"signature\":\"EqQBCg==\"},"
                 "{\"type\":\"redacted_thinking\",\"data\":\"Ev==\"},{\"type\":\"text\",\"text\":\"I look.\"},"
                 "{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"get_weather\",\"input\":{\"location\": \"Paris\"}},"
                 "{\"type\":\"tool_use\",\"id\":\"functions_now_1\",\"name\":\"now\",\"input\":{}}]},"
                 "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"toolu_1\",\"content\":\"15 \\\"C\\\"\"},"
                 "{\"type\":\"tool_result\",\"tool_use_id\":\"functions_now_1\",\"content\":\"no clock\",\"is_error\":true" CACHE "}]}],"
                 "\"max_tokens\":32000,\"stream\":true}");
    bench_close(&b);
}

static void every_choice_among_tools_has_its_word(void **state)
{
    (void)state;
    static const struct {
        int32_t choice;
        uint32_t flags;
        const char *json;
    } rows[] = {
        {AIOS_TOOLS_AUTO, AIOS_REQUEST_ONE_CALL, "{\"type\":\"auto\",\"disable_parallel_tool_use\":true}"},
        {AIOS_TOOLS_REQUIRED, 0, "{\"type\":\"any\"}"},
        {AIOS_TOOLS_NONE, AIOS_REQUEST_ONE_CALL, "{\"type\":\"none\"}"},
        {AIOS_TOOLS_NAMED, AIOS_REQUEST_ONE_CALL, "{\"type\":\"tool\",\"name\":\"get_weather\",\"disable_parallel_tool_use\":true}"},
    };
    bench b;
    bench_open(&b, D, "m");
    use_tools(&b, 1);
    b.req.tool_name = "get_weather";
    say(&b, AIOS_ROLE_USER, "Hi");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char body[1024];
        b.req.tool_choice = rows[i].choice;
        b.req.flags = rows[i].flags;
        snprintf(body, sizeof body, "{\"model\":\"m\",\"tools\":[{\"name\":\"get_weather\",\"description\":\"Weather of a place\","
            "\"input_schema\":{\"type\":\"object\","
                 "\"properties\":{\"location\":{\"type\":\"string\"}},\"required\":[\"location\"]}"
                 CACHE "}],\"tool_choice\":%s,\"messages\":[{\"role\":\"user\","
                 "\"content\":[{\"type\":\"text\",\"text\":\"Hi\"" CACHE "}]}],\"max_tokens\":32000,\"stream\":true}", rows[i].json);
        check_encode(&b, D->encode, "/v1/messages", body);
    }
    bench_close(&b);
}

static void pictures_and_documents_are_blocks(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, D, "m");
    SAY(&b, AIOS_ROLE_USER, PART(TEXT, "See"), PART(IMAGE, "\xff\xd8", .mime = "image/jpeg"), PART(DATA, "%PDF", .mime = "application/pdf",
        .name = "a.pdf"),
        PART(DATA, "plain", .mime = "text/csv"), PART(TEXT, " \n"));
    check_encode(&b, D->encode, "/v1/messages",
                 "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"See\"},"
                 "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/jpeg\",\"data\":\"/9g=\"}},"
                 "{\"type\":\"document\",\"source\":{\"type\":\"base64\",\"media_type\":\"application/pdf\",\"data\":\"JVBERg==\"},\"title\":"
                 "\"a.pdf\"},"
                 "{\"type\":\"document\",\"source\":{\"type\":\"text\",\"media_type\":\"text/plain\",\"data\":\"plain\"}}]}],\"max_tokens\":"
                 "32000,\"stream\":true}");
    bench_close(&b);
}

static void pictures_behind_a_result_are_inside_of_it(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, D, "m");
    say(&b, AIOS_ROLE_USER, "Shot");
    SAY(&b, AIOS_ROLE_ASSISTANT, PART(CALL, "{}", .name = "now", .call_id = "a"));
    SAY(&b, AIOS_ROLE_TOOL, PART(RESULT, "ok", .name = "now", .call_id = "a"), PART(IMAGE, "P", .mime = "image/png"));
    say(&b, AIOS_ROLE_ASSISTANT, "");
    say(&b, AIOS_ROLE_SYSTEM, "From now on in French.");
    check_encode(&b, D->encode, "/v1/messages",
                 "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Shot\"}]},"
                 "{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"now\",\"input\":{}}]},"
                 "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"a\",\"content\":[{\"type\":\"text\",\"text\":"
                 "\"ok\"},"
                 "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"UA==\"}}]}]},"
                 "{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"From now on in French.\""
                 CACHE "}]}],\"max_tokens\":32000,\"stream\":true}");
    bench_close(&b);
}

static void a_bound_on_reasoning_is_a_budget_of_thinking(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, D, "m");
    say(&b, AIOS_ROLE_USER, "Hi");
    b.req.max_reasoning = 4000;
    check_encode(&b, D->encode, "/v1/messages", HI ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":4000},\"max_tokens\":32000,"
        "\"stream\":true}");
    b.req.max_tokens = 2000;
    check_encode(&b, D->encode, "/v1/messages", HI ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1999},\"max_tokens\":2000,"
        "\"stream\":true}");
    b.req.max_reasoning = 1023;
    check_encode(&b, D->encode, "/v1/messages", HI ",\"thinking\":{\"type\":\"disabled\"},\"max_tokens\":2000,\"stream\":true}");
    bench_close(&b);
}

static void tokens_are_counted_and_models_listed(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, D, "m");
    say(&b, AIOS_ROLE_USER, "Hi");
    check_encode(&b, D->encode_count, "/v1/messages/count_tokens", HI "}");
    check_count(&b, D->decode_count, "{\"input_tokens\":2095}", AIOS_OK, 2095);
    check_count(&b, D->decode_count, "{\"tokens\":1}", AIOS_EPROTO, 0);
    check_list(&b, D->decode_list, "{\"data\":[{\"type\":\"model\",\"id\":\"claude-opus-4-5\",\"max_input_tokens\":200000},{\"type\":"
        "\"model\",\"id\":\"x\","
               "\"max_input_tokens\":null}],\"has_more\":false}", "{\"id\":\"claude-opus-4-5\",\"context\":200000},{\"id\":\"x\"}");
    bench_close(&b);
}

static void arguments_that_are_no_object_break_nothing(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, D, "m");
    SAY(&b, AIOS_ROLE_ASSISTANT, PART(CALL, "{}},\"x\":{", .name = "now", .call_id = "a"), PART(CALL, "[1]", .name = "now", .call_id = "b"));
    check_encode(&b, D->encode, "/v1/messages",
                 "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"now\","
                 "\"input\":{\"invalid_arguments\":\"{}},\\\"x\\\":{\"}},"
                 "{\"type\":\"tool_use\",\"id\":\"b\",\"name\":\"now\",\"input\":{\"invalid_arguments\":\"[1]\"}}]}],\"max_tokens\":32000,"
                 "\"stream\":true}");
    bench_close(&b);
}

/* ---- streams: the basic and the tool stream are those of the SDK's own tests ---------------------------------------- */

static const char basic[] = START("{\"input_tokens\":11,\"output_tokens\":1}") BLOCK(0, "{\"type\":\"text\",\"text\":\"\"}") EV("ping",
    "{\"type\":\"ping\"}")
    DELTA(0, "{\"type\":\"text_delta\",\"text\":\"Hello\"}") DELTA(0, "{\"type\":\"text_delta\",\"text\":\" th\xc3\xa9re\"}")
    DELTA(0, "{\"type\":\"text_delta\",\"text\":\"!\"}") BLOCK_STOP(0) STOP("end_turn", "{\"output_tokens\":6}");

static const char tools[] = START("{\"input_tokens\":377,\"cache_creation_input_tokens\":20,\"cache_read_input_tokens\":3,\"output_tokens\":1}")
    BLOCK(0, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}") DELTA(0, "{\"type\":\"thinking_delta\",\"thinking\":\"I'll \"}")
    DELTA(0, "{\"type\":\"thinking_delta\",\"thinking\":\"look.\"}") DELTA(0, "{\"type\":\"signature_delta\",\"signature\":"
        "\"EqQBCgIYAhIM==\"}") BLOCK_STOP(0)
    BLOCK(1, "{\"type\":\"redacted_thinking\",\"data\":\"EmwKAhgB\"}") BLOCK_STOP(1)
    BLOCK(2, "{\"type\":\"text\",\"text\":\"\"}") DELTA(2, "{\"type\":\"text_delta\",\"text\":\"I will check.\"}") BLOCK_STOP(2)
    BLOCK(3, "{\"type\":\"tool_use\",\"id\":\"toolu_01Nmw\",\"name\":\"get_weather\",\"input\":{}}") DELTA(3,
        "{\"type\":\"input_json_delta\",\"partial_json\":\"\"}")
    DELTA(3, "{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"locati\"}") DELTA(3, "{\"type\":\"input_json_delta\",\"partial_json\":"
        "\"on\\\": \\\"Paris\\\"}\"}")
    BLOCK_STOP(3) BLOCK(4, "{\"type\":\"tool_use\",\"id\":\"toolu_02\",\"name\":\"now\",\"input\":{}}") BLOCK_STOP(4)
    STOP("tool_use", "{\"input_tokens\":377,\"cache_creation_input_tokens\":20,\"cache_read_input_tokens\":3,\"output_tokens\":65,"
        "\"output_tokens_details\":"
         "{\"thinking_tokens\":12}}");

static void streams_are_read_wherever_they_are_cut(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, D, "m");
    check_stream(&b, basic, AIOS_OK, "text:Hello th\xc3\xa9re!|usage:11/0/6/0|stop:stop");
    static const char what[] = "think:I'll look.|sign:anthropic/thinking EqQBCgIYAhIM==|sign:anthropic/redacted EmwKAhgB|text:I will check.|"
                               "call:get_weather{\"location\": \"Paris\"}#toolu_01Nmw|call:now{}#toolu_02|usage:400/3/65/12|stop:tool_calls";
    check_stream(&b, tools, AIOS_OK, what);
    check_stream_heap(&b, tools, what);
    bench_close(&b);
}

static void a_reply_in_one_piece_says_the_same(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, D, "m");
    check_stream(&b, "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[{\"type\":\"thinking\","
        "\"thinking\":\"hm\",\"signature\":\"S\"},"
                 "{\"type\":\"text\",\"text\":\"Hi\"},{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"now\",\"input\":{\"a\":[1,2]}}],"
                 "\"stop_reason\":\"tool_use\","
                 "\"stop_sequence\":null,\"usage\":{\"input_tokens\":5,\"output_tokens\":2}}",
                 AIOS_OK, "think:hm|sign:anthropic/thinking S|text:Hi|call:now{\"a\":[1,2]}#t|usage:5/0/2/0|stop:tool_calls");
    bench_close(&b);
}

static void every_reason_to_stop_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *theirs;
        int code;
        const char *ours;
    } rows[] = {
        {"end_turn", 0, "|stop:stop"},    {"stop_sequence", 0, "|stop:stop"}, {"max_tokens", 0, "|stop:length"},
        {"model_context_window_exceeded", 0, "|stop:length"},
        {"pause_turn", 0, "|stop:length"}, {"refusal", AIOS_EREFUSED, ""},     {"of_a_later_year", 0, "|stop:stop"},
    };
    bench b;
    heard h;
    bench_open(&b, D, "m");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char s[2048], what[200];
        snprintf(s, sizeof s, "%s" EV("message_delta", "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"%s\",\"stop_details\":"
            "{\"type\":\"refusal\","
                 "\"category\":\"bio\",\"explanation\":\"too bold\"}},\"usage\":{\"output_tokens\":2}}") EV("message_stop",
                 "{\"type\":\"message_stop\"}"),
                 START("{\"input_tokens\":1,\"output_tokens\":1}") DELTA(0, "{\"type\":\"text_delta\",\"text\":\"x\"}"), rows[i].theirs);
        snprintf(what, sizeof what, "text:x|usage:1/0/2/0%s", rows[i].ours);
        check_stream(&b, s, rows[i].code, what);
    }
    assert_int_equal(hear(&b, START("{}") STOP("refusal", "{}"), 0, 0, &h), AIOS_EREFUSED);
    bench_close(&b);
}

static void a_call_that_was_cut_is_not_made(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, D, "m");
    check_stream(&b, START("{\"input_tokens\":1,\"output_tokens\":1}") BLOCK(0, "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"now\","
        "\"input\":{}}")
                 DELTA(0, "{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\":\"}") STOP("max_tokens", "{\"output_tokens\":2}"),
                 AIOS_OK, "usage:1/0/2/0|stop:length");
    check_cut_off(&b, basic, strstr(basic, "event: message_delta") - basic);
    bench_close(&b);
}

static void failures_have_their_codes(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *type, *message;
        int code;
    } rows[] = {
        {400, "invalid_request_error", "messages: at least one message is required", AIOS_EINVAL},
        {400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum", AIOS_ECONTEXT},
        {401, "authentication_error", "invalid x-api-key", AIOS_EAUTH},
        {403, "permission_error", "not allowed", AIOS_EAUTH},
        {404, "not_found_error", "model: nope", AIOS_ENOENT},
        {429, "rate_limit_error", "slow down", AIOS_ERATE},
        {400, "billing_error", "your credit balance is too low", AIOS_EQUOTA},
        {500, "api_error", "Internal server error", AIOS_EUNAVAIL},
        {529, "overloaded_error", "Overloaded", AIOS_EUNAVAIL},
    };
    bench b;
    bench_open(&b, D, "m");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char body[512];
        snprintf(body, sizeof body, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"%s\"},\"request_id\":\"req_1\"}",
            rows[i].type, rows[i].message);
        check_fault(&b, rows[i].status, body, rows[i].code, rows[i].message);
    }
    check_fault(&b, 429, "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"over\",\"details\":{\"error_code\":"
                "\"enforced_spend_limit_reached\"}}}", AIOS_EQUOTA, "over");
    check_stream(&b, START("{\"input_tokens\":1,\"output_tokens\":1}") DELTA(0, "{\"type\":\"text_delta\",\"text\":\"x\"}")
                 EV("error", "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}"), AIOS_EUNAVAIL,
                     "text:x");
    assert_non_null(strstr(b.err.msg, "Overloaded"));
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
    static const char *const rows[] = {"{}", "{\"type\":7}", "{\"type\":\"content_block_delta\"}",
        "{\"type\":\"content_block_delta\",\"index\":\"x\",\"delta\":[]}",
        "{\"type\":\"content_block_start\",\"index\":-9223372036854775808,\"content_block\":{\"type\":\"tool_use\"}}",
        "{\"type\":\"message_delta\",\"usage\":{\"output_tokens\":-5}}",
        "{\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":9223372036854775807,\"cache_read_input_tokens\":"
        "9223372036854775807}}}", "[]", "null", "\"x\"",
        "{\"type\":\"error\"}", "{\"type\":\"message\",\"content\":{\"a\":1}}", "{\"type\":\"message\",\"content\":[null,1,{\"type\":"
        "\"tool_use\",\"input\":3}]}"};
    bench b;
    heard h;
    bench_open(&b, D, "m");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char s[1024];
        snprintf(s, sizeof s, "data: %s\n\n" STOP("end_turn", "{}"), rows[i]);
        int rc = hear(&b, s, 0, 0, &h);
        assert_true(rc == AIOS_OK || rc == AIOS_EPROTO || rc == AIOS_EUNAVAIL);
    }
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests_[] = {
        cmocka_unit_test(a_question_is_a_message),
        cmocka_unit_test(limits_sampling_and_stops_are_sent_as_the_caller_sets_them),
        cmocka_unit_test(wishes_that_cannot_be_said_are_refused_by_name),
        cmocka_unit_test(a_tool_loop_is_sent_whole_with_signed_thoughts),
        cmocka_unit_test(every_choice_among_tools_has_its_word),
        cmocka_unit_test(pictures_and_documents_are_blocks),
        cmocka_unit_test(pictures_behind_a_result_are_inside_of_it),
        cmocka_unit_test(a_bound_on_reasoning_is_a_budget_of_thinking),
        cmocka_unit_test(tokens_are_counted_and_models_listed),
        cmocka_unit_test(arguments_that_are_no_object_break_nothing),
        cmocka_unit_test(streams_are_read_wherever_they_are_cut),
        cmocka_unit_test(a_reply_in_one_piece_says_the_same),
        cmocka_unit_test(every_reason_to_stop_is_told),
        cmocka_unit_test(a_call_that_was_cut_is_not_made),
        cmocka_unit_test(failures_have_their_codes),
        cmocka_unit_test(damaged_streams_end),
        cmocka_unit_test(what_is_not_as_described_is_no_harm),
    };
    return cmocka_run_group_tests(tests_, NULL, NULL);
}
