/* SPDX-License-Identifier: Apache-2.0 */
/* Chat completions: exact requests for each kind of server, and streams as each kind sends them, cut at every byte. */
#include "openai_test.h"

#define STRICT "{'type':'object','properties':{'a':{'type':'integer'}},'required':['a'],'additionalProperties':false}"
#define LOOSE "{'type':'object','properties':{'a':{'type':'integer'}}}"
#define TAIL ",'stream':true,'stream_options':{'include_usage':true}}"

static desk *at_openai(void)
{
    return desk_open(&aios__dialect_openai, "https://api.openai.com/v1", "api.openai.com");
}

static desk *elsewhere(uint32_t quirks)
{
    desk *k = desk_open(&aios__dialect_openai, "http://127.0.0.1:9000/v1", "127.0.0.1");
    assert_int_equal(k->m.server.quirks, 0);
    k->m.server.quirks = quirks;
    return k;
}

static void use_tools(desk *k, aios_tool_def *tools, uint32_t n)
{
    k->req.tools = tools;
    k->req.tool_stride = sizeof *tools;
    k->req.n_tools = n;
}

static void test_plain(void **state)
{
    (void)state;
    desk *k = elsewhere(0);
    add_text(k, AIOS_ROLE_SYSTEM, "Be \"brief\".");
    add_text(k, AIOS_ROLE_USER, "Hi\n");
    k->req.max_tokens = 7;
    check_request(k, "/chat/completions", "{'model':'m','messages':[{'role':'system','content':'Be \\'brief\\'.'},{'role':'user','content':'Hi\\n'}],'max_tokens':7" TAIL);
    k->m.server.model = "";
    const char *stop[] = {"END", "\n", NULL};
    aios_sampling p = AIOS_INIT(aios_sampling);
    p.temperature = 0.5f;
    p.top_p = 0.25f;
    p.top_k = 40;
    p.min_p = 0.5f;
    p.repeat_penalty = 1.5f;
    p.frequency_penalty = 0.5f;
    p.presence_penalty = -0.5f;
    p.seed = 7;
    k->req.stop = stop;
    k->req.sampling = &p;
    k->req.max_reasoning = 2000;
#define COMMON "{'messages':[{'role':'system','content':'Be \\'brief\\'.'},{'role':'user','content':'Hi\\n'}]," \
               "'temperature':0.5,'top_p':0.25,'frequency_penalty':0.5,'presence_penalty':-0.5,'seed':7"
    check_request(k, "/chat/completions", COMMON ",'stop':['END','\\n'],'max_tokens':7,'reasoning_effort':'medium'" TAIL);
    k->m.server.quirks = AIOS__QUIRK_TOP_K | AIOS__QUIRK_REPEAT;
    check_request(k, "/chat/completions",
                  COMMON ",'top_k':40,'min_p':0.5,'repeat_penalty':1.5,'stop':['END','\\n'],'max_tokens':7,'reasoning_effort':'medium'" TAIL);
    k->m.server.quirks = AIOS__QUIRK_TOP_K | AIOS__QUIRK_REPETITION;
    check_request(k, "/chat/completions",
                  COMMON ",'top_k':40,'min_p':0.5,'repetition_penalty':1.5,'stop':['END','\\n'],'max_tokens':7,'reasoning_effort':'medium'" TAIL);
    k->m.server.quirks = AIOS__QUIRK_COMPLETION_TOKENS; /* OpenAI itself has no such words, and nothing is dropped in silence */
    aios_error err = AIOS_INIT(aios_error);
    aios__message q;
    aios__message_init(&k->m, &q);
    assert_int_equal(aios__remote_encode(&k->m, &k->req, &q, &err), AIOS_ENOTSUP);
    assert_non_null(strstr(err.msg, "top_k"));
    aios__message_free(&q);
    desk_close(k);
}

