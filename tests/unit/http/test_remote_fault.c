/* SPDX-License-Identifier: Apache-2.0 */
/* What failures mean: providers' own messages of overflow with both numbers, refused parameters, secrets in messages, prompts cut in silence. */
#include "openai_test.h"

static desk *open_desk(void)
{
    return desk_open(&aios__dialect_openai, "http://127.0.0.1:9000/v1", "127.0.0.1");
}

static int read_fault(desk *k, int status, const char *body, uint32_t *param)
{
    aios__buf b;
    aios__buf_init(&b, k->m.heap, AIOS_MEM_TEXT, 0);
    must(aios__buf_adds(&b, body, &k->err), &k->err);
    k->err = (aios_error)AIOS_INIT(aios_error);
    int rc = aios__fault_read(&k->m.server, status, &b, param, &k->err);
    aios__buf_free(&b);
    assert_int_equal(k->err.code, rc);
    return rc;
}

/* ---- overflow ----------------------------------------------------------------------------------------------------- */

/* 0: the message does not say it. Sources: threads on GitHub where a user pasted the answer, or the code that writes it, where there is one. */
static const struct {
    const char *source;
    int status;
    const char *body;
    uint64_t have, need;
} overflows[] = {
    {"libaios itself: session.c, gguf", 400,
     "{'error':{'message':'the prompt has 9000 tokens, the context holds 8192: shorten it','type':'invalid_request_error','code':'context_length_exceeded'}}", 8192, 9000},
    {"OpenAI: mckaywrigley/chatbot-ui#102", 400,
     "{'error':{'message':'This model`s maximum context length is 4097 tokens. However, you requested 4120 tokens (3120 in the messages, 1000 in the completion). Please reduce the "
     "length of the messages or completion.','type':'invalid_request_error','param':'messages','code':'context_length_exceeded'}}", 4097, 4120},
    {"OpenAI: mckaywrigley/repo-chat#15", 400,
     "{'error':{'message':'This model`s maximum context length is 4097 tokens. However, your messages resulted in 13393 tokens. Please reduce the length of the messages.',"
     "'type':'invalid_request_error','param':'messages','code':'context_length_exceeded'}}", 4097, 13393},
    {"OpenAI Responses: dyad-sh/dyad#1672", 400,
     "{'error':{'type':'invalid_request_error','code':'context_length_exceeded','message':'Your input exceeds the context window of this model. Please adjust your input and try "
     "again.','param':'input'}}", 0, 0},
    {"OpenAI gpt-5 (no thread; tridz-dev/huf#157 has its beginning)", 400,
     "{'error':{'message':'Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000 tokens. Please reduce the length of the messages.',"
     "'type':'invalid_request_error','param':'messages','code':'context_length_exceeded'}}", 272000, 300000},
    {"OpenRouter: refly-ai/refly#1177", 400,
     "{'error':{'message':'This endpoint`s maximum context length is 32768 tokens. However, you requested about 42832 tokens (42832 of text input). Please reduce the length of "
     "either one','code':400}}", 32768, 42832},
    {"DeepSeek: evalstate/fast-agent#621", 400,
     "{'error':{'message':'This model`s maximum context length is 131072 tokens. However, you requested 131134 tokens (122942 in the messages, 8192 in the completion).',"
     "'type':'invalid_request_error','param':null,'code':'invalid_request_error'}}", 131072, 131134},
    {"vLLM: vllm-project/vllm#20409", 400,
     "{'object':'error','message':'This model`s maximum context length is 16384 tokens. However, you requested 19591 tokens (9591 in the messages, 10000 in the completion). Please "
     "reduce the length of the messages or completion. None','type':'BadRequestError','param':null,'code':400}", 16384, 19591},
    {"vLLM, later (no thread)", 400,
     "{'error':{'message':'This model`s maximum context length is 8192 tokens. However, you requested 512 output tokens and your prompt contains at least 7681 input tokens, for a "
     "total of at least 8193 tokens.','type':'BadRequestError','param':'input_tokens','code':400}}", 8192, 8193},
    {"vLLM, Rust front: vllm chat/src/error.rs", 400,
     "{'error':{'message':'this model`s maximum context length is 8192 tokens, but the prompt contains 9000 input tokens','type':'BadRequestError','code':400}}", 8192, 9000},
    {"vLLM, a limit that is too large (no thread)", 400,
     "{'error':{'message':'`max_tokens` or `max_completion_tokens` is too large: 10000. This model`s maximum context length is 8192 tokens and your request has 9 input tokens "
     "(10000 > 8192 - 9).','type':'BadRequestError','code':400}}", 8192, 10000},
    {"SGLang: anomalyco/opencode#25230", 400,
     "{'object':'error','message':'Requested token count exceeds the model`s maximum context length of 202752 tokens. You requested a total of 202941 tokens: 170941 tokens from the "
     "input messages and 32000 tokens for the completion. Please reduce the number of tokens','type':'BadRequestError','param':null,'code':400}", 202752, 202941},
    {"SGLang: managers/tokenizer_manager.py", 400,
     "{'object':'error','message':'The input (691793 tokens) is longer than the model`s context length (540000 tokens).','type':'BadRequest','param':null,'code':400}", 540000, 691793},
    {"llama-server: fields of its own (recorded)", 400,
     "{'error':{'code':400,'message':'request (9031 tokens) exceeds the available context size (4096 tokens), try increasing it','type':'exceed_context_size_error',"
     "'n_prompt_tokens':9031,'n_ctx':4096}}", 4096, 9031},
    {"llama-server: the message alone", 400,
     "{'error':{'code':400,'message':'request (9412 tokens) exceeds the available context size (8192 tokens), try increasing it','type':'exceed_context_size_error'}}", 8192, 9412},
    {"numbers that are none", 400,
     "{'error':{'message':'context size (99999999999999999999999 tokens)','type':'exceed_context_size_error','n_prompt_tokens':-5,'n_ctx':-1}}", 9999999999999999999u, 0},
    {"llama-server: older", 400, "{'error':{'code':400,'message':'the request exceeds the available context size, try increasing it','type':'invalid_request_error'}}", 0, 0},
    {"NIM: Alishahryar1/free-claude-code#391", 400,
     "{'error':{'message':'This model`s maximum context length is 196608 tokens. However, your messages resulted in 199906 tokens. Please reduce the length of the messages.',"
     "'type':'Bad Request','code':400}}", 196608, 199906},
    {"LM Studio: lmstudio-bug-tracker#546", 400,
     "{'error':'Trying to keep the first 111490 tokens when context the overflows. However, the model is loaded with context length of only 32768 tokens, which is not enough. Try "
     "to load the model with a larger context length, or provide a shorter input'}", 32768, 111490},
    {"LM Studio: tinyhumansai/openhuman#3550", 400,
     "{'error':'The number of tokens to keep from the initial prompt is greater than the context length (n_keep: 10247 >= n_ctx: 4096). Try to load the model with a larger context "
     "length, or provide a shorter prompt.'}", 4096, 10247},
    {"LM Studio: anomalyco/opencode#11141", 400, "{'error':'Cannot truncate prompt with n_keep (15028) >= n_ctx (7424)'}", 7424, 15028},
    {"LM Studio, in the middle of a reply: lmstudio-bug-tracker#1251", 500,
     "{'error':{'message':'Reached context length of 4096 tokens with model (arch: qwen3vlmoe) that does not currently support mid-generation context overflow.'}}", 4096, 0},
    {"TGI: huggingface/chat-ui#340", 422,
     "{'error':'Input validation error: `inputs` tokens + `max_new_tokens` must be <= 1512. Given: 1000 `inputs` tokens and 1024 `max_new_tokens`','error_type':'validation'}", 1512, 2024},
    {"TGI: text-generation-inference#695", 422,
     "{'error':'Input validation error: `inputs` must have less than 1024 tokens. Given: 1168','error_type':'validation'}", 1024, 1168},
    {"Ollama: server/routes.go", 400, "{'error':{'message':'the input length exceeds the context length','type':'api_error','param':null,'code':null}}", 0, 0},
    {"Anthropic: whoz-oss/coday#26", 400,
     "{'type':'error','error':{'type':'invalid_request_error','message':'prompt is too long: 207791 tokens > 200000 maximum'}}", 200000, 207791},
    {"Anthropic: docker/docker-agent#569", 400,
     "{'type':'error','error':{'type':'invalid_request_error','message':'input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease input length or "
     "`max_tokens` and try again'},'request_id':'req_011'}", 200000, 242959},
    {"Gemini: google-gemini/gemini-cli#6678", 400,
     "{'error':{'code':400,'message':'The input token count (1200293) exceeds the maximum number of tokens allowed (1048576).','status':'INVALID_ARGUMENT'}}", 1048576, 1200293},
    {"Mistral (no thread; public clients look for these words)", 400,
     "{'object':'error','message':'Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length','type':'invalid_request_error'}", 32768, 40000},
    {"Moonshot: MoonshotAI/kimi-cli#2011", 400,
     "{'error':{'message':'Invalid request: Your request exceeded model token limit: 262144 (requested: 266789)','type':'invalid_request_error'}}", 262144, 266789},
    {"xAI: cline/cline#3120", 400,
     "{'code':'400','error':'This model`s maximum prompt length is 131072 but the request contains 537812 tokens.'}", 131072, 537812},
};

