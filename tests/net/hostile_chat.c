/* SPDX-License-Identifier: Apache-2.0 */
/* Event streams, and what chat completions of real servers hold. Each of the quirks has been met in the wild. */
#include "hostile_rows.h"

#define A16 "aaaaaaaaaaaaaaaa"
#define A64 A16 A16 A16 A16

#define PROTO AIOS_EPROTO
#define LIMIT AIOS_ELIMIT

#define S(events) HEAD(OK_SSE events)
/* A piece of a call, and how a turn of calls ends. */
#define CALL(json) DELTA("{'tool_calls':[" json "]}")
#define CALLED STOP_FOR("tool_calls") DONE
#define ADD(index, id, args) CALL("{'index':" index ",'id':'" id "','type':'function','function':{'name':'add','arguments':'" args "'}}")
#define MORE(index, args) CALL("{'index':" index ",'function':{'arguments':'" args "'}}")
#define USAGE(json) EV("{'choices':[],'usage':" json "}")
/* Twelve bytes that tell connection and place. */
#define N(nn) T("########-" nn " ")
#define NUMBERED N("00") N("01") N("02") N("03") N("04") N("05") N("06") N("07") N("08") N("09") N("10") N("11") N("12") N("13") N("14") \
    N("15") N("16") N("17") N("18") N("19") N("20") N("21") N("22") N("23")

