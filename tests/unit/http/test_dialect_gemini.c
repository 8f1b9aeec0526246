/* SPDX-License-Identifier: Apache-2.0 */
#include "stream_test.h"

#define D (&aios__dialect_gemini)
#define PATH "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
#define TAIL ",\"store\":false}"
#define EV(data) "data: " data "\r\n\r\n"
#define SAID(parts) EV("{\"candidates\":[{\"content\":{\"parts\":[" parts "],\"role\":\"model\"},\"index\":0}],\"usageMetadata\":" \
    "{\"promptTokenCount\":8," \
    "\"totalTokenCount\":8},\"modelVersion\":\"gemini-2.5-flash\",\"responseId\":\"x\"}")
#define LAST(parts, reason) EV("{\"candidates\":[{\"content\":{\"parts\":[" parts "],\"role\":\"model\"},\"finishReason\":\"" \
    reason "\",\"index\":0}]," \
    "\"usageMetadata\":{\"promptTokenCount\":8,\"candidatesTokenCount\":15,\"totalTokenCount\":65,\"cachedContentTokenCount\":3," \
    "\"thoughtsTokenCount\":42}}")

/* ---- requests ----------------------------------------------------------------------------------------------------- */

static void a_question_is_a_content(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, D, "gemini-2.5-flash");
    say(&b, AIOS_ROLE_SYSTEM, "Be brief.");
    SAY(&b, AIOS_ROLE_SYSTEM, PART(TEXT, "Be kind."), PART(TEXT, ""));
    SAY(&b, AIOS_ROLE_USER, PART(TEXT, "See \"it\""), PART(IMAGE, "\xff\xd8", .mime = "image/jpeg"), PART(AUDIO, "R"), PART(DATA, "%PDF",
        .mime = "application/pdf"));
    check_encode(&b, D->encode, PATH, "{\"systemInstruction\":{\"parts\":[{\"text\":\"Be brief.\"},{\"text\":\"Be kind.\"}]},\"contents\":"
        "[{\"role\":\"user\",\"parts\":["
                 "{\"text\":\"See \\\"it\\\"\"},{\"inlineData\":{\"mimeType\":\"image/jpeg\",\"data\":\"/9g=\"}},{\"inlineData\":"
                 "{\"mimeType\":\"audio/wav\",\"data\":\"Ug==\"}},"
                 "{\"inlineData\":{\"mimeType\":\"application/pdf\",\"data\":\"JVBERg==\"}}]}],\"generationConfig\":{}" TAIL);
    b.remote.server.keep = true;
    b.remote.server.model = "tunedModels/a?b#c d/\xc3\xa4";
    aios_transcript_truncate(b.t, 0, NULL);
    say(&b, AIOS_ROLE_USER, "Hi");
    check_encode(&b, D->encode, "/v1beta/tunedModels/a%3Fb%23c%20d/%C3%A4:streamGenerateContent?alt=sse",
                 "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Hi\"}]}],\"generationConfig\":{}}");
    bench_close(&b);
}