static void test_openai_itself(void **state)
{
    (void)state;
    desk *k = at_openai();
    char *strict = strdup(quoted(STRICT)), *loose = strdup(quoted(LOOSE));
    aios_tool_def tools[] = {{.struct_size = sizeof *tools, .name = "f", .description = "does", .schema_json = strict},
                             {.struct_size = sizeof *tools, .name = "g", .schema_json = loose},
                             {.struct_size = sizeof *tools, .name = "h"}};
    add_text(k, AIOS_ROLE_USER, "Hi");
    use_tools(k, tools, 3);
    k->req.tool_choice = AIOS_TOOLS_NAMED;
    k->req.tool_name = "g";
    k->req.flags = AIOS_REQUEST_ONE_CALL;
    k->req.schema_json = strict;
    k->req.max_tokens = 5;
    check_request(k, "/chat/completions",
                  "{'model':'m','messages':[{'role':'user','content':'Hi'}],'tools':[{'type':'function','function':{'strict':true,'name':'f','description':'does',"
                  "'parameters':" STRICT "}},{'type':'function','function':{'strict':false,'name':'g','parameters':" LOOSE
                  "}},{'type':'function','function':{'strict':false,'name':'h','parameters':{'type':'object','properties':{}}}}],"
                  "'tool_choice':{'type':'function','function':{'name':'g'}},'parallel_tool_calls':false,"
                  "'response_format':{'type':'json_schema','json_schema':{'strict':true,'name':'reply','schema':" STRICT "}},"
                  "'max_completion_tokens':5,'store':false" TAIL);
    use_tools(k, NULL, 0);
    k->req.tool_choice = AIOS_TOOLS_AUTO;
    k->req.flags = k->req.max_tokens = 0;
    k->req.schema_json = loose;
    k->m.server.keep = true;
    check_request(k, "/chat/completions",
                  "{'model':'m','messages':[{'role':'user','content':'Hi'}],"
                  "'response_format':{'type':'json_schema','json_schema':{'strict':false,'name':'reply','schema':" LOOSE "}},'store':true" TAIL);
    k->m.server.quirks = AIOS__QUIRK_FORMAT_VALUE;
    check_request(k, "/chat/completions",
                  "{'model':'m','messages':[{'role':'user','content':'Hi'}],'response_format':{'type':'json_object','value':" LOOSE "}" TAIL);
    free(strict);
    free(loose);
    desk_close(k);
}

static void test_choices_of_tools(void **state)
{
    (void)state;
#define HI "{'model':'m','messages':[{'role':'user','content':'Hi'}]"
#define F "{'type':'function','function':{'name':'f','parameters':{'type':'object','properties':{}}}}"
#define G "{'type':'function','function':{'name':'g','parameters':{'type':'object','properties':{}}}}"
    static const struct {
        int32_t choice;
        uint32_t quirks;
        const char *body;
    } rows[] = {
        {AIOS_TOOLS_AUTO, 0, HI ",'tools':[" F "," G "],'tool_choice':'auto'" TAIL},
        {AIOS_TOOLS_REQUIRED, 0, HI ",'tools':[" F "," G "],'tool_choice':'required'" TAIL},
        {AIOS_TOOLS_NONE, 0, HI ",'tools':[" F "," G "],'tool_choice':'none'" TAIL},
        {AIOS_TOOLS_NAMED, 0, HI ",'tools':[" F "," G "],'tool_choice':{'type':'function','function':{'name':'g'}}" TAIL},
        {AIOS_TOOLS_NAMED, AIOS__QUIRK_ONLY_NAMED, HI ",'tools':[" G "],'tool_choice':'required'" TAIL},
        {AIOS_TOOLS_NONE, AIOS__QUIRK_NO_CHOICE, HI TAIL},
    };
    aios_tool_def tools[] = {{.struct_size = sizeof *tools, .name = "f"}, {.struct_size = sizeof *tools, .name = "g"}};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        desk *k = elsewhere(rows[i].quirks);
        add_text(k, AIOS_ROLE_USER, "Hi");
        use_tools(k, tools, 2);
        k->req.tool_choice = rows[i].choice;
        k->req.tool_name = "g";
        check_request(k, "/chat/completions", rows[i].body);
        desk_close(k);
    }
}