const hostile_row hostile_chat[] = {
    {.name = "numbered", S(NUMBERED STOP DONE)},
    {.name = "mixed", S(": hi\n\n" DELTA("{'role':'assistant','content':null}") DELTA("{'reasoning_content':'Hm\\u00e4'}") T("Hel") ADD("0",
     "c1", "{\\'a\\'") MORE("0", ":1}")
     ADD("1", "c2", "{}") T("\xf0\x9f\x98\x80") USAGE("{'prompt_tokens':9,'completion_tokens':4,'prompt_tokens_details':{'cached_tokens':3}}")
     CALLED)},

    /* ---- lines ---- */
    {.name = "lines-by-CRLF", HEAD(OK_SSE
     "data: {'choices':[{'index':0,'delta':{'content':'Hello'}}]}\r\n\r\n"
     "data: {'choices':[{'index':0,'delta':{},'finish_reason':'stop'}]}\r\n\r\ndata: [DONE]\r\n\r\n"),
     .text = "Hello"},
    {.name = "lines-by-CR", HEAD(OK_SSE
     "data: {'choices':[{'index':0,'delta':{'content':'Hello'}}]}\r\r"
     "data: {'choices':[{'index':0,'delta':{},'finish_reason':'stop'}]}\r\rdata: [DONE]\r\r"),
     .text = "Hello"},
    {.name = "lines-by-turns", HEAD(OK_SSE
     "data: {'choices':[{'index':0,'delta':{'content':'Hello'}}]}\r\n\r"
     "data: {'choices':[{'index':0,'delta':{},'finish_reason':'stop'}]}\n\r\ndata: [DONE]\r\n\n"),
     .piece = 1, .text = "Hello"},
    {.name = "stream-with-a-BOM", S("\xef\xbb\xbf" HELLO), .text = "Hello"},
    {.name = "data-without-a-blank", HEAD(OK_SSE
     "data:{'choices':[{'index':0,'delta':{'content':'Hello'}}]}\n\n"
     "data:{'choices':[{'index':0,'delta':{},'finish_reason':'stop'}]}\n\ndata:[DONE]\n\n"),
     .text = "Hello"},
    {.name = "data-in-two-lines", S("data: {'choices':[{'index':0,\ndata: 'delta':{'content':'Hel'}}]}\n\n" T("lo") STOP DONE), .text = "Hello"},
    {.name = "data-twice", S("data: " T("Hel") T("lo") STOP DONE), .turn = PROTO, .text = ""},
    {.name = "data-empty", S("data\n\ndata:\n\ndata: \n\n" HELLO), .text = "Hello"},
    {.name = "comment-flood", HEAD(OK_SSE T("Hel")), LOOP(": PROCESSING\n\n", 200000), TAIL(T("lo") STOP DONE), .text = "Hello"},
    {.name = "ping-by-colon", S(":\n\n:\n\n" T("Hel") ":\n\n" T("lo") STOP DONE), .text = "Hello"},
    {.name = "ping-event", S("event: ping\ndata: {'type':'ping'}\n\n" HELLO), .text = "Hello"},
    {.name = "unknown-fields", S("id: 7\nretry: 99999999999999\nfoo: bar\nevent: message\n" T("Hel") "id: a\0b\n" T("lo") STOP DONE), .text =
     "Hello"},
    {.name = "retry-in-the-stream", S("retry: 0\n\nretry: -1\n\n" HELLO), .text = "Hello"},
    {.name = "last-line-unfinished", S(T("Hel") T("lo") STOP "data: [DONE]"), .text = "Hello"},
    {.name = "finish-unfinished", S(T("Hel") T("lo") "data: {'choices':[{'index':0,'delta':{},'finish_reason':'stop'}]}"), .text = "Hello"},
    {.name = "line-of-10-MiB", HEAD(OK_SSE T("Hel") "data: "), LOOP(A64, MIB(10) / 64), TAIL("\n\n" HELLO), .turn = LIMIT, .text = "Hel"},
    {.name = "comment-of-10-MiB", HEAD(OK_SSE T("Hel") ":"), LOOP(A64, MIB(10) / 64), TAIL("\n\n" T("lo") STOP DONE), .turn = LIMIT, .text =
     "Hel"},
    {.name = "event-of-a-million-lines", HEAD(OK_SSE T("Hel")), LOOP("data: x\n", 1000000), TAIL("\n" HELLO), .turn = LIMIT, .text = "Hel"},
    {.name = "id-of-2-MiB", HEAD(OK_SSE T("Hel") "id: "), LOOP(A64, MIB(2) / 64), TAIL("\n" T("lo") STOP DONE), .turn = LIMIT, .text = "Hel"},
    {.name = "a-million-empty-events", HEAD(OK_SSE T("Hel")), LOOP("\n", 1000000), TAIL(T("lo") STOP DONE), .text = "Hello"},
    {.name = "300000-empty-deltas", HEAD(OK_SSE T("Hel")), LOOP(DELTA("{}"), 150000), TAIL(T("lo") STOP DONE), .text = "Hello"},

    /* ---- JSON of an event ---- */
    {.name = "json-not-at-all", S(T("Hel") EV("hello") STOP DONE), .turn = PROTO, .text = "Hel"},
    {.name = "json-cut", S(T("Hel") EV("{'choices':[{'index':0,'delta':{'content':'l") T("o") STOP DONE), .turn = PROTO, .text = "Hel"},
    {.name = "json-and-more", S(T("Hel") EV("{'choices':[]}{'choices':[]}") STOP DONE), .turn = PROTO, .text = "Hel"},
    {.name = "json-with-raw-NUL", S(T("Hel") T("a\0b") STOP DONE), .turn = PROTO, .text = "Hel"},
    {.name = "json-with-u0000", S(T("Hel") T("a\\u0000b") STOP DONE), .turn = PROTO, .text = "Hel"},
    {.name = "json-lone-surrogate", S(T("Hel") T("\\ud83d") STOP DONE), .turn = PROTO, .text = "Hel"},
    {.name = "json-surrogates-in-two-events", S(T("Hel") T("\\ud83d") T("\\ude00") STOP DONE), .turn = PROTO, .text = "Hel"},
    {.name = "json-invalid-utf8", S(T("Hel") T("\xff\xfe") STOP DONE), .turn = HOSTILE_ANY},
    {.name = "json-overlong-utf8", S(T("Hel") T("\xc0\xaf") STOP DONE), .turn = HOSTILE_ANY},
    {.name = "json-utf8-in-two-events", S(T("Hel") T("\xf0\x9f") T("\x98\x80") STOP DONE), .turn = HOSTILE_ANY},
    {.name = "json-duplicate-keys", S(T("Hel") EV("{'choices':[{'index':0,'delta':{'content':'lo','content':'EVIL'}}]}") STOP DONE), .turn =
     PROTO, .text = "Hel"},
    {.name = "json-deep", HEAD(OK_SSE T("Hel") "data: "), LOOP("[", 100000), TAIL("\n\n" STOP DONE), .turn = PROTO, .text = "Hel"},
    {.name = "json-number-1e999", S(T("Hel") EV("{'choices':[],'created':1e999}") STOP DONE), .turn = PROTO, .text = "Hel"},
    {.name = "json-integer-of-30-digits", S(T("Hel") EV("{'choices':[],'created':100000000000000000000000000000}") T("lo") STOP DONE), .turn =
     HOSTILE_ANY},
    {.name = "event-null", S(T("Hel") EV("null") T("lo") STOP DONE), .turn = HOSTILE_ANY},
    {.name = "event-17", S(T("Hel") EV("17") STOP DONE), .turn = HOSTILE_ANY},
    {.name = "event-array", S(T("Hel") EV("[]") T("lo") STOP DONE), .turn = HOSTILE_ANY},
    {.name = "event-empty-object", S(T("Hel") EV("{}") T("lo") STOP DONE), .text = "Hello"},

    /* ---- the end ---- */
    {.name = "done-missing", S(T("Hel") T("lo") STOP), .text = "Hello"},
    {.name = "done-twice", S(HELLO DONE), .text = "Hello"},
    {.name = "done-without-finish", S(T("Hel") T("lo") DONE), .text = "Hello"},
    {.name = "done-alone", S(DONE), .turn = PROTO, .text = ""},
    {.name = "done-early", S(T("Hel") STOP DONE T("lo") STOP DONE), .text = "Hel"},
    {.name = "garbage-behind-done", S(HELLO "\xff\0\0 garbage\n\ndata: {{{{\n\n"), .text = "Hello"},
    {.name = "error-behind-done", S(HELLO EV("{'error':{'message':'late'}}")), .text = "Hello"},
    {.name = "finish-twice", S(T("Hello") STOP STOP DONE), .text = "Hello"},
    {.name = "finish-empty-in-every-event", S(EV("{'choices':[{'index':0,'delta':{'content':'Hel'},'finish_reason':''}]}")
     EV("{'choices':[{'index':0,'delta':{'content':'lo'},'finish_reason':''}]}") STOP DONE),
     .text = "Hello"},
    {.name = "finish-with-the-last-text", S(T("Hel") EV("{'choices':[{'index':0,'delta':{'content':'lo'},'finish_reason':'stop'}]}") DONE),
     .text = "Hello"},
    {.name = "finish-unknown", S(T("Hello") STOP_FOR("banana") DONE), .text = "Hello"},
    {.name = "finish-a-number", S(T("Hello") EV("{'choices':[{'index':0,'delta':{},'finish_reason':7}]}") DONE), .text = "Hello"},
    {.name = "finish-delta-null", S(T("Hello") EV("{'choices':[{'index':0,'delta':null,'finish_reason':'stop'}]}") DONE), .text = "Hello"},
    {.name = "finish-delta-missing", S(T("Hello") EV("{'choices':[{'index':0,'finish_reason':'stop'}]}") DONE), .text = "Hello"},
    {.name = "finish-length", S(T("Hello") STOP_FOR("length") DONE), .text = "Hello"},
    {.name = "finish-filtered", S(T("Hel") STOP_FOR("content_filter") DONE), .turn = AIOS_EFILTERED, .text = "Hel"},
    {.name = "refusal", S(DELTA("{'refusal':'I will not.'}") STOP DONE), .turn = AIOS_EREFUSED},

    /* ---- choices and deltas ---- */
    {.name = "choices-empty", S(EV("{'choices':[]}") T("Hel") EV("{'choices':[],'prompt_filter_results':[]}") T("lo") STOP DONE), .text =
     "Hello"},
    {.name = "choices-null", S(EV("{'choices':null}") HELLO), .text = "Hello"},
    {.name = "choices-an-object", S(T("Hel") EV("{'choices':{'index':0}}") STOP DONE), .turn = HOSTILE_ANY},
    {.name = "choices-of-numbers", S(T("Hel") EV("{'choices':[1,2,null]}") STOP DONE), .turn = HOSTILE_ANY},
    {.name = "choice-7", S(T("Hel") EV("{'choices':[{'index':7,'delta':{'content':'EVIL'}}]}") T("lo") STOP DONE), .text = "Hello"},
    {.name = "choices-two", S(EV("{'choices':[{'index':1,'delta':{'content':'EVIL'}},{'index':0,'delta':{'content':'Hello'}}]}") STOP DONE),
     .text = "Hello"},
    {.name = "choice-without-index", S(EV("{'choices':[{'delta':{'content':'Hello'}}]}") STOP DONE), .text = "Hello"},
    {.name = "choice-index-a-string", S(EV("{'choices':[{'index':'0','delta':{'content':'Hello'}}]}") STOP DONE), .turn = HOSTILE_ANY},
    {.name = "content-null", S(DELTA("{'role':'assistant','content':null}") HELLO), .text = "Hello"},
    {.name = "content-a-number", S(T("Hel") DELTA("{'content':42}") T("lo") STOP DONE), .turn = HOSTILE_ANY},
    {.name = "content-parts", S(DELTA("{'content':[{'type':'text','text':'Hello'}]}") STOP DONE), .turn = HOSTILE_ANY},
    {.name = "content-in-a-message", S(EV("{'choices':[{'index':0,'message':{'content':'Hello'},'finish_reason':'stop'}]}") DONE), .turn =
     HOSTILE_ANY},
    {.name = "role-in-every-delta", S(DELTA("{'role':'assistant','content':'Hel'}") DELTA("{'role':'assistant','content':'lo'}") STOP DONE),
     .text = "Hello"},
    {.name = "content-of-1-MiB", .flags = HOSTILE_BIG, HEAD(OK_SSE), LOOP(T(A64 A64 A64 A64), 4096), TAIL(STOP DONE)},

    /* ---- calls ---- */
    {.name = "call", S(ADD("0", "c1", "{\\'a\\':1}") CALLED), .calls = "add({\"a\":1})"},
    {.name = "call-in-pieces", S(ADD("0", "c1", "") MORE("0", "{\\'a\\'") MORE("0", ":1}") CALLED), .calls = "add({\"a\":1})"},
    {.name = "calls-interleaved", S(ADD("0", "c1", "{\\'a\\'") ADD("1", "c2", "{\\'b\\'") MORE("0", ":1}") MORE("1", ":2}") CALLED), .calls =
     "add({\"a\":1})add({\"b\":2})"},
    {.name = "calls-all-at-index-0", S(ADD("0", "c1", "{\\'a\\':1}") ADD("0", "c2", "{\\'b\\':2}") CALLED), .calls =
     "add({\"a\":1})add({\"b\":2})"},
    {.name = "call-id-empty-later", S(ADD("0", "c1", "{\\'a\\'") CALL("{'index':0,'id':'','function':{'name':'','arguments':':1}'}}") CALLED),
     .calls = "add({\"a\":1})"},
    {.name = "call-id-repeated", S(ADD("0", "c1", "{\\'a\\'") ADD("0", "c1", ":1}") CALLED), .calls = "add({\"a\":1})"},
    {.name = "call-without-id", S(CALL("{'index':0,'function':{'name':'add','arguments':'{}'}}") CALLED), .calls = "add({})"},
    {.name = "call-without-index", S(CALL("{'id':'c1','function':{'name':'add','arguments':'{}'}}") CALLED), .calls = "add({})"},
    {.name = "call-index-negative", S(ADD("-1", "c1", "{}") CALLED), .turn = HOSTILE_ANY},
    {.name = "call-index-2^31", S(ADD("2147483648", "c1", "{}") CALLED), .turn = HOSTILE_ANY},
    {.name = "call-index-2^63-1", S(ADD("9223372036854775807", "c1", "{}") CALLED), .turn = HOSTILE_ANY},
    {.name = "call-index-1e30", S(ADD("1e30", "c1", "{}") CALLED), .turn = HOSTILE_ANY},
    {.name = "call-index-a-string", S(ADD("'0'", "c1", "{}") CALLED), .turn = HOSTILE_ANY},
    {.name = "call-without-name", S(CALL("{'index':0,'id':'c1','function':{'arguments':'{}'}}") CALLED), .turn = PROTO},
    {.name = "call-name-null", S(CALL("{'index':0,'id':'c1','function':{'name':null,'arguments':'{}'}}") CALLED), .turn = PROTO},
    {.name = "call-name-strange", S(CALL("{'index':0,'id':'c1','function':{'name':'a b\\n\\u001b[2J','arguments':'{}'}}") CALLED), .turn =
     HOSTILE_ANY},
    {.name = "call-name-of-100-KiB", HEAD(OK_SSE
     "data: {'choices':[{'index':0,'delta':{'tool_calls':[{'index':0,'id':'c1','function':{'name':'"), LOOP(A64, KIB(100) / 64),
     TAIL("','arguments':'{}'}}]}}]}\n\n" CALLED), .turn = PROTO},
    {.name = "call-id-of-100-KiB", HEAD(OK_SSE "data: {'choices':[{'index':0,'delta':{'tool_calls':[{'index':0,'id':'"), LOOP(A64, KIB(100) /
     64),
     TAIL("','function':{'name':'add','arguments':'{}'}}]}}]}\n\n" CALLED), .turn = HOSTILE_ANY},
    {.name = "call-arguments-missing", S(CALL("{'index':0,'id':'c1','function':{'name':'add'}}") CALLED), .calls = "add({})"},
    {.name = "call-arguments-empty", S(ADD("0", "c1", "") CALLED), .calls = "add({})"},
    {.name = "call-arguments-null", S(CALL("{'index':0,'id':'c1','function':{'name':'add','arguments':null}}") CALLED), .calls = "add({})"},
    {.name = "call-arguments-an-object", S(CALL("{'index':0,'id':'c1','function':{'name':'add','arguments':{'a':1}}}")
     CALLED), .calls = "add({\"a\":1})"},
    /* what a model wrote goes up as it is: the run tells it what is wrong */
    {.name = "call-arguments-no-json", S(ADD("0", "c1", "{\\'a\\': oops") CALLED), .calls = "add({\"a\": oops)"},
    {.name = "call-arguments-cut", S(ADD("0", "c1", "{\\'a\\':") STOP_FOR("length") DONE), .turn = HOSTILE_ANY},
    {.name = "call-arguments-two-values", S(ADD("0", "c1", "{}{}") CALLED), .calls = "add({}{})"},
    {.name = "call-arguments-an-array", S(ADD("0", "c1", "[1,2]") CALLED), .calls = "add([1,2])"},
    {.name = "call-arguments-of-10-MiB", .flags = HOSTILE_BIG, HEAD(OK_SSE ADD("0", "c1", "{\\'a\\':\\'")), LOOP(MORE("0", A64 A64 A64 A64),
     40960), TAIL(MORE("0", "\\'}") CALLED), .turn = HOSTILE_ANY},
    {.name = "calls-10000", .flags = HOSTILE_BIG, HEAD(OK_SSE),
     LOOP(CALL("{'id':'c','function':{'name':'add','arguments':'{}'}},{'index':1,'id':'d','function':{'name':'add','arguments':'{}'}}"), 5000),
     TAIL(CALLED), .turn = HOSTILE_ANY},
    {.name = "calls-null", S(DELTA("{'content':'Hel','tool_calls':null}") T("lo") STOP DONE), .text = "Hello"},
    {.name = "calls-empty", S(DELTA("{'content':'Hel','tool_calls':[]}") T("lo") STOP DONE), .text = "Hello"},
    {.name = "calls-a-string", S(DELTA("{'tool_calls':'add'}") STOP DONE), .turn = HOSTILE_ANY},
    {.name = "calls-but-stop", S(ADD("0", "c1", "{}") STOP DONE), .calls = "add({})"},
    {.name = "calls-without-any", S(T("Hello") CALLED), .text = "Hello"},
    {.name = "call-cut-off", S(ADD("0", "c1", "{\\'a\\':")), .turn = PROTO},
    {.name = "call-then-cut-off", S(ADD("0", "c1", "{}") ADD("1", "c2", "{")), .turn = PROTO},

    /* ---- usage ---- */
    {.name = "usage-negative", S(T("Hello") STOP USAGE("{'prompt_tokens':-5,'completion_tokens':-1,'total_tokens':-6}") DONE), .text = "Hello"},
    {.name = "usage-1e30", S(T("Hello") STOP USAGE("{'prompt_tokens':1e30,'completion_tokens':9223372036854775807}") DONE), .text = "Hello"},
    {.name = "usage-no-numbers", S(T("Hello") STOP USAGE("{'prompt_tokens':'9','completion_tokens':null,'prompt_tokens_details':7}") DONE),
     .text = "Hello"},
    {.name = "usage-null", S(EV("{'choices':[{'index':0,'delta':{'content':'Hello'}}],'usage':null}") STOP DONE), .text = "Hello"},
    {.name = "usage-an-array", S(T("Hello") STOP USAGE("[1,2]") DONE), .text = "Hello"},
    {.name = "usage-cached-over-all", S(T("Hello") STOP
     USAGE("{'prompt_tokens':5,'completion_tokens':1,'prompt_tokens_details':{'cached_tokens':5000}}") DONE), .text = "Hello"},

    /* ---- errors inside of a stream ---- */
    {.name = "stream-error", S(EV("{'error':{'message':'engine is dead','type':'server_error','code':500}}") DONE), .turn = AIOS_EUNAVAIL,
     .text = "", .says = "engine is dead"},
    {.name = "stream-error-late", S(T("Hel") EV("{'error':{'message':'engine is dead','type':'server_error','code':null}}") DONE), .turn =
     HOSTILE_ANY, .text = "Hel"},
    {.name = "stream-error-event", S(T("Hel") "event: error\n" EV("{'message':'engine is dead'}") DONE), .turn = HOSTILE_ANY},
    {.name = "stream-error-a-string", S(T("Hel") EV("{'error':'engine is dead'}") DONE), .turn = HOSTILE_ANY, .text = "Hel"},
    {.name = "stream-error-field",
     S("error: {'code':400,'message':'the request exceeds the available context size','type':'invalid_request_error'}\n\n" DONE), .turn =
     HOSTILE_ANY, .text = ""},
    {.name = "stream-error-rate", S(EV("{'error':{'message':'slow down','type':'rate_limit_error','code':429}}") DONE), .turn = AIOS_ERATE,
     .text = ""},
    {.name = "stream-error-object", S(EV("{'object':'error','message':'engine is dead','type':'BadRequestError','param':null,'code':400}")
     DONE), .turn = HOSTILE_ANY, .text = ""},
    {.name = "stream-error-null", S(EV("{'error':null,'choices':[{'index':0,'delta':{'content':'Hello'}}]}") STOP DONE), .text = "Hello"},
    {0},
};
