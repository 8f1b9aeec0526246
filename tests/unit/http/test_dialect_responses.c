/* SPDX-License-Identifier: Apache-2.0 */
/* Responses: exact requests, and streams as the SDK's types describe them, cut at every byte. */
#include "openai_test.h"

#define STRICT "{'type':'object','properties':{'a':{'type':'integer'}},'required':['a'],'additionalProperties':false}"

static desk *open_desk(void)
{
    return desk_open(&aios__dialect_responses, "https://api.openai.com/v1", "api.openai.com");
}

static void test_requests(void **state)
{
    (void)state;
    desk *k = open_desk();
    char *strict = strdup(quoted(STRICT));
    aios_tool_def tools[] = {{.struct_size = sizeof *tools, .name = "f", .description = "does", .schema_json = strict}, {.struct_size = sizeof *tools, .name = "g"}};
    const aios_part seen[] = {part(AIOS_PART_TEXT, "see", NULL, NULL, NULL), part(AIOS_PART_IMAGE, "abc", NULL, NULL, NULL),
                              part(AIOS_PART_DATA, "%PDF", NULL, NULL, "application/pdf")};
    const aios_part calls[] = {part(AIOS_PART_REASONING, "hm", NULL, NULL, NULL), part(AIOS_PART_TEXT, "I look.", NULL, NULL, NULL),
                               part(AIOS_PART_CALL, "{\"a\":1}", "f", "c1", NULL)};
    const aios_part result = part(AIOS_PART_RESULT, "r1", "f", "c1", NULL);
    add_text(k, AIOS_ROLE_SYSTEM, "Be brief.");
    add_parts(k, AIOS_ROLE_USER, seen, 3);
    add_parts(k, AIOS_ROLE_ASSISTANT, calls, 3);
    add_parts(k, AIOS_ROLE_TOOL, &result, 1);
#define INPUT "{'model':'m','input':[{'role':'system','content':[{'type':'input_text','text':'Be brief.'}]},{'role':'user','content':[{'type':'input_text','text':'see'}," \
              "{'type':'input_image','detail':'auto','image_url':'data:image/png;base64,YWJj'}," \
              "{'type':'input_file','filename':'file.pdf','file_data':'data:application/pdf;base64,JVBERg=='}]},{'role':'assistant','content':'I look.'}," \
              "{'type':'function_call','call_id':'c1','name':'f','arguments':'{\\'a\\':1}'},{'type':'function_call_output','call_id':'c1','output':'r1'}]"
    check_request(k, "/responses", INPUT ",'store':false,'include':['reasoning.encrypted_content'],'stream':true}");
    aios_sampling p = AIOS_INIT(aios_sampling);
    p.temperature = 0.5f;
    k->req.sampling = &p;
    k->req.tools = tools;
    k->req.tool_stride = sizeof *tools;
    k->req.n_tools = 2;
    k->req.tool_choice = AIOS_TOOLS_NAMED;
    k->req.tool_name = "g";
    k->req.flags = AIOS_REQUEST_ONE_CALL;
    k->req.schema_json = strict;
    k->req.max_tokens = 9;
    k->req.max_reasoning = 100;
    k->m.server.keep = true;
#define MORE ",'tools':[{'strict':true,'type':'function','name':'f','description':'does','parameters':" STRICT "},{'strict':false,'type':'function','name':'g'," \
             "'parameters':{'type':'object','properties':{}}}],'tool_choice':{'type':'function','name':'g'},'parallel_tool_calls':false," \
             "'text':{'format':{'strict':true,'type':'json_schema','name':'reply','schema':" STRICT "}}"
    check_request(k, "/responses", INPUT MORE ",'temperature':0.5,'max_output_tokens':9,'reasoning':{'summary':'auto','effort':'low'},'store':true,'stream':true}");
    aios__message q;
    aios__message_init(&k->m, &q);
    must(aios__dialect_responses.encode_count(&k->m.server, &k->req, &q, &k->err), &k->err);
    assert_string_equal(q.path.p, "/responses/input_tokens");
    assert_string_equal(q.body.p, quoted(INPUT MORE "}"));
    aios__message_free(&q);
    const char *stop[] = {"x", NULL};
    k->req.stop = stop;
    aios__message_init(&k->m, &q);
    assert_int_equal(aios__remote_encode(&k->m, &k->req, &q, &k->err), AIOS_ENOTSUP);
    assert_non_null(strstr(k->err.msg, "openai:"));
    aios__message_free(&q);
    free(strict);
    desk_close(k);
}