static void a_tool_loop_is_sent_whole_with_signatures(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, D, "gemini-2.5-flash");
    use_tools(&b, 2);
    say(&b, AIOS_ROLE_USER, "Weather?");
    SAY(&b, AIOS_ROLE_ASSISTANT, PART(REASONING, "Hm", .call_id = "gemini/thought T=="), PART(REASONING, "unsigned"), PART(TEXT, "I look."),
        PART(REASONING, "", .call_id = "gemini/text X=="), PART(REASONING, "dropped", .call_id = "gemini/call C=="), PART(REASONING, "",
            .call_id = "anthropic/thinking A"),
        PART(CALL, "{\"location\":\"Paris\"}", .name = "get_weather", .call_id = "call_1"), PART(CALL, "", .name = "now", .call_id = "fc-7"));
    SAY(&b, AIOS_ROLE_TOOL, PART(RESULT, "{\"c\": 15}", .name = "get_weather", .call_id = "call_1"), PART(IMAGE, "P"));
    SAY(&b, AIOS_ROLE_TOOL, PART(RESULT, "{no clock}", .name = "now", .call_id = "fc-7", .status = AIOS_EINVAL));
    say(&b, AIOS_ROLE_ASSISTANT, "");
    say(&b, AIOS_ROLE_USER, "Well?");
    check_encode(&b, D->encode, PATH,
                 "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Weather?\"}]},"
                 "{\"role\":\"model\",\"parts\":[{\"text\":\"Hm\",\"thought\":true,\"thoughtSignature\":\"T==\"},{\"text\":\"I look.\"},"
                 "{\"text\":\"\",\"thoughtSignature\":\"X==\"},"
                 "{\"functionCall\":{\"name\":\"get_weather\",\"args\":{\"location\":\"Paris\"}},\"thoughtSignature\":\"C==\"},"
                 "{\"functionCall\":{\"id\":\"fc-7\",\"name\":\"now\",\"args\":{}}}]},"
                 "{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"name\":\"get_weather\",\"response\":{\"output\":{\"c\": 15}},"
                 "\"parts\":[{\"inlineData\":"
                 "{\"mimeType\":\"image/png\",\"data\":\"UA==\"}}]}},{\"functionResponse\":{\"id\":\"fc-7\",\"name\":\"now\",\"response\":"
                 "{\"error\":\"{no clock}\"}}}]},"
                 "{\"role\":\"user\",\"parts\":[{\"text\":\"Well?\"}]}],"
                 "\"tools\":[{\"functionDeclarations\":[{\"name\":\"get_weather\",\"description\":\"Weather of a place\","
                 "\"parametersJsonSchema\":{\"type\":\"object\","
                 "\"properties\":{\"location\":{\"type\":\"string\"}},\"required\":[\"location\"]}},{\"name\":\"now\","
                 "\"parametersJsonSchema\":{\"type\":\"object\","
                 "\"properties\":{}}}]}],\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"AUTO\"}},\"generationConfig\":{}" TAIL);
    bench_close(&b);
}

static void every_choice_among_tools_has_its_word(void **state)
{
    (void)state;
    static const struct {
        int32_t choice;
        const char *json;
    } rows[] = {{AIOS_TOOLS_REQUIRED, "\"ANY\""}, {AIOS_TOOLS_NONE, "\"NONE\""}, {AIOS_TOOLS_NAMED,
        "\"ANY\",\"allowedFunctionNames\":[\"now\"]"}};
    bench b;
    bench_open(&b, D, "gemini-2.5-flash");
    b.req.tools = &weather_tool[1];
    b.req.tool_stride = sizeof *weather_tool;
    b.req.n_tools = 1;
    b.req.tool_name = "now";
    say(&b, AIOS_ROLE_USER, "Hi");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char body[1024];
        b.req.tool_choice = rows[i].choice;
        snprintf(body, sizeof body, "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Hi\"}]}],\"tools\":[{\"functionDeclarations\":"
            "[{\"name\":\"now\","
                 "\"parametersJsonSchema\":{\"type\":\"object\",\"properties\":{}}}]}],\"toolConfig\":{\"functionCallingConfig\":{\"mode\":"
                 "%s}},\"generationConfig\":{}" TAIL,
                 rows[i].json);
        check_encode(&b, D->encode, PATH, body);
    }
    b.req.tool_choice = AIOS_TOOLS_NONE;
    b.req.schema_json = "{}";
    check_encode(&b, D->encode, PATH, "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Hi\"}]}],\"generationConfig\":{\"responseMimeType\":"
                 "\"application/json\",\"responseJsonSchema\":{}}" TAIL);
    bench_close(&b);
}

static void the_configuration_has_its_names(void **state)
{
    (void)state;
    static const char *const stop[] = {"END", NULL};
    aios_sampling s = {sizeof s, 0.5f, 0.25f, 0, 1, -0.5f, 0.75f, 40, 0, UINT64_C(0xffffffff00000007)};
    bench b;
    bench_open(&b, D, "gemini-2.5-flash");
    say(&b, AIOS_ROLE_USER, "Hi");
    b.req.sampling = &s;
    b.req.stop = stop;
    b.req.max_tokens = 100;
    b.req.max_reasoning = 512;
    b.req.schema_json = "{\"type\":\"object\"}";
#define HI "\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Hi\"}]}],\"generationConfig\":{\"temperature\":0.5,\"topP\":0.25," \
    "\"topK\":40,\"presencePenalty\":0.75," \
    "\"frequencyPenalty\":-0.5,\"seed\":7,\"maxOutputTokens\":100,\"stopSequences\":[\"END\"],\"responseMimeType\":\"application/json\"," \
    "\"responseJsonSchema\":{\"type\":\"object\"}," \
    "\"thinkingConfig\":{\"includeThoughts\":true,\"thinkingBudget\":512}}"
    check_encode(&b, D->encode, PATH, "{" HI TAIL);
    check_encode(&b, D->encode_count, "/v1beta/models/gemini-2.5-flash:countTokens", "{\"generateContentRequest\":{\"model\":"
        "\"models/gemini-2.5-flash\"," HI "}}");
    bench_close(&b);
}