static void test_overflows(void **state)
{
    (void)state;
    desk *k = open_desk();
    for (size_t i = 0; i < AIOS__ARRAY_LEN(overflows); i++) {
        uint32_t param = 9;
        int rc = read_fault(k, overflows[i].status, quoted(overflows[i].body), &param);
        if (rc != AIOS_ECONTEXT || k->err.have != overflows[i].have || k->err.need != overflows[i].need || param)
            fail_msg("%s: %d have %llu need %llu param %u, not %llu and %llu: %s", overflows[i].source, rc, (unsigned long long)k->err.have,
                     (unsigned long long)k->err.need, param, (unsigned long long)overflows[i].have, (unsigned long long)overflows[i].need, k->err.msg);
    }
    desk_close(k);
}

static void test_other_failures(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        int code;
        const char *words;
    } rows[] = {
        {401, "{'error':{'message':'Incorrect API key provided.','type':'invalid_request_error','code':'invalid_api_key'}}", AIOS_EAUTH, "Incorrect API key"},
        {429, "{'error':{'message':'You exceeded your current quota','type':'insufficient_quota','code':'insufficient_quota'}}", AIOS_EQUOTA, "quota"},
        {429, "{'error':{'message':'Rate limit reached for gpt-4o: Limit 30000, Requested 45000. The context length is fine.','code':'rate_limit_exceeded'}}", AIOS_ERATE, "Limit 30000"},
        {404, "{'error':{'message':'The model `x` does not exist','code':'model_not_found'}}", AIOS_ENOENT, "does not exist"},
        {400, "{'error':{'message':'The response was filtered','code':'content_filter'}}", AIOS_EFILTERED, "filtered"},
        {422, "{'detail':[{'type':'missing','loc':['body','messages'],'msg':'Field required'}]}", AIOS_EINVAL, "Field required"},
        {400, "{'detail':'no such thing'}", AIOS_EINVAL, "no such thing"},
        {503, "<html>busy</html>", AIOS_EUNAVAIL, "not available now"},
        {503, "", AIOS_EUNAVAIL, "not available now"},
        {418, "{'odd':1}", AIOS_EINVAL, "odd"},
    };
    desk *k = open_desk();
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        int rc = read_fault(k, rows[i].status, quoted(rows[i].body), NULL);
        if (rc != rows[i].code || !strstr(k->err.msg, rows[i].words))
            fail_msg("%s: %d %s", rows[i].body, rc, k->err.msg);
    }
    desk_close(k);
}