static void test_parts(void **state)
{
    (void)state;
    desk *k = elsewhere(0);
    const aios_part parts[] = {
        part(AIOS_PART_TEXT, "see", NULL, NULL, NULL),
        part(AIOS_PART_IMAGE, "abc", NULL, NULL, "image/jpeg"),
        part(AIOS_PART_AUDIO, "ab", NULL, NULL, "audio/mpeg"),
        part(AIOS_PART_AUDIO, "a", NULL, NULL, NULL),
        part(AIOS_PART_DATA, "a,b", NULL, NULL, "text/csv"),
        part(AIOS_PART_DATA, "%PDF", NULL, NULL, "application/pdf"),
    };
    add_parts(k, AIOS_ROLE_USER, parts, 6);
    check_request(k, "/chat/completions",
                  "{'model':'m','messages':[{'role':'user','content':[{'type':'text','text':'see'},"
                  "{'type':'image_url','image_url':{'url':'data:image/jpeg;base64,YWJj'}},{'type':'input_audio','input_audio':{'data':'YWI=','format':'mp3'}},"
                  "{'type':'input_audio','input_audio':{'data':'YQ==','format':'wav'}},{'type':'text','text':'a,b'},"
                  "{'type':'file','file':{'filename':'file.pdf','file_data':'data:application/pdf;base64,JVBERg=='}}]}]" TAIL);
    const aios_part ogg = part(AIOS_PART_AUDIO, "x", NULL, NULL, "audio/ogg");
    add_parts(k, AIOS_ROLE_USER, &ogg, 1);
    aios__message q;
    aios__message_init(&k->m, &q);
    assert_int_equal(aios__remote_encode(&k->m, &k->req, &q, &k->err), AIOS_ENOTSUP);
    assert_non_null(strstr(k->err.msg, "audio/ogg"));
    aios__message_free(&q);
    desk_close(k);
}

/* Reasoning goes back within a turn of tools, by the name that the server used; never before it is known, nor of earlier turns. */
static void test_calls_and_reasoning(void **state)
{
    (void)state;
#define OLD "{'model':'m','messages':[{'role':'user','content':'1'},{'role':'assistant','content':'one'},{'role':'user','content':'2'},{'role':'assistant','content':null,"
#define NEW "'tool_calls':[{'id':'c1','type':'function','function':{'name':'f','arguments':'{\\'a\\':1}'}},{'id':'c2','type':'function','function':" \
            "{'name':'g','arguments':'{}'}}]},{'role':'tool','tool_call_id':'c1','content':'r1'},{'role':'tool','tool_call_id':'c2','content':'r2'}]" TAIL
    static const struct {
        uint32_t quirks;
        const char *body;
    } rows[] = {
        {0, OLD NEW},
        {AIOS__QUIRK_REASONING, OLD "'reasoning':'hm'," NEW},
        {AIOS__QUIRK_REASONING_CONTENT, OLD "'reasoning_content':'hm'," NEW},
    };
    const aios_part first[] = {part(AIOS_PART_REASONING, "old", NULL, NULL, NULL), part(AIOS_PART_TEXT, "one", NULL, NULL, NULL)};
    const aios_part calls[] = {part(AIOS_PART_REASONING, "hm", NULL, NULL, NULL), part(AIOS_PART_CALL, "{\"a\":1}", "f", "c1", NULL),
                               part(AIOS_PART_CALL, "{}", "g", "c2", NULL)};
    const aios_part results[] = {part(AIOS_PART_RESULT, "r1", "f", "c1", NULL), part(AIOS_PART_RESULT, "r2", "g", "c2", NULL)};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        desk *k = elsewhere(rows[i].quirks);
        add_text(k, AIOS_ROLE_USER, "1");
        add_parts(k, AIOS_ROLE_ASSISTANT, first, 2);
        add_text(k, AIOS_ROLE_USER, "2");
        add_parts(k, AIOS_ROLE_ASSISTANT, calls, 3);
        add_parts(k, AIOS_ROLE_TOOL, results, 2);
        check_request(k, "/chat/completions", rows[i].body);
        desk_close(k);
    }
}