static void wishes_that_cannot_be_said_are_refused_by_name(void **state)
{
    (void)state;
    aios_sampling s = AIOS_INIT(aios_sampling);
    bench b;
    bench_open(&b, D, "gemini-2.5-flash");
    say(&b, AIOS_ROLE_USER, "Hi");
    b.req.sampling = &s;
    s.min_p = 0.5f;
    check_refused(&b, D->encode, AIOS_ENOTSUP, "sampling.min_p");
    s.min_p = 0;
    s.penalty_last_n = 3;
    check_refused(&b, D->encode, AIOS_ENOTSUP, "sampling.penalty_last_n");
    s.penalty_last_n = 0;
    say(&b, AIOS_ROLE_SYSTEM, "In the middle");
    check_refused(&b, D->encode, AIOS_ENOTSUP, "entry 1");
    aios_transcript_truncate(b.t, 1, NULL);
    SAY(&b, AIOS_ROLE_USER, PART(UNKNOWN, "{\"kind\":\"video\"}"));
    check_refused(&b, D->encode, AIOS_ENOTSUP, "a part of an unknown kind");
    bench_close(&b);
}

static void arguments_that_are_no_object_break_nothing(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, D, "m");
    SAY(&b, AIOS_ROLE_ASSISTANT, PART(CALL, "{}},\"x\":{", .name = "now", .call_id = "a"), PART(CALL, "[1]", .name = "now", .call_id = "b"));
    check_encode(&b, D->encode, "/v1beta/models/m:streamGenerateContent?alt=sse",
                 "{\"contents\":[{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"id\":\"a\",\"name\":\"now\",\"args\":"
                 "{\"invalid_arguments\":\"{}},\\\"x\\\":{\"}}},"
                 "{\"functionCall\":{\"id\":\"b\",\"name\":\"now\",\"args\":{\"invalid_arguments\":\"[1]\"}}}]}],\"generationConfig\":{}" TAIL);
    bench_close(&b);
}

/* ---- streams ------------------------------------------------------------------------------------------------------ */

static const char tools[] = SAID("{\"text\":\"**Looking** \",\"thought\":true}") SAID("{\"text\":\"up\",\"thought\":true}")
    SAID("{\"text\":\"I l\xc3\xb6\"}") SAID("{\"text\":\"ok.\"}")
    SAID("{\"functionCall\":{\"name\":\"get_weather\",\"args\":{\"location\":\"Paris\"}},\"thoughtSignature\":\"CpcHAdHtim8=\"},"
        "{\"functionCall\":{\"id\":\"fc-7\",\"name\":\"now\",\"args\":{}}}")
    LAST("{\"text\":\"\"}", "STOP");

static void streams_are_read_wherever_they_are_cut(void **state)
{
    (void)state;
    static const char what[] = "think:**Looking** up|text:I l\xc3\xb6ok.|sign:gemini/call CpcHAdHtim8=|call:get_weather{\"location\":"
        "\"Paris\"}|call:now{}#fc-7|usage:8/3/57/42|stop:tool_calls";
    bench b;
    bench_open(&b, D, "m");
    check_stream(&b, SAID("{\"text\":\"Hel\"}") LAST("{\"text\":\"lo\"},{\"text\":\"\",\"thoughtSignature\":\"S==\"}", "STOP"), AIOS_OK,
                 "text:Hello|sign:gemini/text S==|usage:8/3/57/42|stop:stop");
    check_stream(&b, SAID("{\"text\":\"hm\",\"thought\":true,\"thoughtSignature\":\"T\"}") LAST("{\"text\":\"lo\"}", "MAX_TOKENS"), AIOS_OK,
                 "think:hm|sign:gemini/thought T|text:lo|usage:8/3/57/42|stop:length");
    check_stream(&b, tools, AIOS_OK, what);
    check_stream_heap(&b, tools, what);
    check_cut_off(&b, tools, strstr(tools, "}],\"usageMetadata\":{\"promptTokenCount\":8,\"cand") - tools);
    bench_close(&b);
}