/* ---- parameters --------------------------------------------------------------------------------------------------- */

#define BODY "{'model':'m','messages':[{'role':'user','content':'temperature,\\'max_tokens\\':1'}],'temperature':0.5,'max_tokens':9," \
             "'response_format':{'type':'json_schema','json_schema':{'strict':true,'name':'reply','schema':{'a':[1,{}]}}},'stream':true,'stream_options':{'include_usage':true}}"

static void test_refused_parameters(void **state)
{
    (void)state;
    static const struct {
        const char *body, *name; /* NULL: none is meant */
    } rows[] = {
        {"{'error':{'message':'Unsupported value: \"temperature\" does not support 0 with this model. Only the default (1) value is supported.','param':'temperature','code':"
         "'unsupported_value'}}", "temperature"}, /* johny-b/llmcomp#69 */
        {"{'error':{'message':'Unsupported parameter: `max_tokens` is not supported with this model. Use `max_completion_tokens` instead.','param':'max_tokens','code':"
         "'unsupported_parameter'}}", "max_tokens"},
        {"{'error':{'message':'Unrecognized request argument supplied: reasoning_effort','type':'invalid_request_error','param':null,'code':null}}", "reasoning_effort"},
        {"{'object':'error','message':{'detail':[{'type':'extra_forbidden','loc':['body','stream_options','include_usage'],'msg':'Extra inputs are not permitted','input':true}]},"
         "'type':'invalid_request_error','param':null,'code':null}", "stream_options"}, /* openai-agents-python#442 */
        {"{'detail':[{'type':'extra_forbidden','loc':['body','top_k'],'msg':'Extra inputs are not permitted'}]}", "top_k"},
        {"{'error':'Failed to deserialize the JSON body into the target type: response_format: missing field `value` at line 1 column 168'}", "response_format"}, /* TGI */
        {"{'error':{'message':'Invalid schema for response_format `reply`: In context=(), `required` is required','param':'response_format','code':null}}", "response_format"},
        {"{'error':{'message':'Invalid schema for function `f`','param':'tools[0].function.parameters','code':'invalid_function_parameters'}}", "tools"},
        {"{'error':{'message':'Unsupported parameter: `reasoning.summary`','param':'reasoning.summary','code':'unsupported_value'}}", "reasoning"},
        {"{'error':{'message':'Invalid value for temperature: 7. Expected at most 2.','param':'temperature','code':'decimal_above_max_value'}}", NULL},
        {"{'error':{'message':'max_tokens is too large: 100000. This model supports at most 4096 completion tokens','param':'max_tokens','code':'invalid_value'}}", NULL},
        {"{'error':{'message':'unsupported image in a message about the temperature','param':null,'code':null}}", NULL},
        {"{'error':{'message':'unsupported','param':'temperature_unit','code':null}}", NULL},
        {"{'error':{'message':'Unsupported parameter: `store`','param':'store','code':'unsupported_parameter'}}", NULL}, /* nor may it be kept */
        {"{'error':{'message':'Unsupported parameter: `stop`','param':'stop','code':'unsupported_parameter'}}", NULL}, /* the turn is another without */
    };
    desk *k = open_desk();
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        uint32_t param = 99;
        char *body = strdup(rows[i].body);
        for (char *p = body; *p; p++) /* quotes inside of strings are single */
            *p = *p == '\'' ? '"' : *p == '"' ? '\'' : *p;
        assert_int_equal(read_fault(k, 400, body, &param), AIOS_EINVAL);
        if (rows[i].name ? strcmp(aios__param_name(param), rows[i].name) != 0 : param != 0)
            fail_msg("%s: %s", body, aios__param_name(param));
        free(body);
    }
    desk_close(k);
}