static void test_strict_schemas(void **state)
{
    (void)state;
    static const struct {
        const char *schema;
        bool strict;
    } rows[] = {
        {STRICT, true},
        {LOOSE, false},
        {"{'type':'object','properties':{},'required':[],'additionalProperties':false}", true},
        {"{'type':'array','items':" STRICT "}", false},
        {"{'anyOf':[" STRICT "]}", false},
        {"{'type':'object','properties':{'a':{'anyOf':[{'type':'null'}," STRICT "]}},'required':['a'],'additionalProperties':false}", true},
        {"{'type':'object','properties':{'a':" LOOSE "},'required':['a'],'additionalProperties':false}", false},
        {"{'type':'object','properties':{'a':{'type':'array','items':{'$ref':'#/$defs/x'},'minItems':1}},'required':['a'],'additionalProperties':false,"
         "'$defs':{'x':{'type':'string','pattern':'a+','format':'date'}}}", true},
        {"{'type':'object','properties':{'a':{'type':'string','format':'iri'}},'required':['a'],'additionalProperties':false}", false},
        {"{'type':'object','properties':{'a':{'type':'string','minLength':1}},'required':['a'],'additionalProperties':false}", false},
        {"{'type':'object','properties':{'a':{'allOf':[{'type':'string'}]}},'required':['a'],'additionalProperties':false}", false},
        {"{'type':'object','properties':{'a':true},'required':['a'],'additionalProperties':false}", false},
        {"{'type':'object','properties':{'a':{}},'required':['a'],'additionalProperties':false}", false},
        {"{'type':'object','properties':{'a':{'type':['object','null']}},'required':['a'],'additionalProperties':false}", false},
        {"{'type':'object','properties':{'a':{'type':'string'}},'required':['b'],'additionalProperties':false}", false},
        {"{'type':'object','properties':{'a':{'type':'string'}},'required':['a'],'additionalProperties':true}", false},
    };
    desk *k = elsewhere(0);
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        aios__json_doc *doc;
        const char *s = quoted(rows[i].schema);
        must(aios__json_parse(k->m.heap, s, strlen(s), &doc, &k->err), &k->err);
        if (aios__schema_is_strict(aios__json_root(doc)) != rows[i].strict)
            fail_msg("strict is not %d: %s", rows[i].strict, s);
        aios__json_free(doc);
    }
    desk_close(k);
}

/* ---- streams ------------------------------------------------------------------------------------------------------ */

#define D(delta) "data: {'id':'x','object':'chat.completion.chunk','choices':[{'index':0,'delta':" delta ",'finish_reason':null}]}\n\n"
#define END(reason) "data: {'choices':[{'index':0,'delta':{},'finish_reason':'" reason "'}]}\n\n"
#define DONE "data: [DONE]\n\n"

