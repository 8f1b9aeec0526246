/* SPDX-License-Identifier: Apache-2.0 */
/* Status lines, headers, redirects and errors of HTTP; bodies that are no stream. */
#include "hostile_rows.h"

#define A16 "aaaaaaaaaaaaaaaa"
#define A64 A16 A16 A16 A16

#define PROTO AIOS_EPROTO
#define LIMIT AIOS_ELIMIT

#define LINE(line) HEAD(line "\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" HELLO)
#define FIELD(line) HEAD(OK_LINE line "\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" HELLO)
#define FAILS(status, type, message)                                                                                              \
    HEAD("HTTP/1.1 " status " X\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{'error':{'message':'"                  \
         message "','type':'" type "','code':null}}")
#define LATER(status, after)                                                                                                      \
    HEAD("HTTP/1.1 " status " X\r\nRetry-After: " after "\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"                    \
         "{'error':{'message':'slower'}}")
#define MOVED(status, to) HEAD("HTTP/1.1 " status " Moved\r\nLocation: " to "\r\nContent-Length: 0\r\n\r\n"), .text = ""

const hostile_row hostile_status[] = {
    /* ---- status lines ---- */
    {.name = "http-1.0", LINE("HTTP/1.0 200 OK"), .text = "Hello"},
    {.name = "http-0.9", HEAD(HELLO), .transfer = PROTO, .turn = PROTO, .text = ""},
    {.name = "http-0.9-html", HEAD("<html>no server here</html>"), .transfer = PROTO, .turn = PROTO, .text = ""},
    {.name = "http-3.7", LINE("HTTP/3.7 200 OK"), .transfer = PROTO, .turn = PROTO, .text = ""},
    {.name = "icy", LINE("ICY 200 OK"), .transfer = PROTO, .turn = PROTO, .text = ""},
    {.name = "binary-noise", HEAD("\0\1\2\3\xff\xfe\xfd\n\r\n\r\n\0"), .transfer = PROTO, .turn = PROTO, .text = ""},
    {.name = "status-without-reason", LINE("HTTP/1.1 200"), .text = "Hello"},
    {.name = "status-0", LINE("HTTP/1.1 0 OK"), .transfer = PROTO, .turn = PROTO, .text = ""},
    {.name = "status-000", LINE("HTTP/1.1 000 OK"), .transfer = PROTO, .turn = PROTO, .text = ""},
    {.name = "status-99", LINE("HTTP/1.1 99 OK"), .transfer = PROTO, .turn = PROTO, .text = ""},
    {.name = "status-099", LINE("HTTP/1.1 099 OK"), .transfer = PROTO, .turn = PROTO, .text = ""},
    {.name = "status-600", LINE("HTTP/1.1 600 OK"), .turn = PROTO, .text = ""},
    {.name = "status-999", LINE("HTTP/1.1 999 OK"), .turn = PROTO, .text = ""},
    {.name = "status-2000", LINE("HTTP/1.1 2000 OK"), .transfer = PROTO, .turn = PROTO, .text = ""},
    {.name = "status-negative", LINE("HTTP/1.1 -200 OK"), .transfer = PROTO, .turn = PROTO, .text = ""},
    {.name = "status-abc", LINE("HTTP/1.1 abc OK"), .transfer = PROTO, .turn = PROTO, .text = ""},
    {.name = "status-missing", LINE("HTTP/1.1"), .transfer = PROTO, .turn = PROTO, .text = ""},
    {.name = "upgrade-101", HEAD("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
     HELLO), .transfer = PROTO, .turn = PROTO, .text = ""},
    {.name = "interim-then-final", HEAD("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" OK_SSE HELLO), .text =
     "Hello"},
    {.name = "interim-199", HEAD("HTTP/1.1 199 X\r\n\r\n" OK_SSE HELLO), .text = "Hello"},
    {.name = "empty-200", HEAD(OK_LINE "Content-Length: 0\r\n\r\n"), .turn = PROTO, .text = ""},
    {.name = "no-content-204", HEAD("HTTP/1.1 204 No Content\r\n\r\n"), .turn = PROTO, .text = ""},
    {.name = "no-content-204-with-some", HEAD("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n" HELLO), .turn = PROTO, .text = ""},
    {.name = "reset-content-205", HEAD("HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n"), .turn = PROTO, .text = ""},
    {.name = "partial-content-206", LINE("HTTP/1.1 206 Partial"), .text = "Hello"},
    {.name = "not-modified-304", HEAD("HTTP/1.1 304 Not Modified\r\n\r\n"), .turn = PROTO, .text = ""},

    /* ---- headers ---- */
    {.name = "header-without-colon", FIELD("no colon here"), .transfer = PROTO, .turn = PROTO, .text = ""},
    {.name = "header-without-name", FIELD(": value"), .text = "Hello"},
    {.name = "header-with-NUL", FIELD("X: a\0b"), .transfer = PROTO, .turn = PROTO, .text = ""},
    {.name = "header-with-lone-CR", FIELD("X: a\rContent-Length: 3"), .text = "Hello"},
    {.name = "header-folded", FIELD("X: a\r\n b\r\n\tc"), .text = "Hello"},
    {.name = "header-of-binary", FIELD("X: \x80\xff\xfe\x1b[2J"), .text = "Hello"},
    {.name = "header-lines-by-LF", HEAD("HTTP/1.1 200 OK\nContent-Type: text/event-stream\nConnection: close\n\n" HELLO), .text = "Hello"},
    {.name = "header-repeated", FIELD("Content-Type: text/html\r\nContent-Type: image/png\r\nRetry-After: 5\r\nRetry-After: 1e12"), .text =
     "Hello"},
    {.name = "set-cookie-flood", HEAD(OK_LINE), LOOP("Set-Cookie: a=b; Path=/; Domain=example.com\r\n", 1000), TAIL("Connection: close\r\n\r\n"
     HELLO), .text = "Hello"},
    {.name = "content-type-missing", HEAD(OK_LINE "Connection: close\r\n\r\n" HELLO), .text = "Hello"},
    {.name = "content-type-plain", HEAD(OK_LINE "Content-Type: text/plain\r\nConnection: close\r\n\r\n" HELLO), .text = "Hello"},
    {.name = "content-type-image", HEAD(OK_LINE "Content-Type: image/png\r\nConnection: close\r\n\r\n\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), .turn =
     PROTO, .text = ""},
    {.name = "alt-svc", FIELD("Alt-Svc: h3='127.0.0.1:@@@@@', h2='127.0.0.1:@@@@@'"), .text = "Hello"},
    {.name = "refresh", FIELD("Refresh: 0; url=http://127.0.0.1:@@@@@/\r\nLocation: http://127.0.0.1:@@@@@/"), .text = "Hello"},

    /* ---- redirects: a request is repeated by 307 and 308 alone, a few times, and on this machine if it began there ---- */
    {.name = "redirect-once", HEAD("HTTP/1.1 307 Moved\r\nLocation: /v1/chat/completions/\r\nContent-Length: 0\r\n\r\n"), .then = "plain", .text = "Hello"},
    {.name = "redirect-to-the-world", MOVED("308", "https://93.184.216.34/v1/chat/completions"), .turn = AIOS_EDENIED, .says = "public"},
    {.name = "redirect-to-the-site", MOVED("307", "http://10.0.0.1/"), .turn = AIOS_EDENIED, .says = "private"},
    {.name = "redirect-307-to-metadata", MOVED("307", "http://169.254.169.254/latest/meta-data/"), .turn = AIOS_EDENIED, .says = "link-local"},
    {.name = "redirect-301", MOVED("301", "http://127.0.0.1:@@@@@/v1/chat/completions"), .turn = PROTO},
    {.name = "redirect-302", MOVED("302", "//127.0.0.1:@@@@@/"), .turn = PROTO},
    {.name = "redirect-303", MOVED("303", "http://127.0.0.1:@@@@@/"), .turn = PROTO},
    {.name = "redirect-307", MOVED("307", "http://user:password@127.0.0.1:@@@@@/"), .turn = PROTO},
    {.name = "redirect-308", MOVED("308", "gopher://localhost:@@@@@/"), .turn = PROTO},
    {.name = "redirect-to-itself", MOVED("307", "/v1/chat/completions"), .turn = PROTO},
    {.name = "redirect-to-a-file", MOVED("302", "file:///etc/passwd"), .turn = PROTO},
    {.name = "redirect-to-gopher", MOVED("302", "gopher://127.0.0.1:@@@@@/_GET"), .turn = PROTO},
    {.name = "redirect-to-metadata", MOVED("302", "http://169.254.169.254/latest/meta-data/"), .turn = PROTO},
    {.name = "redirect-to-nowhere", MOVED("302", ""), .turn = PROTO},
    {.name = "redirect-to-nonsense", MOVED("302", "http://\x01\xff[::1"), .turn = PROTO},
    {.name = "redirect-300", MOVED("300", "http://127.0.0.1:@@@@@/"), .turn = PROTO},
    {.name = "use-proxy-305", MOVED("305", "http://127.0.0.1:@@@@@/"), .turn = PROTO},

    /* ---- errors ---- */
    {.name = "error-400", FAILS("400", "invalid_request_error", "no such field"), .turn = AIOS_EINVAL, .text = "", .says = "no such field"},
    {.name = "error-401", FAILS("401", "authentication_error", "bad key"), .turn = AIOS_EAUTH, .text = "", .says = "bad key"},
    {.name = "error-403", FAILS("403", "permission_error", "not yours"), .turn = AIOS_EAUTH, .text = ""},
    {.name = "error-404", FAILS("404", "not_found_error", "no such model"), .turn = AIOS_ENOENT, .text = ""},
    {.name = "error-413", FAILS("413", "request_too_large", "too long"), .turn = AIOS_ELIMIT, .text = ""},
    {.name = "error-429", FAILS("429", "rate_limit_error", "slow down"), .turn = AIOS_ERATE, .text = ""},
    {.name = "error-500", FAILS("500", "server_error", "oops"), .turn = AIOS_EUNAVAIL, .text = ""},
    {.name = "error-502-html",
     HEAD("HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<html><body>nginx</body></html>"),
     .turn = AIOS_EUNAVAIL, .text = ""},
    {.name = "error-503-empty", HEAD("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"), .turn = AIOS_EUNAVAIL, .text = ""},
    {.name = "error-504", FAILS("504", "timeout", "upstream"), .turn = AIOS_ETIMEDOUT, .text = ""},
    {.name = "error-529", FAILS("529", "overloaded_error", "overloaded"), .turn = AIOS_EUNAVAIL, .text = ""},
    {.name = "error-418", HEAD("HTTP/1.1 418 X\r\nConnection: close\r\n\r\nshort and stout"), .turn = AIOS_EINVAL, .text = ""},
    {.name = "error-with-a-stream", HEAD("HTTP/1.1 500 X\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" HELLO), .turn =
     AIOS_EUNAVAIL, .text = ""},
    {.name = "error-of-64-MiB", HEAD("HTTP/1.1 500 X\r\n\r\n{'error':{'message':'"), LOOP(A64, MIB(64) / 64), TAIL("'}}"), .transfer = LIMIT,
     .turn = AIOS_EUNAVAIL, .text = ""},
    {.name = "error-without-end", HEAD("HTTP/1.1 500 X\r\n\r\n{'error':{'message':'oops"), .end = HOSTILE_HOLD, .by = BY_IDLE, .transfer =
     AIOS_ETIMEDOUT,
     .turn = AIOS_EUNAVAIL, .text = ""},
    {.name = "error-invalid-utf8", FAILS("500", "x", "\xff\xfe\xc3 oops"), .turn = AIOS_EUNAVAIL, .text = ""},
    {.name = "error-of-escapes", FAILS("500", "x", "\\u001b[2J\\u001b]0;owned\\u0007\\r\\n\\u202e oops"), .turn = AIOS_EUNAVAIL, .text = ""},
    {.name = "error-html-escapes", HEAD("HTTP/1.1 500 X\r\nConnection: close\r\n\r\n<b>\x1b[31m\a\b\x7f\xc2\x9b oops"), .turn = AIOS_EUNAVAIL,
     .text = ""},
    {.name = "error-message-a-number", HEAD("HTTP/1.1 400 X\r\nConnection: close\r\n\r\n{'error':{'message':17,'type':[],'code':{}}}"), .turn =
     AIOS_EINVAL, .text = ""},
    {.name = "error-nested-deep", HEAD("HTTP/1.1 400 X\r\nConnection: close\r\n\r\n{'error':"), LOOP("[", 100000), .turn = AIOS_EINVAL, .text =
     ""},
    {.name = "error-fastapi",
     HEAD("HTTP/1.1 422 X\r\nConnection: close\r\n\r\n{'detail':[{'loc':['body','x'],'msg':'field required','type':'value_error'}]}"),
     .turn = AIOS_EINVAL, .text = ""},
    {.name = "overflow", HEAD("HTTP/1.1 400 X\r\nConnection: close\r\n\r\n{'error':{'message':'The maximum context length is 4096 tokens. "
     "However, your messages resulted in 5000 tokens.','type':'invalid_request_error','code':'context_length_exceeded'}}"),
     .turn = AIOS_ECONTEXT, .text = ""},
    {.name = "error-echo", .flags = HOSTILE_ECHO,
        HEAD("HTTP/1.1 401 X\r\nConnection: close\r\n\r\n{'error':{'message':'Incorrect request: "), TAIL("'}}"),
     .turn = AIOS_EAUTH, .text = ""},
    {.name = "quota", HEAD("HTTP/1.1 429 X\r\nConnection: close\r\n\r\n{'error':{'message':'You exceeded your current quota',"
     "'type':'insufficient_quota','code':'insufficient_quota'}}"),
     .turn = AIOS_EQUOTA, .text = ""},

    /* ---- when to come again (retries are off here; test_hostile_chat.c has them on too) ---- */
    {.name = "later-1e12", LATER("429", "1e12"), .turn = AIOS_ERATE, .then = "plain"},
    {.name = "later-a-million-years", LATER("429", "31557600000000"), .turn = AIOS_ERATE, .then = "plain"},
    {.name = "later-overflowing", LATER("503", "9223372037"), .turn = AIOS_EUNAVAIL, .then = "plain"},
    {.name = "later-of-100-digits", LATER("429",
     "9999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999"),
     .turn = AIOS_ERATE, .then = "plain"},
    {.name = "later-negative", LATER("429", "-5"), .turn = AIOS_ERATE, .then = "plain"},
    {.name = "later-garbage", LATER("429", "soon"), .turn = AIOS_ERATE, .then = "plain"},
    {.name = "later-inf", LATER("429", "inf"), .turn = AIOS_ERATE, .then = "plain"},
    {.name = "later-nan", LATER("503", "nan"), .turn = AIOS_EUNAVAIL, .then = "plain"},
    {.name = "later-empty", LATER("429", ""), .turn = AIOS_ERATE, .then = "plain"},
    {.name = "later-a-date-long-past", LATER("429", "Thu, 01 Jan 1970 00:00:00 GMT"), .turn = AIOS_ERATE, .then = "plain"},
    {.name = "later-a-date-far-off", LATER("429", "Fri, 31 Dec 9999 23:59:59 GMT"), .turn = AIOS_ERATE, .then = "plain"},
    {.name = "later-no-date", LATER("429", "Foo, 99 Bar 99999 99:99:99 XYZ"), .turn = AIOS_ERATE, .then = "plain"},
    {.name = "later-0", LATER("429", "0"), .turn = AIOS_ERATE, .then = "plain"},

    /* ---- bodies that are no stream ---- */
    {.name = "html-200", HEAD(OK_LINE
     "Content-Type: text/html\r\nConnection: close\r\n\r\n<!DOCTYPE html><html><body>Please log in</body></html>"), .turn = PROTO, .text = ""},
    {.name = "json-whole", HEAD(OK_JSON WHOLE("Hello")), .text = "Hello"},
    {.name = "json-half", HEAD(OK_JSON "{'choices':[{'index':0,'message':{'content':'Hel"), .turn = PROTO, .text = ""},
    {.name = "json-with-a-BOM", HEAD(OK_JSON "\xef\xbb\xbf" WHOLE("Hello")), .turn = HOSTILE_ANY},
    {.name = "json-with-NUL", HEAD(OK_JSON "{'choices':[{'index':0,'message':{'content':'a\0b'},'finish_reason':'stop'}]}"), .turn = PROTO,
     .text = ""},
    {.name = "json-nested-100000-deep", HEAD(OK_JSON), LOOP("[", 100000), .turn = PROTO, .text = ""},
    {.name = "json-nested-objects", HEAD(OK_JSON "{'choices':"), LOOP("{'a':", 100000), .turn = PROTO, .text = ""},
    {.name = "json-twice", HEAD(OK_JSON WHOLE("Hello") WHOLE("Evil")), .turn = PROTO, .text = ""},
    {.name = "json-error-200", HEAD(OK_JSON "{'error':{'message':'engine is dead','type':'server_error','code':500}}"), .turn = AIOS_EUNAVAIL,
     .text = "", .says = "engine is dead"},
    {.name = "json-array", HEAD(OK_JSON "[]"), .turn = PROTO, .text = ""},
    {.name = "json-string", HEAD(OK_JSON "'Hello'"), .turn = PROTO, .text = ""},
    {.name = "json-null", HEAD(OK_JSON "null"), .turn = PROTO, .text = ""},
    {.name = "json-no-choices", HEAD(OK_JSON "{}"), .turn = PROTO, .text = ""},
    {.name = "json-of-12-MiB", .flags = HOSTILE_BIG, HEAD(OK_JSON "{'choices':[{'index':0,'message':{'content':'"), LOOP(A64, MIB(12) / 64),
     TAIL("'},'finish_reason':'stop'}]}"),
     .turn = HOSTILE_ANY},
    {.name = "ndjson", HEAD(OK_LINE
     "Content-Type: application/x-ndjson\r\nConnection: close\r\n\r\n{'message':{'content':'Hel'},'done':false}\n"
     "{'message':{'content':'lo'},'done':true}\n"),
     .turn = PROTO, .text = ""},
    {0},
};