/* llama-cpp-python answers 500 to what it cannot read; other failures of its own stay such. */
static void test_refusals_told_as_failures(void **state)
{
    (void)state;
    static const struct {
        const char *message;
        int code;
        const char *name;
    } rows[] = {
        {"[{'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), 'msg': \"Input should be 'text' or 'json_object'\", 'input': 'json_schema'}]", AIOS_EINVAL,
         "response_format"},
        {"1 validation error:\n  {'type': 'extra_forbidden', 'loc': ('body', 'seed'), 'msg': 'Extra inputs are not permitted', 'input': 1}", AIOS_EINVAL, "seed"},
        {"[{'type': 'less_than_equal', 'loc': ('body', 'temperature'), 'msg': 'Input should be less than or equal to 2', 'input': 7}]", AIOS_EINVAL, NULL},
        {"unsupported operand type(s) for +: 'response_format' and 'int'", AIOS_EUNAVAIL, NULL},
        {"Failed to create llama_context", AIOS_EUNAVAIL, NULL},
    };
    desk *k = open_desk();
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        uint32_t param = 99;
        aios__buf body;
        aios__buf_init(&body, k->m.heap, AIOS_MEM_TEXT, 0);
        aios__buf_adds(&body, "{\"error\":{\"message\":", &k->err);
        aios__buf_add_json(&body, rows[i].message, strlen(rows[i].message), &k->err);
        aios__buf_adds(&body, ",\"type\":\"internal_server_error\",\"param\":null,\"code\":null}}", &k->err);
        assert_int_equal(read_fault(k, 500, body.p, &param), rows[i].code);
        if (rows[i].name ? strcmp(aios__param_name(param), rows[i].name) != 0 : param != 0)
            fail_msg("%s: %s", rows[i].message, aios__param_name(param));
        aios__buf_free(&body);
    }
    desk_close(k);
}