static const struct {
    const char *name, *stream;
    int code;
    const char *what;
    uint32_t learnt;
} streams[] = {
    {"OpenAI: text, usage with details in the last chunk",
     D("{'role':'assistant','content':'','refusal':null}") D("{'content':'Hel'}") D("{'content':'l\xc3\xb6 \\u20ac'}") END("stop")
     "data: {'choices':[],'usage':{'prompt_tokens':19,'completion_tokens':10,'prompt_tokens_details':{'cached_tokens':16,'audio_tokens':0},"
     "'completion_tokens_details':{'reasoning_tokens':3}}}\n\n" DONE,
     0, "T:Hel" "l\xc3\xb6 \xe2\x82\xac|U:19/16/10/3|S:stop", 0},
    {"OpenAI: two calls side by side",
     D("{'role':'assistant','content':null,'tool_calls':[{'index':0,'id':'c1','type':'function','function':{'name':'f','arguments':''}}]}")
     D("{'tool_calls':[{'index':0,'function':{'arguments':'{\\'a\\''}}]}")
     D("{'tool_calls':[{'index':1,'id':'c2','type':'function','function':{'name':'g','arguments':''}}]}")
     D("{'tool_calls':[{'index':0,'function':{'arguments':':1}'}},{'index':1,'function':{'arguments':'{}'}}]}") END("tool_calls") DONE,
     0, "C:f{'a':1}#c1|C:g{}#c2|S:tool_calls", 0},
    {"OpenAI: refusal", D("{'refusal':'I can'}") D("{'refusal':'not.'}") END("stop") DONE, AIOS_EREFUSED, "T:I cannot.", 0},
    {"Azure: filter", "data: {'choices':[],'prompt_filter_results':[{}]}\n\n" D("{'content':'a'}") END("content_filter") DONE, AIOS_EFILTERED, "T:a", 0},
    {"llama-server (recorded)",
     "data: {'choices':[{'finish_reason':null,'index':0,'delta':{'role':'assistant','content':null}}],'created':1795823906,'id':'chatcmpl-6','model':'x',"
     "'system_fingerprint':'b0-unknown','object':'chat.completion.chunk'}\n\n"
     "data: {'choices':[{'finish_reason':null,'index':0,'delta':{'content':'H'}}]}\n\ndata: {'choices':[{'finish_reason':'length','index':0,'delta':{}}]}\n\n"
     "data: {'choices':[],'usage':{'completion_tokens':3,'prompt_tokens':32,'total_tokens':35,'prompt_tokens_details':{'cached_tokens':25}},"
     "'timings':{'cache_n':25}}\n\n" DONE,
     0, "T:H|U:32/25/3/0|S:length", 0},
    {"llama-server, SGLang, DeepSeek: reasoning_content", D("{'reasoning_content':'h'}") D("{'reasoning_content':'m'}") D("{'content':'x'}") END("stop") DONE, 0,
     "R:hm|T:x|S:stop", AIOS__QUIRK_REASONING_CONTENT},
    {"vLLM since 0.11, OpenRouter: reasoning, usage in every chunk",
     "data: {'choices':[{'index':0,'delta':{'reasoning':'hm'}}],'usage':{'prompt_tokens':9,'completion_tokens':1}}\n\n"
     "data: {'choices':[{'index':0,'delta':{'content':'x'},'finish_reason':'stop','stop_reason':null}],'usage':{'prompt_tokens':9,'completion_tokens':2}}\n\n" DONE,
     0, "R:hm|T:x|U:9/0/2/0|S:stop", AIOS__QUIRK_REASONING},
    {"both names at once", D("{'reasoning':'hm','reasoning_content':'hm'}") D("{'content':'x'}") END("stop") DONE, 0, "R:hm|T:x|S:stop", AIOS__QUIRK_REASONING_CONTENT},
    {"Mistral: parts", D("{'content':[{'type':'thinking','thinking':[{'type':'text','text':'hm'}]},{'type':'text','text':'x'}]}") END("stop") DONE, 0, "R:hm|T:x|S:stop", 0},
    {"Ollama: all calls are number 0 (ollama#15457)",
     D("{'tool_calls':[{'id':'call_a','index':0,'type':'function','function':{'name':'f','arguments':'{\\'p\\':\\'a\\'}'}}]}")
     D("{'tool_calls':[{'id':'call_b','index':0,'type':'function','function':{'name':'f','arguments':'{\\'p\\':\\'b\\'}'}}]}") END("tool_calls") DONE,
     0, "C:f{'p':'a'}#call_a|C:f{'p':'b'}#call_b|S:tool_calls", 0},
    {"no numbers, pieces without a name (openai-python#2806)",
     D("{'tool_calls':[{'id':'','function':{'name':'f','arguments':'{\\'p\\''}}]}") D("{'tool_calls':[{'function':{'arguments':':1}'}}]}")
     D("{'tool_calls':[{'id':'','function':{'name':'g','arguments':'{}'}},{'function':{'name':'h','arguments':'{}'}}]}") END("stop") DONE,
     0, "C:f{'p':1}#|C:g{}#|C:h{}#|S:tool_calls", 0},
    {"name and id in every piece",
     D("{'tool_calls':[{'index':0,'id':'c','function':{'name':'f','arguments':'{'}}]}") D("{'tool_calls':[{'index':0,'id':'c','function':{'name':'f','arguments':'}'}}]}")
     END("tool_calls") DONE, 0, "C:f{}#c|S:tool_calls", 0},
    {"TGI: one call, arguments as an object (text-generation-inference#2136), eos_token",
     D("{'tool_calls':{'index':0,'id':'0','type':'function','function':{'name':'f','arguments':{'a':[1,2]}}}}") END("eos_token") DONE,
     0, "C:f{'a':[1,2]}#0|S:tool_calls", 0},
    {"tool_calls without one", D("{'content':'x'}") END("tool_calls") DONE, 0, "T:x|S:stop", 0},
    {"arguments cut by the limit stay as they are", D("{'tool_calls':[{'index':0,'id':'c','function':{'name':'f','arguments':'{\\'a'}}]}") END("length") DONE, 0, "S:length", 0},
    {"function_call, as before there were several", D("{'function_call':{'name':'f','arguments':'{'}}") D("{'function_call':{'arguments':'}'}}") END("function_call") DONE,
     0, "C:f{}#|S:tool_calls", 0},
    {"no [DONE]", D("{'content':'x'}") END("stop"), 0, "T:x|S:stop", 0},
    {"the stream is cut", D("{'content':'x'}") D("{'content':'y'}"), AIOS_EPROTO, "T:xy", 0},
    {"another choice is not ours", "data: {'choices':[{'index':1,'delta':{'content':'no'}},{'index':0,'delta':{'content':'x'}}]}\n\n" END("stop") DONE, 0, "T:x|S:stop", 0},
    {"comments and line ends of all kinds", ": OPENROUTER PROCESSING\r\n\r\ndata: {'choices':[{'index':0,'delta':{'content':'x'}}]}\r\n\r\n" END("stop") DONE, 0, "T:x|S:stop", 0},
    {"an error inside of the stream", D("{'content':'x'}") "data: {'error':{'message':'The server had an error','type':'server_error','code':null}}\n\n", AIOS_EUNAVAIL, "T:x", 0},
    {"an overflow inside of the stream",
     "data: {'error':{'code':400,'message':'request (9031 tokens) exceeds the available context size (4096 tokens), try increasing it',"
     "'type':'exceed_context_size_error','n_prompt_tokens':9031,'n_ctx':4096}}\n\n", AIOS_ECONTEXT, "", 0},
    {"finish_reason error", D("{'content':'x'}") END("error") DONE, AIOS_EUNAVAIL, "T:x", 0},
    {"in one piece",
     "{'id':'x','object':'chat.completion','choices':[{'index':0,'message':{'role':'assistant','content':'x','reasoning_content':'hm','tool_calls':[{'id':'c','type':"
     "'function','function':{'name':'f','arguments':'{}'}}]},'finish_reason':'tool_calls'}],'usage':{'prompt_tokens':5,'completion_tokens':2}}",
     0, "R:hm|T:x|C:f{}#c|U:5/0/2/0|S:tool_calls", AIOS__QUIRK_REASONING_CONTENT},
    {"a list of models is no reply", "{'object':'list','data':[]}", AIOS_EPROTO, "", 0},
    {"no JSON", "data: <html>\n\n", AIOS_EPROTO, "", 0},
    {"a page", "<html>", AIOS_EPROTO, "", 0},
    {"nothing", "", AIOS_EPROTO, "", 0},
};