static void test_logprobs_are_asked_for(void **state)
{
    (void)state;
    desk *k = open_desk();
    add_text(k, AIOS_ROLE_USER, "q");
    k->req.flags = AIOS_REQUEST_LOGPROBS;
    k->req.n_top = 2;
#define ASKED "{'model':'m','input':[{'role':'user','content':[{'type':'input_text','text':'q'}]}],'store':"
    check_request(k, "/responses", ASKED "false,'top_logprobs':2,'include':['reasoning.encrypted_content','message.output_text.logprobs'],'stream':true}");
    k->m.server.keep = true;
    check_request(k, "/responses", ASKED "true,'top_logprobs':2,'include':['message.output_text.logprobs'],'stream':true}");
    desk_close(k);
}

/* What was signed goes back in front of what it led to, and nowhere else; of another dialect nothing does. */
static void test_sealed_reasoning(void **state)
{
    (void)state;
    desk *k = open_desk();
    const aios_part calls[] = {part(AIOS_PART_REASONING, "hm", NULL, "openai-responses/reasoning rs1 gAAA=", NULL), part(AIOS_PART_CALL, "{}", "f", "c1", NULL),
                               part(AIOS_PART_REASONING, "", NULL, "openai-responses/reasoning rs2 gBBB=", NULL)};
    const aios_part text[] = {part(AIOS_PART_REASONING, "", NULL, "openai-responses/reasoning  gCCC=", NULL), part(AIOS_PART_REASONING, "x", NULL, "anthropic/thinking s", NULL),
                              part(AIOS_PART_TEXT, "Yes.", NULL, NULL, NULL)};
    const aios_part result = part(AIOS_PART_RESULT, "r", "f", "c1", NULL);
    add_text(k, AIOS_ROLE_USER, "q");
    add_parts(k, AIOS_ROLE_ASSISTANT, calls, 3);
    add_parts(k, AIOS_ROLE_TOOL, &result, 1);
    add_parts(k, AIOS_ROLE_ASSISTANT, text, 3);
    check_request(k, "/responses",
                  "{'model':'m','input':[{'role':'user','content':[{'type':'input_text','text':'q'}]},"
                  "{'type':'reasoning','id':'rs1','summary':[{'type':'summary_text','text':'hm'}],'encrypted_content':'gAAA='},"
                  "{'type':'function_call','call_id':'c1','name':'f','arguments':'{}'},{'type':'function_call_output','call_id':'c1','output':'r'},"
                  "{'type':'reasoning','summary':[],'encrypted_content':'gCCC='},{'role':'assistant','content':'Yes.'}],"
                  "'store':false,'include':['reasoning.encrypted_content'],'stream':true}");
    k->m.server.seal = "openai-responses@https://other.test"; /* another origin gets none of it, even in the same dialect */
    check_request(k, "/responses",
                  "{'model':'m','input':[{'role':'user','content':[{'type':'input_text','text':'q'}]},"
                  "{'type':'function_call','call_id':'c1','name':'f','arguments':'{}'},{'type':'function_call_output','call_id':'c1','output':'r'},"
                  "{'role':'assistant','content':'Yes.'}],'store':false,'include':['reasoning.encrypted_content'],'stream':true}");
    desk_close(k);
}

#define EV(type, rest) "event: " type "\ndata: {'type':'" type "','sequence_number':1," rest "}\n\n"
#define CREATED EV("response.created", "'response':{'id':'r','object':'response','status':'in_progress','error':null,'incomplete_details':null,'output':[]}")
#define COMPLETED EV("response.completed", "'response':{'id':'r','object':'response','status':'completed','error':null,'incomplete_details':null,'usage':{'input_tokens':20," \
                     "'input_tokens_details':{'cached_tokens':4},'output_tokens':9,'output_tokens_details':{'reasoning_tokens':5},'total_tokens':29}}")