static uint32_t param_of(const char *name)
{
    const aios__fault f = {.param = name, .code = "unsupported_parameter"};
    return aios__param_refused(&f);
}

static void check_edit(desk *k, aios__buf *b, const char *name, int code, const char *want)
{
    assert_int_equal(aios__param_refuse(&k->m, param_of(name), b, &k->err), code);
    assert_string_equal(b->p, quoted(want));
    assert_int_equal(b->n, strlen(b->p));
}

static void test_edited_requests(void **state)
{
    (void)state;
    desk *k = open_desk();
    aios__buf b;
    aios__buf_init(&b, k->m.heap, AIOS_MEM_TEXT, 0);
    aios__buf_adds(&b, quoted(BODY), &k->err);
#define MESSAGES "{'model':'m','messages':[{'role':'user','content':'temperature,\\'max_tokens\\':1'}]"
#define LOOSENED "'response_format':{'type':'json_schema','json_schema':{'strict':null,'name':'reply','schema':{'a':[1,{}]}}}"
    check_edit(k, &b, "seed", 0, BODY);
    check_edit(k, &b, "tools[0]", 0, BODY);
    check_edit(k, &b, "response_format", AIOS_AGAIN, MESSAGES ",'temperature':0.5,'max_tokens':9," LOOSENED ",'stream':true,'stream_options':{'include_usage':true}}");
    assert_int_equal(k->m.server.quirks, AIOS__QUIRK_LOOSE);
    check_edit(k, &b, "temperature", AIOS_AGAIN, MESSAGES ",'max_tokens':9," LOOSENED ",'stream':true,'stream_options':{'include_usage':true}}");
    check_edit(k, &b, "temperature", 0, MESSAGES ",'max_tokens':9," LOOSENED ",'stream':true,'stream_options':{'include_usage':true}}");
    check_edit(k, &b, "stream_options", AIOS_AGAIN, MESSAGES ",'max_tokens':9," LOOSENED ",'stream':true}");
    check_edit(k, &b, "max_tokens", AIOS_AGAIN, MESSAGES "," LOOSENED ",'stream':true,'max_completion_tokens':9}");
    check_edit(k, &b, "max_completion_tokens", 0, MESSAGES "," LOOSENED ",'stream':true,'max_completion_tokens':9}"); /* a bound must be said */
    check_edit(k, &b, "response_format", AIOS_AGAIN, MESSAGES ",'stream':true,'max_completion_tokens':9}");
    aios__buf_clear(&b);
    aios__buf_adds(&b, quoted(BODY), &k->err); /* the next turn goes without them at once */
    must(aios__params_omit(&k->m, &b, &k->err), &k->err);
    assert_string_equal(b.p, quoted(MESSAGES ",'stream':true,'max_completion_tokens':9}"));
    aios__buf_clear(&b);
    aios__buf_adds(&b, quoted("{'temperature':1}"), &k->err);
    must(aios__params_omit(&k->m, &b, &k->err), &k->err);
    assert_string_equal(b.p, "{}");
    aios__buf_clear(&b);
    aios__buf_adds(&b, quoted("{'a':'one \\' and \\\\','temperature':1,'b':['\\'',{'c':2}]}"), &k->err); /* quotes in a text end nothing */
    must(aios__params_omit(&k->m, &b, &k->err), &k->err);
    assert_string_equal(b.p, quoted("{'a':'one \\' and \\\\','b':['\\'',{'c':2}]}"));
    aios__buf_free(&b);
    desk_close(k);
}