static void test_streams(void **state)
{
    (void)state;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(streams); i++) {
        desk *k = elsewhere(0);
        print_message("%s\n", streams[i].name);
        check_stream(k, streams[i].stream, streams[i].code, streams[i].what);
        assert_int_equal(k->m.server.quirks, streams[i].learnt);
        desk_close(k);
    }
}

#define TGI (AIOS__QUIRK_FORMAT_VALUE | AIOS__QUIRK_NO_PRESENCE | AIOS__QUIRK_TOOLS_ALONE)

/* TGI takes tools or a form of the reply; NIM takes the form by another name once it has refused the usual one. */
static void test_forms_of_tgi_and_nim(void **state)
{
    (void)state;
    desk *k = elsewhere(TGI);
    char *loose = strdup(quoted(LOOSE));
    aios_tool_def tool = {.struct_size = sizeof tool, .name = "f"};
    aios_sampling sampling = AIOS_INIT(aios_sampling);
    sampling.presence_penalty = 0.5f;
    sampling.frequency_penalty = 0.25f;
    add_text(k, AIOS_ROLE_USER, "Hi");
    k->req.schema_json = loose;
    k->req.sampling = &sampling;
    use_tools(k, &tool, 1);
#define SAMPLED ",'temperature':0,'frequency_penalty':0.25"
    check_request(k, "/chat/completions", HI ",'tools':[" F "],'tool_choice':'auto'" SAMPLED TAIL);
    k->req.tool_choice = AIOS_TOOLS_NONE;
    check_request(k, "/chat/completions", HI SAMPLED ",'response_format':{'type':'json_object','value':" LOOSE "}" TAIL);
    k->m.server.quirks = AIOS__QUIRK_NVEXT | AIOS__QUIRK_GUIDED;
    k->req.sampling = NULL;
    use_tools(k, NULL, 0);
    check_request(k, "/chat/completions", HI ",'nvext':{'guided_json':" LOOSE "}" TAIL);
    k->m.server.quirks = AIOS__QUIRK_FORMAT_SCHEMA;
    check_request(k, "/chat/completions", HI ",'response_format':{'type':'json_object','schema':" LOOSE "}" TAIL);
    free(loose);
    desk_close(k);
}