static const struct {
    const char *name, *stream;
    int code;
    const char *what;
} streams[] = {
    {"text with summaries of reasoning",
     CREATED EV("response.output_item.added", "'output_index':0,'item':{'type':'reasoning','id':'rs','summary':[]}")
     EV("response.reasoning_summary_part.added", "'output_index':0,'summary_index':0,'part':{'type':'summary_text','text':''}")
     EV("response.reasoning_summary_text.delta", "'output_index':0,'summary_index':0,'delta':'hm'")
     EV("response.reasoning_summary_part.added", "'output_index':0,'summary_index':1,'part':{'type':'summary_text','text':''}")
     EV("response.reasoning_summary_text.delta", "'output_index':0,'summary_index':1,'delta':'so'")
     EV("response.output_item.added", "'output_index':1,'item':{'type':'message','id':'m','role':'assistant','content':[]}")
     EV("response.output_text.delta", "'output_index':1,'content_index':0,'delta':'Hel','logprobs':[]")
     EV("response.output_text.delta", "'output_index':1,'content_index':0,'delta':'lo \xe2\x82\xac','logprobs':[],'obfuscation':'x'")
     EV("response.output_text.done", "'output_index':1,'content_index':0,'text':'Hello \xe2\x82\xac'") COMPLETED,
     0, "R:hm\n\nso|T:Hello \xe2\x82\xac|U:20/4/9/5|S:stop"},
    {"gpt-oss: reasoning itself", EV("response.reasoning_text.delta", "'output_index':0,'content_index':0,'delta':'hm'") EV("response.output_text.delta", "'delta':'x'") COMPLETED, 0,
     "R:hm|T:x|U:20/4/9/5|S:stop"},
    {"encrypted reasoning",
     EV("response.reasoning_summary_text.delta", "'delta':'hm'")
     EV("response.output_item.done", "'output_index':0,'item':{'type':'reasoning','id':'rs1','summary':[{'type':'summary_text','text':'hm'}],'encrypted_content':'gAAA='}")
     EV("response.output_item.done", "'output_index':1,'item':{'type':'reasoning','id':'rs2','summary':[],'encrypted_content':null}")
     EV("response.output_text.delta", "'delta':'x'") COMPLETED,
     0, "R:hm|G:openai-responses/reasoning rs1 gAAA=|T:x|U:20/4/9/5|S:stop"},
    {"logprobs",
     EV("response.output_text.delta", "'delta':'x','logprobs':[{'token':'x','logprob':-0.5,'top_logprobs':[{'token':'x','logprob':-0.5},{'token':'y','logprob':-1}]}]") COMPLETED,
     0, "T:x|L:[{'token':'x','logprob':-0.5,'top':[{'token':'x','logprob':-0.5},{'token':'y','logprob':-1}]}]|U:20/4/9/5|S:stop"},
    {"encrypted reasoning in one piece",
     "{'object':'response','status':'completed','output':[{'type':'reasoning','id':'rs1','summary':[],'encrypted_content':'gAAA='},"
     "{'type':'message','content':[{'type':'output_text','text':'x'}]}]}",
     0, "G:openai-responses/reasoning rs1 gAAA=|T:x|S:stop"},
    {"two calls",
     CREATED EV("response.output_item.added", "'output_index':0,'item':{'type':'function_call','id':'fc1','call_id':'c1','name':'f','arguments':''}")
     EV("response.function_call_arguments.delta", "'output_index':0,'item_id':'fc1','delta':'{\\'a\\''")
     EV("response.function_call_arguments.delta", "'output_index':0,'item_id':'fc1','delta':':1}'")
     EV("response.function_call_arguments.done", "'output_index':0,'item_id':'fc1','arguments':'{\\'a\\':1}'")
     EV("response.output_item.done", "'output_index':0,'item':{'type':'function_call','id':'fc1','call_id':'c1','name':'f','arguments':'{\\'a\\':1}'}")
     EV("response.output_item.added", "'output_index':1,'item':{'type':'function_call','id':'fc2','call_id':'c2','name':'g','arguments':''}")
     EV("response.output_item.done", "'output_index':1,'item':{'type':'function_call','id':'fc2','call_id':'c2','name':'g','arguments':'{}'}") COMPLETED,
     0, "C:f{'a':1}#c1|C:g{}#c2|U:20/4/9/5|S:tool_calls"},
    {"refusal", EV("response.refusal.delta", "'delta':'I can'") EV("response.refusal.delta", "'delta':'not'") COMPLETED, AIOS_EREFUSED, "T:I cannot|U:20/4/9/5"},
    {"limit",
     EV("response.output_text.delta", "'delta':'x'") EV("response.incomplete", "'response':{'object':'response','status':'incomplete','incomplete_details':{'reason':"
     "'max_output_tokens'},'usage':{'input_tokens':1,'output_tokens':2}}"),
     0, "T:x|U:1/0/2/0|S:length"},
    {"filter", EV("response.output_text.delta", "'delta':'x'") EV("response.incomplete", "'response':{'incomplete_details':{'reason':'content_filter'}}"), AIOS_EFILTERED, "T:x"},
    {"failed",
     EV("response.output_text.delta", "'delta':'x'") EV("response.failed", "'response':{'object':'response','status':'failed','error':{'code':'server_error','message':'We broke.'}}"),
     AIOS_EUNAVAIL, "T:x"},
    {"rate", EV("response.failed", "'response':{'object':'response','status':'failed','error':{'code':'rate_limit_exceeded','message':'Slow down.'}}"), AIOS_ERATE, ""},
    {"error event", EV("error", "'code':'server_error','message':'We broke.','param':null"), AIOS_EUNAVAIL, ""},
    {"error event with an object (dyad#1672)",
     EV("error", "'error':{'type':'invalid_request_error','code':'context_length_exceeded','message':'Your input exceeds the context window of this model. Please adjust your "
     "input and try again.','param':'input'}"), AIOS_ECONTEXT, ""},
    {"cut", CREATED EV("response.output_text.delta", "'delta':'x'"), AIOS_EPROTO, "T:x"},
    {"[DONE] at the end, as some servers have it", EV("response.output_text.delta", "'delta':'x'") COMPLETED "data: [DONE]\n\n", 0, "T:x|U:20/4/9/5|S:stop"},
    {"in one piece",
     "{'id':'r','object':'response','status':'completed','error':null,'incomplete_details':null,'output':[{'type':'reasoning','summary':[{'type':'summary_text','text':'hm'}]},"
     "{'type':'message','role':'assistant','content':[{'type':'output_text','text':'x','annotations':[]}]},{'type':'function_call','call_id':'c','name':'f','arguments':'{}'}],"
     "'usage':{'input_tokens':3,'output_tokens':4}}",
     0, "R:hm|T:x|C:f{}#c|U:3/0/4/0|S:tool_calls"},
    {"a refusal in one piece", "{'object':'response','output':[{'type':'message','content':[{'type':'refusal','refusal':'No.'}]}]}", AIOS_EREFUSED, "T:No."},
};