/* Of an array only the element goes that is refused; what the turn asks for stays. */
static void test_refused_elements(void **state)
{
    (void)state;
#define BOTH "{'a':1,'include':['reasoning.encrypted_content','message.output_text.logprobs'],'b':2}"
    static const struct {
        const char *param, *message, *name, *want; /* NULL: the turn fails */
    } rows[] = {
        {"include", "Encrypted content is not supported with this model.", "reasoning.encrypted_content", "{'a':1,'include':['message.output_text.logprobs'],'b':2}"},
        {"include", "logprobs are not supported with reasoning models.", "message.output_text.logprobs", NULL},
        {"include[1]", "Unsupported value: 'message.output_text.logprobs'. There are 'reasoning.encrypted_content' and others.", "message.output_text.logprobs", NULL},
        {NULL, "Unsupported value: 'reasoning.encrypted_content', not 'message.output_text.logprobs'", "reasoning.encrypted_content",
         "{'a':1,'include':['message.output_text.logprobs'],'b':2}"},
        {"include", "Unknown parameter: 'include'.", "reasoning.encrypted_content", "{'a':1,'include':['message.output_text.logprobs'],'b':2}"},
        {NULL, "Unrecognized request argument supplied: include", "reasoning.encrypted_content", "{'a':1,'include':['message.output_text.logprobs'],'b':2}"},
    };
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        desk *k = open_desk();
        const aios__fault f = {.param = rows[i].param, .message = rows[i].message, .code = "unsupported_value"};
        uint32_t param = aios__param_refused(&f);
        aios__buf b;
        aios__buf_init(&b, k->m.heap, AIOS_MEM_TEXT, 0);
        aios__buf_adds(&b, quoted(BOTH), &k->err);
        assert_string_equal(aios__param_name(param), rows[i].name);
        assert_int_equal(aios__param_refuse(&k->m, param, &b, &k->err), rows[i].want ? AIOS_AGAIN : AIOS_OK);
        assert_string_equal(b.p, quoted(rows[i].want ? rows[i].want : BOTH));
        assert_int_equal(aios__param_refuse(&k->m, param, &b, &k->err), AIOS_OK); /* refused again, it is a failure */
        aios__buf_clear(&b);
        aios__buf_adds(&b, quoted("{'include':['reasoning.encrypted_content']}"), &k->err);
        must(aios__params_omit(&k->m, &b, &k->err), &k->err);
        assert_string_equal(b.p, quoted(rows[i].want ? "{}" : "{'include':['reasoning.encrypted_content']}"));
        aios__buf_free(&b);
        desk_close(k);
    }
}

/* A NIM that refuses response_format is given the schema by its other name, and then none. */
static void test_another_name_for_a_schema(void **state)
{
    (void)state;
    desk *k = open_desk();
    aios__buf b;
    aios__buf_init(&b, k->m.heap, AIOS_MEM_TEXT, 0);
    aios__buf_adds(&b, quoted(BODY), &k->err);
    k->m.server.quirks = AIOS__QUIRK_NVEXT;
#define REST ",'temperature':0.5,'max_tokens':9,'stream':true,'stream_options':{'include_usage':true}"
    check_edit(k, &b, "response_format", AIOS_AGAIN, MESSAGES ",'temperature':0.5,'max_tokens':9," LOOSENED ",'stream':true,'stream_options':{'include_usage':true}}");
    check_edit(k, &b, "response_format", AIOS_AGAIN, MESSAGES REST ",'nvext':{'guided_json':{'a':[1,{}]}}}");
    assert_int_equal(k->m.server.quirks, AIOS__QUIRK_NVEXT | AIOS__QUIRK_LOOSE | AIOS__QUIRK_GUIDED);
    check_edit(k, &b, "nvext", AIOS_AGAIN, MESSAGES REST "}");
    aios__buf_free(&b);
    desk_close(k);
}