static void test_recognition(void **state)
{
    (void)state;
    static const struct {
        const char *url, *host;
        uint32_t quirks;
    } hosts[] = {
        {"https://api.openai.com/v1", "api.openai.com", AIOS__QUIRK_COMPLETION_TOKENS | AIOS__QUIRK_STORE | AIOS__QUIRK_STRICT_TOOLS},
        {"https://x.openai.azure.com/openai/v1", "x.openai.azure.com", AIOS__QUIRK_STRICT_TOOLS},
        {"http://127.0.0.1:11434/v1", "127.0.0.1", AIOS__QUIRK_ONLY_NAMED | AIOS__QUIRK_NO_CHOICE},
        {"http://localhost:1234/v1", "localhost", AIOS__QUIRK_TOP_K | AIOS__QUIRK_REPEAT | AIOS__QUIRK_ONLY_NAMED},
        {"http://localhost:12345/v1", "localhost", 0},
        {"https://notapi.openai.com.example/v1", "notapi.openai.com.example", 0},
        {"https://integrate.api.nvidia.com/v1", "integrate.api.nvidia.com", AIOS__QUIRK_NVEXT},
        {"https://x.endpoints.huggingface.cloud/v1", "x.endpoints.huggingface.cloud", TGI},
    };
    static const struct {
        const char *list;
        uint32_t quirks;
    } lists[] = {
        {"{'data':[{'id':'a','owned_by':'vllm'}]}", AIOS__QUIRK_TOP_K | AIOS__QUIRK_REPETITION},
        {"{'data':[{'id':'a','owned_by':'sglang'}]}", AIOS__QUIRK_TOP_K | AIOS__QUIRK_REPETITION},
        {"{'data':[{'id':'a','owned_by':'llamacpp'}]}", AIOS__QUIRK_TOP_K | AIOS__QUIRK_REPEAT | AIOS__QUIRK_ONLY_NAMED | AIOS__QUIRK_ONE_TOP},
        {"{'data':[{'id':'a','owned_by':'library'}]}", AIOS__QUIRK_ONLY_NAMED | AIOS__QUIRK_NO_CHOICE},
        {"{'object':'list','data':[{'id':'hf/m','object':'model','created':0,'owned_by':'hf/m'}]}", TGI},
        {"{'data':[{'id':'m','created':1700000000,'owned_by':'m'}]}", 0},
        {"{'data':[{'id':'','created':0,'owned_by':''}]}", 0},
        {"{'data':[{'id':'a','owned_by':'me'}]}", 0},
        {"{'data':[]}", 0},
        {"[]", 0},
    };
    for (size_t i = 0; i < AIOS__ARRAY_LEN(hosts); i++) {
        desk *k = desk_open(&aios__dialect_openai, hosts[i].url, hosts[i].host);
        assert_int_equal(k->m.server.quirks, hosts[i].quirks);
        desk_close(k);
    }
    for (size_t i = 0; i < AIOS__ARRAY_LEN(lists); i++) {
        desk *k = elsewhere(0);
        aios__json_doc *doc;
        const char *s = quoted(lists[i].list);
        must(aios__json_parse(k->m.heap, s, strlen(s), &doc, &k->err), &k->err);
        aios__quirks_of_list(&k->m.server, aios__json_root(doc));
        assert_int_equal(k->m.server.quirks, lists[i].quirks);
        aios__json_free(doc);
        desk_close(k);
    }
    desk *k = elsewhere(0);
    aios__quirks_of_software(&k->m.server, "uvicorn", 7);
    assert_int_equal(k->m.server.quirks, 0);
    aios__quirks_of_software(&k->m.server, "llama.cpp", 8); /* cut */
    assert_int_equal(k->m.server.quirks, 0);
    aios__quirks_of_software(&k->m.server, "llama.cpp", 9);
    assert_int_equal(k->m.server.quirks, AIOS__QUIRK_TOP_K | AIOS__QUIRK_REPEAT | AIOS__QUIRK_ONLY_NAMED | AIOS__QUIRK_ONE_TOP);
    desk_close(k);
}

static void test_lists_and_embeddings(void **state)
{
    (void)state;
    static const char list[] = "{'object':'list','data':[{'id':'a'},{'id':'b','max_model_len':32768},{'id':'c','owned_by':'llamacpp','meta':{'n_ctx':4096,'n_ctx_train':8192}},"
                               "{'id':'d','meta':{'n_ctx_train':8192}},{'id':'e','context_length':200000},{'id':'f','context_window':131072},{'id':'g','max_model_len':'x'}]}";
    static const char want[] = "{'id':'a'},{'id':'b','context':32768},{'id':'c','context':4096},{'id':'d','context':8192},{'id':'e','context':200000},"
                               "{'id':'f','context':131072},{'id':'g'}";
    desk *k = elsewhere(0);
    aios__json_doc *doc;
    aios__buf b;
    aios__message q;
    const char *s = quoted(list);
    aios__buf_init(&b, k->m.heap, AIOS_MEM_TEXT, 0);
    must(aios__json_parse(k->m.heap, s, strlen(s), &doc, &k->err), &k->err);
    must(aios__dialect_openai.decode_list(aios__json_root(doc), &b, &k->err), &k->err);
    assert_string_equal(b.p, quoted(want));
    aios__json_free(doc);
    aios__buf_free(&b);
    aios__message_init(&k->m, &q);
    must(aios__dialect_openai.encode_embed(&k->m.server, "a\"b", 3, &q, &k->err), &k->err);
    assert_string_equal(q.path.p, "/embeddings");
    assert_string_equal(q.body.p, "{\"model\":\"m\",\"input\":\"a\\\"b\",\"encoding_format\":\"float\"}");
    aios__message_free(&q);
    desk_close(k);
}