static void replies_in_one_piece_say_the_same(void **state)
{
    (void)state;
    static const char one[] = "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hi\"}]},\"finishReason\":\"STOP\"}],\"usageMetadata\":"
        "{\"promptTokenCount\":1,\"candidatesTokenCount\":2}}";
    char list[1024];
    bench b;
    bench_open(&b, D, "m");
    check_stream(&b, one, AIOS_OK, "text:Hi|usage:1/0/2/0|stop:stop");
    snprintf(list, sizeof list, "[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Oh \"}]}}]},\n%s]", one);
    check_stream(&b, list, AIOS_OK, "text:Oh Hi|usage:1/0/2/0|stop:stop");
    check_stream(&b, "[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Oh\"}]}}]},{\"error\":{\"code\":503,\"message\":\"overloaded\","
        "\"status\":\"UNAVAILABLE\"}}]", AIOS_EUNAVAIL, "text:Oh");
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
        {"STOP", 0, "|usage:1/0/2/0|stop:stop"}, {"MAX_TOKENS", 0, "|usage:1/0/2/0|stop:length"}, {"SAFETY", AIOS_EFILTERED, "|usage:1/0/2/0"},
        {"RECITATION", AIOS_EFILTERED, "|usage:1/0/2/0"}, {"PROHIBITED_CONTENT", AIOS_EFILTERED, "|usage:1/0/2/0"}, {"BLOCKLIST",
        AIOS_EFILTERED, "|usage:1/0/2/0"},
        {"MALFORMED_FUNCTION_CALL", AIOS_EUNAVAIL, ""}, {"MISSING_THOUGHT_SIGNATURE", AIOS_EINVAL, ""},
    };
    bench b;
    heard h;
    bench_open(&b, D, "m");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char s[1024], what[200];
        snprintf(s, sizeof s, EV("{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]},\"finishReason\":\"%s\"}],\"usageMetadata\":"
            "{\"promptTokenCount\":1,"
                 "\"candidatesTokenCount\":2}}"), rows[i].theirs);
        snprintf(what, sizeof what, "text:x%s", rows[i].ours);
        check_stream(&b, s, rows[i].code, what);
    }
    static const char blocked[] = EV("{\"promptFeedback\":{\"blockReason\":\"PROHIBITED_CONTENT\"},\"usageMetadata\":{\"promptTokenCount\":7}}");
    check_stream(&b, blocked, AIOS_EFILTERED, "usage:7/0/0/0");
    assert_int_equal(hear(&b, blocked, 0, 0, &h), AIOS_EFILTERED);
    assert_non_null(strstr(b.err.msg, "PROHIBITED_CONTENT"));
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
        {400, "INVALID_ARGUMENT", "Invalid value at 'contents'", AIOS_EINVAL},
        {400, "INVALID_ARGUMENT", "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", AIOS_ECONTEXT},
        {403, "PERMISSION_DENIED", "no access", AIOS_EAUTH},
        {404, "NOT_FOUND", "models/nope is not found for API version v1beta", AIOS_ENOENT},
        {429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", AIOS_ERATE},
        {500, "INTERNAL", "An internal error has occurred", AIOS_EUNAVAIL},
        {503, "UNAVAILABLE", "The model is overloaded.", AIOS_EUNAVAIL},
        {504, "DEADLINE_EXCEEDED", "too slow", AIOS_ETIMEDOUT},
    };
    bench b;
    bench_open(&b, D, "m");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char body[512];
        snprintf(body, sizeof body, "{\"error\":{\"code\":%d,\"message\":\"%s\",\"status\":\"%s\"}}", rows[i].status, rows[i].message,
            rows[i].type);
        check_fault(&b, rows[i].status, body, rows[i].code, rows[i].message);
    }
    check_fault(&b, 400, "{\"error\":{\"code\":400,\"message\":\"API key not valid.\",\"status\":\"INVALID_ARGUMENT\",\"details\":[{\"@type\":\"x\"},"
                "{\"reason\":\"API_KEY_INVALID\"}]}}", AIOS_EAUTH, "API key not valid");
    check_stream(&b, SAID("{\"text\":\"x\"}") EV("{\"error\":{\"code\":503,\"message\":\"The model is overloaded.\",\"status\":"
        "\"UNAVAILABLE\"}}"), AIOS_EUNAVAIL, "text:x");
    bench_close(&b);
}