/* llama-cpp-python takes a schema as that of a "json_object"; where that is refused too, none is sent. */
static void test_a_schema_of_an_object(void **state)
{
    (void)state;
    desk *k = open_desk();
    aios__buf b;
    const aios__fault f = {.status = 500, .param = "response_format', 'type'), 'msg': ..",
                           .message = "[{'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), 'msg': \"Input should be 'text' or 'json_object'\", 'input': 'json_schema'}]"};
    uint32_t param = aios__param_refused(&f);
    aios__buf_init(&b, k->m.heap, AIOS_MEM_TEXT, 0);
    aios__buf_adds(&b, quoted(BODY), &k->err);
    assert_string_equal(aios__param_name(param), "response_format");
    assert_int_not_equal(param, param_of("response_format")); /* a refusal in other words is another row */
    assert_int_equal(aios__param_refuse(&k->m, param, &b, &k->err), AIOS_AGAIN);
    assert_string_equal(b.p, quoted(MESSAGES REST ",'response_format':{'type':'json_object','schema':{'a':[1,{}]}}}"));
    assert_int_equal(k->m.server.quirks, AIOS__QUIRK_FORMAT_SCHEMA);
    assert_int_equal(k->m.refused, 0);
    assert_int_equal(aios__param_refuse(&k->m, param, &b, &k->err), AIOS_AGAIN);
    assert_string_equal(b.p, quoted(MESSAGES REST "}"));
    aios__buf_free(&b);
    desk_close(k);
}

/* ---- secrets ------------------------------------------------------------------------------------------------------ */

static void test_secrets(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after;
    } rows[] = {
        {"Incorrect API key provided: sk-canary-0123456789abcdef.", "Incorrect API key provided: ***."},
        {"sk-canary-0123456789abcdefsk-canary-0123456789abcdef", "******"},
        {"cut: sk-canary-0123", "cut: ***"},
        {"tail: 89abcdef", "tail: ***"},
        {"short: sk-cana", "short: sk-cana"}, /* seven bytes say nothing */
        {"by callback: cb-9876543210 and x", "by callback: *** and x"},
        {"header: value-of-header, Basic dXNlcjpwYXNzd29yZA==", "header: ***, ***"},
        {"proxy user:hunter22 at host", "proxy *** at host"},
        {"only hunter22", "only ***"},
        {"nothing here", "nothing here"},
        {"", ""},
    };
    char *headers[] = {(char *)(uintptr_t) "X-Secret:  value-of-header", (char *)(uintptr_t) "Authorization: Basic dXNlcjpwYXNzd29yZA==", (char *)(uintptr_t) "X: y"};
    desk *k = open_desk();
    k->m.api_key = (char *)(uintptr_t) "sk-canary-0123456789abcdef";
    k->m.headers = headers;
    k->m.n_headers = 3;
    k->m.proxy = (char *)(uintptr_t) "http://user:hunter22@proxy.test:3128";
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        aios__fail(&k->err, AIOS_EAUTH, "%s", rows[i].before);
        aios__remote_redact(&k->m, "cb-9876543210", &k->err);
        assert_string_equal(k->err.msg, rows[i].after);
    }
    aios__remote_redact(&k->m, NULL, NULL);
    desk_close(k);
}

/* ---- silence ------------------------------------------------------------------------------------------------------ */

static char *prose(size_t n)
{
    static const char words[] = "The quick brown fox jumps over the lazy dog while the rest of the village sleeps. ";
    char *s = malloc(n + 1);
    for (size_t i = 0; i < n; i++)
        s[i] = words[i % (sizeof words - 1)];
    s[n] = 0;
    return s;
}

/* The server counts so many tokens of so many characters. */
static void test_cut_prompts(void **state)
{
    (void)state;
    static const struct {
        size_t n_chars;
        uint32_t counted;
        bool cut;
    } rows[] = {
        {64000, 2048, true},  /* Ollama's former default: 16101 tokens became 2048, RooCodeInc/Roo-Code#1372 */
        {64000, 4096, true},
        {64000, 14000, false},
        {36000, 4096, true},  /* about twice the context */
        {36000, 7200, false}, /* five characters a token */
        {36000, 5500, false}, /* six and a half: longer than any tokenizer's average */
        {20000, 200, false},  /* no context is that small: something else was counted */
        {20000, 0, false},    /* it did not count */
        {1000, 300, false},
    };
    const aios__prompt none = {0};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        desk *k = open_desk();
        aios__prompt p;
        char *s = prose(rows[i].n_chars);
        add_text(k, AIOS_ROLE_USER, s);
        aios__prompt_read(&k->req, &none, &p);
        uint32_t least = aios__prompt_missing(&p, &none, rows[i].counted);
        if ((least > rows[i].counted) != rows[i].cut || (!rows[i].cut && least))
            fail_msg("%zu characters, %u tokens: %u", rows[i].n_chars, rows[i].counted, least);
        free(s);
        desk_close(k);
    }
}