static void test_long_key(void **state)
{
    (void)state;
    static char key[9000];
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_remote_config remote = AIOS_INIT(aios_remote_config);
    aios_model_config cfg = AIOS_INIT(aios_model_config);
    aios_error err = AIOS_INIT(aios_error);
    aios_model *m = NULL;
    memset(key, 'k', sizeof key - 1);
    remote.api_key = key;
    cfg.remote = &remote;
    assert_int_equal(aios_model_open(ctx, "openai:m", &cfg, &m, &err), AIOS_EINVAL);
    assert_true(err.need == sizeof key - 1 && err.have < err.need && !strstr(err.msg, "kkk"));
    key[8191] = 0;
    must(aios_model_open(ctx, "openai:m", &cfg, &m, &err), &err);
    aios_model_close(m);
    aios_ctx_free(ctx);
}

static void test_logprobs(void **state)
{
    (void)state;
    desk *k = desk_open(&aios__dialect_openai, "https://api.openai.com/v1", "api.openai.com");
    add_text(k, AIOS_ROLE_USER, "q");
    k->req.flags = AIOS_REQUEST_LOGPROBS;
#define ASKED "{'model':'m','messages':[{'role':'user','content':'q'}],'logprobs':true"
    check_request(k, "/chat/completions", ASKED ",'store':false" TAIL);
    k->req.n_top = 2;
    check_request(k, "/chat/completions", ASKED ",'top_logprobs':2,'store':false" TAIL);
    desk_close(k);
    k = desk_open(&aios__dialect_openai, "http://127.0.0.1:8080/v1", "127.0.0.1");
    add_text(k, AIOS_ROLE_USER, "q");
    k->req.flags = AIOS_REQUEST_LOGPROBS;
    aios__quirks_of_software(&k->m.server, "llama.cpp", 9);
    check_request(k, "/chat/completions", ASKED ",'top_logprobs':1" TAIL);
    check_stream(k,
                 "data: {'choices':[{'index':0,'delta':{'content':'x\xc3\xa9'},'logprobs':{'content':[{'token':'x','logprob':-0.25,'bytes':[120],'top_logprobs':"
                 "[{'token':'x','logprob':-0.25},{'token':'\ufffd','logprob':-99999,'bytes':[195]}]},{'token':'\xc3\xa9','logprob':0.5}]}}]}\n\n"
                 "data: {'choices':[{'index':0,'delta':{},'logprobs':null,'finish_reason':'stop'}]}\n\n"
                 "data: [DONE]\n\n",
                 0, "T:x\xc3\xa9|L:[{'token':'x','logprob':-0.25,'top':[{'token':'x','logprob':-0.25},{'token':'\xef\xbf\xbd','logprob':-9999,'bytes':[195]}]},"
                    "{'token':'\xc3\xa9','logprob':0,'top':[]}]|S:stop");
    check_stream(k,
                 "data: {'choices':[{'index':0,'delta':{'content':'x'},'logprobs':{'content':[7,{'token':3,'logprob':-1},{'token':'a','logprob':null,'top_logprobs':"
                 "[{'token':'b','logprob':-1}]},{'token':'c'}]},'finish_reason':'stop'}]}\n\ndata: [DONE]\n\n",
                 0, "T:x|S:stop"); /* what is none is left out */
    desk_close(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long_key), cmocka_unit_test(test_plain),         cmocka_unit_test(test_openai_itself),       cmocka_unit_test(test_choices_of_tools),
        cmocka_unit_test(test_parts),         cmocka_unit_test(test_calls_and_reasoning), cmocka_unit_test(test_strict_schemas),
        cmocka_unit_test(test_logprobs), cmocka_unit_test(test_forms_of_tgi_and_nim), cmocka_unit_test(test_streams),       cmocka_unit_test(test_recognition),         cmocka_unit_test(test_lists_and_embeddings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