static void models_are_listed_tokens_counted_and_texts_embedded(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, D, "text-embedding-004");
    check_list(&b, D->decode_list, "{\"models\":[{\"name\":\"models/gemini-2.5-flash\",\"inputTokenLimit\":1048576},{\"name\":"
        "\"tunedModels/x\"}]}",
               "{\"id\":\"gemini-2.5-flash\",\"context\":1048576},{\"id\":\"tunedModels/x\"}");
    check_count(&b, D->decode_count, "{\"totalTokens\":31}", AIOS_OK, 31);
    check_count(&b, D->decode_count, "{\"totalTokens\":\"x\"}", AIOS_EPROTO, 0);
    check_embed(&b, "/v1beta/models/text-embedding-004:embedContent", "{\"model\":\"models/text-embedding-004\",\"content\":{\"parts\":"
        "[{\"text\":\"a \\\"text\\\"\"}]}}",
                "{\"embedding\":{\"values\":[0.5,-0.25,1]}}", 0.5, 3);
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
    static const char *const rows[] = {"{}", "[]", "[null,3]", "null", "7", "{\"candidates\":{}}",
        "{\"candidates\":[null,{\"content\":{\"parts\":[3,{\"functionCall\":{}}]}}]}",
        "{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"f\",\"args\":[1]}}]}}]}",
        "{\"usageMetadata\":{\"promptTokenCount\":-3,\"thoughtsTokenCount\":-9}}",
        "{\"usageMetadata\":{\"promptTokenCount\":9223372036854775807,\"toolUsePromptTokenCount\":9223372036854775807}}",
        "{\"error\":{\"details\":[{\"reason\":3}]}}", "{\"promptFeedback\":3}"};
    bench b;
    heard h;
    bench_open(&b, D, "m");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char s[2048];
        snprintf(s, sizeof s, "data: %s\n\n%s", rows[i], LAST("", "STOP"));
        int rc = hear(&b, s, 0, 0, &h);
        assert_true(rc == AIOS_OK || rc == AIOS_EPROTO || rc == AIOS_EUNAVAIL);
    }
    bench_close(&b);
}

static void tokens_say_how_likely_they_were(void **state)
{
    bench b;
    AIOS__UNUSED(state);
    bench_open(&b, D, "m");
    check_stream(&b,
                 "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"ab\"}]},\"finishReason\":\"STOP\",\"logprobsResult\":{\"topCandidates\":[{\"candidates\":"
                 "[{\"token\":\"a\",\"tokenId\":1,\"logProbability\":-0.5},{\"token\":\"c\",\"logProbability\":-1}]}],\"chosenCandidates\":"
                 "[{\"token\":\"a\",\"tokenId\":1,\"logProbability\":-0.5},{\"token\":\"b\",\"logProbability\":-2}]}}]}\n\n",
                 AIOS_OK, "text:ab|probs:[{\"token\":\"a\",\"logprob\":-0.5,\"top\":[{\"token\":\"a\",\"logprob\":-0.5},{\"token\":\"c\",\"logprob\":-1}]},"
                          "{\"token\":\"b\",\"logprob\":-2,\"top\":[]}]|stop:stop");
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests_[] = {
        cmocka_unit_test(a_question_is_a_content),
        cmocka_unit_test(a_tool_loop_is_sent_whole_with_signatures),
        cmocka_unit_test(every_choice_among_tools_has_its_word),
        cmocka_unit_test(the_configuration_has_its_names),
        cmocka_unit_test(wishes_that_cannot_be_said_are_refused_by_name),
        cmocka_unit_test(arguments_that_are_no_object_break_nothing),
        cmocka_unit_test(tokens_say_how_likely_they_were),
        cmocka_unit_test(streams_are_read_wherever_they_are_cut),
        cmocka_unit_test(replies_in_one_piece_say_the_same),
        cmocka_unit_test(every_reason_to_stop_is_told),
        cmocka_unit_test(failures_have_their_codes),
        cmocka_unit_test(models_are_listed_tokens_counted_and_texts_embedded),
        cmocka_unit_test(damaged_streams_end),
        cmocka_unit_test(what_is_not_as_described_is_no_harm),
    };
    return cmocka_run_group_tests(tests_, NULL, NULL);
}