/* What a tokenizer packs tightly is no sign of a cut. */
static void test_runs_are_no_text(void **state)
{
    (void)state;
    desk *k = open_desk();
    const aios__prompt none = {0};
    aios__prompt p;
    char *s = malloc(60001);
    memset(s, ' ', 60000);
    s[60000] = 0;
    for (size_t i = 0; i < 60000; i += 40)
        memcpy(s + i, "key", 3);
    add_text(k, AIOS_ROLE_USER, s);
    aios__prompt_read(&k->req, &none, &p);
    assert_int_equal(p.n_chars, 1500 * 5);
    assert_int_equal(aios__prompt_missing(&p, &none, 3000), 0); /* 20 characters a token */
    const aios_part image = part(AIOS_PART_IMAGE, s, NULL, NULL, "image/png");
    add_parts(k, AIOS_ROLE_USER, &image, 1);
    aios__prompt_read(&k->req, &none, &p);
    assert_int_equal(p.n_chars, 1500 * 5);
    assert_int_equal(p.n_media, 80000);
    assert_int_equal(aios__prompt_bytes(&p, 80100), 100);
    assert_int_equal(aios__prompt_bytes(&p, 100), 0);
    free(s);
    desk_close(k);
}

/* Agents fill a context turn by turn: the first cut is seen, as the count falls. */
static void test_a_conversation_that_shrinks(void **state)
{
    (void)state;
    desk *k = open_desk();
    const aios__prompt none = {0};
    aios__prompt first, second, other;
    char *s = prose(16000);
    add_text(k, AIOS_ROLE_USER, s);
    aios__prompt_read(&k->req, &none, &first);
    first.n_tokens = 3900;
    add_text(k, AIOS_ROLE_ASSISTANT, "yes");
    add_text(k, AIOS_ROLE_USER, "and more");
    aios__prompt_read(&k->req, &first, &second);
    assert_true(second.grown);
    assert_int_equal(aios__prompt_missing(&second, &first, 2500), 3900 - 487);
    assert_int_equal(aios__prompt_missing(&second, &first, 3912), 0);
    assert_int_equal(aios__prompt_missing(&second, &first, 3600), 0); /* an earlier turn may be written shorter */
    aios_tool_def tool = {.struct_size = sizeof tool, .name = "f"};
    k->req.tools = &tool;
    k->req.tool_stride = sizeof tool;
    k->req.n_tools = 1;
    aios__prompt_read(&k->req, &first, &other); /* other tools, another prompt */
    assert_false(other.grown);
    assert_int_equal(aios__prompt_missing(&other, &first, 2500), 0);
    k->req.n_tools = 0;
    const aios_part thought = part(AIOS_PART_REASONING, "hm", NULL, NULL, NULL);
    add_parts(k, AIOS_ROLE_ASSISTANT, &thought, 1);
    aios__prompt_read(&k->req, &first, &other); /* templates drop reasoning */
    assert_true(other.grown);
    assert_int_equal(aios__prompt_missing(&other, &first, 2500), 0);
    must(aios_transcript_truncate(k->t, 0, &k->err), &k->err);
    add_text(k, AIOS_ROLE_USER, "something else");
    aios__prompt_read(&k->req, &first, &other);
    assert_false(other.grown);
    free(s);
    desk_close(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overflows), cmocka_unit_test(test_other_failures), cmocka_unit_test(test_refused_parameters), cmocka_unit_test(test_refusals_told_as_failures),
        cmocka_unit_test(test_edited_requests), cmocka_unit_test(test_refused_elements), cmocka_unit_test(test_another_name_for_a_schema), cmocka_unit_test(test_a_schema_of_an_object), cmocka_unit_test(test_secrets), cmocka_unit_test(test_cut_prompts),
        cmocka_unit_test(test_runs_are_no_text), cmocka_unit_test(test_a_conversation_that_shrinks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