static void test_streams(void **state)
{
    (void)state;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(streams); i++) {
        desk *k = open_desk();
        print_message("%s\n", streams[i].name);
        check_stream(k, streams[i].stream, streams[i].code, streams[i].what);
        desk_close(k);
    }
}

static void test_count(void **state)
{
    (void)state;
    static const struct {
        const char *reply;
        int code;
    } rows[] = {{"{'object':'response.input_tokens','input_tokens':123}", 0}, {"{'input_tokens':-1}", AIOS_EPROTO}, {"{}", AIOS_EPROTO}, {"{'input_tokens':4294967296}", AIOS_EPROTO}};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        desk *k = open_desk();
        aios__json_doc *doc;
        uint32_t n = 0;
        const char *s = quoted(rows[i].reply);
        must(aios__json_parse(k->m.heap, s, strlen(s), &doc, &k->err), &k->err);
        assert_int_equal(aios__dialect_responses.decode_count(aios__json_root(doc), &n, &k->err), rows[i].code);
        assert_int_equal(n, rows[i].code ? 0 : 123);
        aios__json_free(doc);
        desk_close(k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_requests), cmocka_unit_test(test_sealed_reasoning), cmocka_unit_test(test_logprobs_are_asked_for), cmocka_unit_test(test_streams), cmocka_unit_test(test_count)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
